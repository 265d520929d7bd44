"""The GeoReg panel: pick two layers, run, watch, judge."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from typing import Any

import processing
from qgis.core import QgsMapLayerStyle, QgsProject, QgsRasterLayer
from qgis.gui import QgsDockWidget
from qgis.PyQt.QtCore import Qt, QUrl
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..executable.environment import ExecutableMissing
from ..executable.outcome import Outcome
from ..icons import icon
from ..results import apply_style, layer_style
from ..tie_points import tie_point_layer
from .compare import Comparison
from .defaults import default_pair
from .export import Export
from .form import MatchForm
from .job import MatchJob
from .result_card import ResultCard
from .settings_page import PAGE

PANEL_WIDTH = 290


@dataclass
class Run:
    """What a run was started with; the layers may be gone when it ends."""

    name: str
    style: QgsMapLayerStyle
    reference_id: str
    parameters: dict[str, Any]
    add_points: bool
    project_closed: bool = False


class GeoregDock(QgsDockWidget):
    """The panel; at most one run at a time."""

    def __init__(self, iface) -> None:
        super().__init__("GeoReg", iface.mainWindow())
        self.setObjectName("GeoregDock")
        self.iface = iface
        self.run: Run | None = None
        self.result_layer_id = ""
        self.dialog: QWidget | None = None
        self.form = MatchForm()
        self.job = MatchJob(self)
        self.export = Export(self)
        self.comparison = Comparison(iface.mapCanvas(), self)
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.refresh()

    def close_down(self) -> None:
        """End what goes on, before the plugin goes."""
        QgsProject.instance().cleared.disconnect(self._project_closed)
        self.iface.mapCanvas().layersChanged.disconnect(self._layers_changed)
        self.comparison.stop()
        self.job.cancel()

    def start(self) -> None:
        """Run with what the form says."""
        if not self._may_overwrite(self.form.output):
            return
        moving, reference = self.form.layers
        parameters = {**self.form.parameters(), "GCP_FILE": _points_file(self.form.output)}
        self.run = Run(
            moving.name(), layer_style(moving), reference.id(), parameters, self.form.add_points.isChecked()
        )
        self.comparison.stop()
        self.card.hide()
        self.bar.setRange(0, 0)  # it only moves to and fro until there is something to tell
        self.stage.setText("Starting georeg")
        self.job.start(parameters)
        self.refresh()

    def _make_widgets(self) -> None:
        self.setup_notice = QLabel()
        self.setup_notice.setWordWrap(True)
        self.setup_button = QPushButton("Set up georeg…")
        self.run_button = QPushButton(icon("match"), "Align")
        self.run_button.setDefault(True)
        self.cancel_button = QPushButton("Cancel")
        self.more_button = QPushButton("More options…")
        self.more_button.setToolTip("All options, in the Processing dialog")
        self.bar = QProgressBar()
        self.stage = QLabel()
        self.stage.setWordWrap(True)
        self.card = ResultCard()
        self.card.hide()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self.setup_notice)
        layout.addWidget(self.setup_button)
        layout.addWidget(self.form)
        buttons = QHBoxLayout()
        for button in (self.run_button, self.cancel_button):
            buttons.addWidget(button)
        layout.addLayout(buttons)
        layout.addWidget(self.more_button)
        layout.addWidget(self.bar)
        layout.addWidget(self.stage)
        layout.addWidget(self.card)
        layout.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content.setMinimumWidth(PANEL_WIDTH)
        scroll.setMinimumWidth(PANEL_WIDTH + scroll.verticalScrollBar().sizeHint().width())
        scroll.setWidget(content)
        self.setWidget(scroll)

    def _connect(self) -> None:
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self._cancel)
        self.more_button.clicked.connect(self._open_dialog)
        self.setup_button.clicked.connect(lambda: self.iface.showOptionsDialog(self.iface.mainWindow(), PAGE))
        self.form.changed.connect(self.refresh)
        self.form.export_wanted.connect(self._export)
        self.export.done.connect(self._exported)
        self.export.failed.connect(self._not_exported)
        self.job.stage.connect(self._say)
        self.job.percent.connect(self._show_percent)
        self.job.done.connect(self._done)
        self.job.failed.connect(self._failed)
        self.job.cancelled.connect(self._cancelled)
        self.comparison.ended.connect(self.card.comparison_ended)
        self.card.swipe.connect(lambda on: self._compare(on, self.comparison.swipe))
        self.card.flicker.connect(lambda on: self._compare(on, self.comparison.flicker))
        self.card.report.connect(self._open_report)
        self.card.save_points.connect(self._save_points)
        self.visibilityChanged.connect(self._shown)
        QgsProject.instance().cleared.connect(self._project_closed)
        queued = Qt.ConnectionType.QueuedConnection  # the pickers learn of new layers first
        self.iface.mapCanvas().layersChanged.connect(self._layers_changed, queued)

    def _shown(self, visible: bool) -> None:
        if visible:
            self._layers_changed()

    def _layers_changed(self) -> None:
        """Layers came or went: fill in what is sensible where nothing is chosen."""
        if self.job.running or self.isHidden():
            return
        if self.form.lacks_layers:
            self.form.offer_pair(*default_pair(self.iface))
        self.form.refresh()

    def refresh(self) -> None:
        """Show what can be done now: by the settings, the form and a run that goes on."""
        running = self.job.running
        missing = _missing_program()
        self.setup_notice.setText(missing)
        for widget in (self.setup_notice, self.setup_button):
            widget.setVisible(bool(missing))
        self.form.setEnabled(not running)
        self.run_button.setEnabled(not running and not missing and not self.form.problem()[0])
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)
        self.stage.setVisible(bool(self.stage.text()))

    def _show_percent(self, percent: float) -> None:
        self.bar.setRange(0, 100)
        self.bar.setValue(int(percent))

    def _say(self, text: str) -> None:
        self.stage.setText(text)
        self.stage.setVisible(bool(text))

    def _cancel(self) -> None:
        self._say("Cancelling…")
        self.cancel_button.setEnabled(False)
        self.job.cancel()

    def _cancelled(self) -> None:
        self._say("Cancelled. Nothing was written.")
        self.refresh()

    def _failed(self, sentence: str) -> None:
        self._say("")
        outcome = _read_outcome(self.run.parameters["REGISTRATION"])
        if outcome is not None and outcome.verdict == "fail":
            self.card.show_outcome(replace(outcome, reasons=(sentence,)), has_layers=False)
        else:
            self.card.show_failure(sentence)
        self._offer_files()
        self.refresh()

    def _done(self, results: dict[str, Any]) -> None:
        self._say("")
        outcome = _read_outcome(results["REGISTRATION"])
        has_layers = self._add_layers(results)
        if outcome is not None:
            self.card.show_outcome(outcome, has_layers)
        self._offer_files()
        self.form.next_output()
        self.refresh()

    def _project_closed(self) -> None:
        if self.run is not None:
            self.run.project_closed = True

    def _offer_files(self) -> None:
        files = self.run.parameters
        self.card.offer(os.path.isfile(files["REPORT"]), os.path.isfile(files["GCP_FILE"]))
        self.card.show()

    def _add_layers(self, results: dict[str, Any]) -> bool:
        """Add the results to the project; False where there is nothing to compare."""
        if self.run.project_closed:
            self._say(f"The project was closed meanwhile. The aligned image is {results['OUTPUT']}")
            return False
        added = self._add_result(results["OUTPUT"])
        if self.run.add_points:
            self._add_points(results["POINTS"])
        return added and self._compared() is not None

    def _add_result(self, path: str) -> bool:
        layer = QgsRasterLayer(path, f"{self.run.name} (aligned)")
        if not layer.isValid():
            self._say(f"The aligned image was written, but QGIS cannot open it: {path}")
            return False
        apply_style(layer, self.run.style)
        QgsProject.instance().addMapLayer(layer)
        self.result_layer_id = layer.id()
        return True

    def _add_points(self, path: str) -> None:
        layer = tie_point_layer(path, f"{self.run.name} (tie points)")
        if layer.isValid():
            QgsProject.instance().addMapLayer(layer)
            node = QgsProject.instance().layerTreeRoot().findLayer(layer.id())
            for expanded in (
                False,
                True,
            ):  # the layer list unfolds the legend, which says how long the arrows are
                node.setExpanded(expanded)

    def _compared(self) -> tuple[QgsRasterLayer, QgsRasterLayer] | None:
        """Reference and result, while both are in the project."""
        ids = (self.run.reference_id, self.result_layer_id)
        reference, result = (QgsProject.instance().mapLayer(layer_id) for layer_id in ids)
        return None if reference is None or result is None else (reference, result)

    def _compare(self, on: bool, begin) -> None:
        if not on:
            self.comparison.stop()
        elif self._compared() is None:
            self.card.comparison_ended()
            self._say("The reference or the result is not in the project any more.")
        else:
            begin(*self._compared())

    def _open_report(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.run.parameters["REPORT"]))

    def _save_points(self) -> None:
        suggestion = os.path.splitext(self.run.parameters["OUTPUT"])[0] + ".points"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save points for the Georeferencer", suggestion, "Georeferencer points (*.points)"
        )
        if path:
            try:
                shutil.copyfile(self.run.parameters["GCP_FILE"], path)
            except OSError as cause:
                self._say(f"{path} could not be written: {cause.strerror}.")

    def _open_dialog(self) -> None:
        self.dialog = processing.createAlgorithmDialog("georeg:match", self.form.chosen())
        self.dialog.show()

    def _export(self, layer: QgsRasterLayer) -> None:
        other = next((one for one in self.form.layers if one is not layer), None)
        self._say(f"Saving the needed part of “{layer.name()}”…")
        self.form.export.setEnabled(False)
        self.export.start(layer, other, self.iface.mapCanvas())

    def _not_exported(self, sentence: str) -> None:
        self.form.export.setEnabled(True)
        self._say(sentence)

    def _exported(self, path: str) -> None:
        self.form.export.setEnabled(True)
        self._say("")
        moving, reference = self.form.layers
        refused = self.form.problem()[1]
        if refused is None:
            return
        saved = QgsRasterLayer(path, f"{refused.name()} (saved part)")
        QgsProject.instance().addMapLayer(saved)
        self.form.set_pair(
            saved if moving is refused else moving, saved if reference is refused else reference
        )

    def _may_overwrite(self, path: str) -> bool:
        if not os.path.exists(path):
            return True
        answer = QMessageBox.question(self, "GeoReg", f"{path} exists. Replace it?")
        if answer != QMessageBox.StandardButton.Yes:
            return False
        stale = [layer.id() for layer in QgsProject.instance().mapLayers().values() if layer.source() == path]
        QgsProject.instance().removeMapLayers(stale)
        return True


def _missing_program() -> str:
    try:
        settings.executable()
    except ExecutableMissing as missing:
        return str(missing)
    return ""


def _points_file(output: str) -> str:
    return os.path.splitext(output)[0] + "_georeferencer.points"


def _read_outcome(path: str) -> Outcome | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return Outcome.from_json(json.load(stream))
    except (OSError, ValueError):
        return None
