"""The plugin's icons, drawn for it."""

from __future__ import annotations

from pathlib import Path

from qgis.PyQt.QtGui import QIcon


def icon_path(name: str) -> str:
    return str(Path(__file__).parent / f"{name}.svg")


def icon(name: str) -> QIcon:
    return QIcon(icon_path(name))
