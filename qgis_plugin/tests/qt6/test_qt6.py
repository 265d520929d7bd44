"""The plugin on Qt 6, against the API of QGIS 4 as its type stubs tell it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from PyQt6 import QtCore, QtGui, QtWidgets

import georeg_qgis
from georeg_qgis.executable.outcome import Outcome

PLUGIN = Path(georeg_qgis.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PLUGIN.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PLUGIN.rglob("*.py")
)
OUTCOME = Outcome(
    "warn", ("Half of the overlap has no tie points.",), 7.1, 0.7, 431, 512, 0.99, 0.8, "affine"
)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_imported(name, app):
    importlib.import_module(name)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "georeg_qgis.versions"])
def test_every_member_of_a_qt_or_qgis_class_exists(name):
    """Chains like Qt.CursorShape.SplitHCursor, also in lines that no test here runs."""
    module = importlib.import_module(name)
    source = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(source):
        words = ast.unparse(node).split(".") if isinstance(node, ast.Attribute) else [""]
        owner = (
            getattr(module, words[0], None) if words[0].startswith("Q") and words[0].isidentifier() else None
        )
        for word in words[1:] if owner is not None else ():
            if not word.isidentifier():
                break
            assert hasattr(owner, word), ast.unparse(node)
            owner = getattr(owner, word)


def test_moved_enumerations_are_found_in_qgis_4():
    versions = importlib.import_module("georeg_qgis.versions")
    from qgis.core import Qgis

    assert versions.RASTER is Qgis.ProcessingSourceType.Raster
    assert versions.ADVANCED is Qgis.ProcessingParameterFlag.Advanced
    assert versions.RASTER_LAYERS is Qgis.LayerFilter.RasterLayer
    assert versions.WKT is Qgis.CrsWktVariant.Preferred
    assert versions.creation_options_widget() == {"widget_wrapper": {"widget_type": "rasteroptions"}}


@pytest.mark.parametrize("name", ["match", "warp", "batch", "evaluate"])
def test_each_algorithm_declares_its_parameters(name, monkeypatch):
    module = importlib.import_module(f"georeg_qgis.algorithms.{name}")
    algorithm = getattr(module, f"{name.capitalize()}Algorithm")()
    added = []
    monkeypatch.setattr(
        type(algorithm), "addParameter", lambda self, parameter: added.append(parameter), raising=False
    )
    algorithm.initAlgorithm()
    assert len(added) >= 4


@pytest.fixture
def dock(app, monkeypatch):
    from qgis.gui import QgsMapCanvas

    from georeg_qgis.gui.dock import GeoregDock
    from georeg_qgis.gui.form import MatchForm

    monkeypatch.setattr(MatchForm, "layers", property(lambda self: (None, None)))
    window, canvas = QtWidgets.QMainWindow(), QgsMapCanvas()
    dock = GeoregDock(SimpleNamespace(mainWindow=lambda: window, mapCanvas=lambda: canvas))
    window.addDockWidget(QtCore.Qt.DockWidgetArea.RightDockWidgetArea, dock)
    yield dock
    dock.close_down()
    window.deleteLater()


def test_the_panel_shows_an_outcome_and_a_failure(dock):
    dock.card.show_outcome(OUTCOME, has_layers=True)
    assert "check it" in dock.card.headline.text()
    dock.card.show_failure("No space left.")
    assert "Not aligned" in dock.card.headline.text()
    assert not dock.card.swipe_button.isEnabled()


def test_its_buttons_are_signals(dock, monkeypatch):
    called = []
    dock.card.swipe.connect(lambda on: called.append(("swipe", on)))
    dock.card.report.disconnect()
    dock.card.report.connect(lambda: called.append("report"))
    monkeypatch.setattr(dock, "_compared", lambda: None)
    dock.card.swipe_button.setChecked(True)
    dock.card.report_button.click()
    assert called == [("swipe", True), "report"]
    assert not dock.card.swipe_button.isChecked()


def test_progress_and_the_end_of_a_run_are_shown(dock):
    dock.job.stage.emit("Matching in detail")
    dock.job.percent.emit(41.7)
    dock.job.cancelled.emit()
    assert dock.stage.text() == "Cancelled. Nothing was written."
    assert dock.bar.value() == 41


def test_the_settings_page_is_made_and_kept(app):
    from georeg_qgis.gui.settings_page import SettingsPageFactory

    page = SettingsPageFactory().createWidget(None)
    page.device.setCurrentText("cuda:1")
    page.apply()
    assert page.test_button.text() == "&Test"
    page.deleteLater()


def test_the_install_dialog_tells_how_it_ended(app):
    from georeg_qgis.executable.process import Cancelled
    from georeg_qgis.gui.install_dialog import InstallDialog

    dialog = InstallDialog()
    dialog._ended(Cancelled())
    assert "Nothing is left" in dialog.log.toPlainText()
    dialog.reject()


def test_the_comparison_paints_both_sides(app):
    from qgis.gui import QgsMapCanvas

    from georeg_qgis.gui.compare import _Overlay

    canvas = QgsMapCanvas()
    canvas.resize(100, 50)
    overlay = _Overlay(canvas)
    overlay.images = [QtGui.QImage(100, 50, QtGui.QImage.Format.Format_RGB32) for _ in range(2)]
    for image, colour in zip(overlay.images, ("red", "blue")):
        image.fill(QtGui.QColor(colour))
    picture = QtGui.QImage(100, 50, QtGui.QImage.Format.Format_RGB32)
    painter = QtGui.QPainter(picture)
    overlay.paint(painter)
    painter.end()
    assert [picture.pixelColor(x, 25).name() for x in (20, 80)] == ["#ff0000", "#0000ff"]


def test_a_name_or_an_argument_that_qgis_4_does_not_have_is_refused():
    """The stand-in itself: without this the tests above could not fail."""
    import qgis.core

    with pytest.raises(AttributeError):
        _ = qgis.core.QgsMapLayerRegistry
    with pytest.raises(AttributeError):
        _ = qgis.core.Qgis.ProcessingSourceType.TypeRaster
    with pytest.raises(TypeError):
        qgis.core.QgsProcessingParameterRasterLayer("NAME", "words", nonsense=True)
    with pytest.raises(TypeError):
        qgis.core.QgsProject.instance().addMapLayer()
