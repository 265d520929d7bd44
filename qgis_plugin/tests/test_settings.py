"""The settings page, and georeg in an environment of its own."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from conftest import wait_for
from qgis.core import QgsSettings

from georeg_qgis import settings
from georeg_qgis.executable.command import Machine
from georeg_qgis.executable.installation import Installation, find_python
from georeg_qgis.gui.install_dialog import InstallDialog
from georeg_qgis.gui.settings_page import SettingsPage, SettingsPageFactory


@pytest.fixture
def page(qgis_app, fake_georeg):
    page = SettingsPageFactory().createWidget(None)
    yield page
    page.deleteLater()


def test_settings_are_kept(page, fake_georeg):
    page.device.setCurrentText("cuda:1")
    page.threads.setValue(3)
    page.memory.setValue(1.5)
    page.apply()
    assert settings.machine() == Machine("cuda:1", 3, 1.5)
    assert settings.executable().path == fake_georeg
    assert SettingsPage().threads.value() == 3


def test_the_test_button_asks_the_doctor(page):
    page.test_button.click()
    wait_for(page.test_button.isEnabled, "the doctor")
    assert page.answer.text().startswith("georeg 0.1.0 works.")
    assert "Device: cpu (2 threads)\nWeights: small" in page.answer.text()


@pytest.mark.parametrize(("mode", "words"), [("old", "too old"), ("alien", "does not answer like georeg")])
def test_the_test_button_tells_what_is_wrong(mode, words, page, fake_georeg, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", mode)
    os.utime(fake_georeg, (time.time() + 9, time.time() + 9))
    page.test_button.click()
    wait_for(page.test_button.isEnabled, "the doctor")
    assert words in page.answer.text()


def test_a_program_that_is_not_there_is_told_at_once(page):
    page.program.setFilePath("/nowhere/georeg")
    assert "not a program" in page.answer.text()
    page.test_button.click()
    assert "not a program" in page.answer.text()


def test_the_page_without_any_program_says_so(page, monkeypatch):
    QgsSettings().remove("georeg")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "was not found" in SettingsPage().answer.text()


@pytest.fixture
def package(tmp_path):
    """A package with a georeg program that pip can install without a network."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "georeg_stub.py").write_text("def main():\n    print('georeg, version 0.1.0')\n")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "stub_backend"\nbackend-path = ["."]\n'
    )
    shutil.copy(Path(__file__).parent / "stub_backend.py", folder)
    return folder


def test_georeg_is_installed_used_and_removed(qgis_app, tmp_path, package, monkeypatch):
    python = find_python()
    if python is None:
        pytest.skip("no Python 3.11 or newer with venv on PATH")
    installation = Installation.in_profile(str(tmp_path / "profile"))
    monkeypatch.setattr(settings, "own_installation", lambda: installation)
    dialog = InstallDialog()
    assert not dialog.install_button.isEnabled()
    dialog.python.setFilePath(python)
    dialog.source.setFilePath(str(package))
    dialog.install_button.click()
    assert dialog.cancel_button.isEnabled()
    wait_for(lambda: not dialog.cancel_button.isEnabled(), "the installation", 120)
    assert "Installed:" in dialog.log.toPlainText(), dialog.log.toPlainText()
    QgsSettings().remove("georeg")
    assert settings.executable().origin == "plugin"
    monkeypatch.setattr("qgis.PyQt.QtWidgets.QMessageBox.question", lambda *a: _yes())
    dialog.remove_button.click()
    assert not dialog.cancel_button.isEnabled()
    wait_for(lambda: "Removed." in dialog.log.toPlainText(), "the removal")
    assert not installation.folder.exists()
    assert not dialog.remove_button.isEnabled()


def test_an_installation_that_is_cancelled_leaves_nothing(qgis_app, tmp_path, package, monkeypatch):
    installation = Installation.in_profile(str(tmp_path / "profile"))
    monkeypatch.setattr(settings, "own_installation", lambda: installation)
    dialog = InstallDialog()
    dialog.python.setFilePath(find_python())
    dialog.source.setFilePath(str(package))
    dialog.install_button.click()
    wait_for(lambda: "venv" in dialog.log.toPlainText(), "the first step")
    dialog.cancel_button.click()
    wait_for(lambda: not dialog.cancel_button.isEnabled(), "the end", 30)
    assert "Cancelled. Nothing is left of it." in dialog.log.toPlainText()
    assert not installation.folder.exists()
    assert not dialog.has_installed


def test_the_page_uses_what_was_just_installed(page, monkeypatch):
    """And OK does not bring back the program that was chosen before."""
    told = []
    monkeypatch.setattr(page, "_on_change", lambda: told.append("changed"))
    monkeypatch.setattr(InstallDialog, "exec", lambda dialog: setattr(dialog, "has_installed", True))
    page.install_button.click()
    assert page.program.filePath() == ""
    page.apply()
    assert settings.chosen_executable() == ""
    assert told == ["changed", "changed"]


def test_an_old_python_is_told_in_the_log(qgis_app, tmp_path, package):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3.9\n")
    old.chmod(0o755)
    dialog = InstallDialog()
    dialog.python.setFilePath(str(old))
    dialog.source.setFilePath(str(package))
    dialog.install_button.click()
    assert "needs Python 3.11 or newer" in dialog.log.toPlainText()


def _yes():
    from qgis.PyQt.QtWidgets import QMessageBox

    return QMessageBox.StandardButton.Yes
