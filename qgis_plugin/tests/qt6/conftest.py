"""Puts the stand-in for QGIS 4 in place before the plugin is imported."""

from __future__ import annotations

import pytest
import standin

standin.install()


@pytest.fixture(scope="session")
def app():
    """The one QApplication that widgets need."""
    from PyQt6.QtWidgets import QApplication

    return QApplication.instance() or QApplication(["qt6"])
