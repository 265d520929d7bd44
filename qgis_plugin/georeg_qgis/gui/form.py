"""The panel's form: two images, what they are, the transform and the file to write."""

from __future__ import annotations

import os
from typing import Any

from qgis.core import QgsMapLayer, QgsRasterLayer
from qgis.gui import QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..algorithms.choices import MODALITIES, TRANSFORMS
from ..layers import LayerRefused, check_raster, same_source
from ..versions import RASTER_LAYERS
from .defaults import companions, default_output

ROWS_BESIDE_SWAP = 4


class MatchForm(QWidget):
    """What a run needs; signals: `changed` by the user, `export_wanted` for a layer that is to be saved."""

    changed = pyqtSignal()
    export_wanted = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._output_chosen = self._pair_chosen = False
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.refresh()

    def set_pair(self, moving: QgsMapLayer | None, reference: QgsMapLayer | None) -> None:
        self.moving.setLayer(moving)
        self.reference.setLayer(reference)

    def offer_pair(self, moving: QgsMapLayer | None, reference: QgsMapLayer | None) -> None:
        """Fill in layers where none are chosen; one that the user chose stays where it is."""
        moving_now, reference_now = self.layers
        kept = (None if moving_now == reference_now else moving_now, reference_now)
        if not self._pair_chosen or kept == (None, None):
            self._pair_chosen = False
            self.set_pair(moving, reference)
            return
        other = next(
            (layer for layer in (moving, reference) if layer is not None and layer not in kept), None
        )
        self.set_pair(*(layer if layer is not None else other for layer in kept))

    @property
    def lacks_layers(self) -> bool:
        """Whether one is empty, or both are the same: so a box stands after its layer was removed."""
        moving, reference = self.layers
        return moving is None or reference is None or moving == reference

    @property
    def layers(self) -> tuple[QgsRasterLayer | None, QgsRasterLayer | None]:
        return self.moving.currentLayer(), self.reference.currentLayer()

    @property
    def output(self) -> str:
        path = self.output_file.filePath().strip()
        return path if not path or os.path.splitext(path)[1] else f"{path}.tif"

    def parameters(self) -> dict[str, Any]:
        """Parameters of georeg:match for a run of the panel's own."""
        return {**self.chosen(), **companions(self.output)}

    def chosen(self) -> dict[str, Any]:
        """What was chosen; layers by their ids, because a layer itself may be deleted during a run."""
        moving, reference = self.layers
        return {
            "MOVING": moving.id() if moving else "",
            "REFERENCE": reference.id() if reference else "",
            "MOVING_MODALITY": self.moving_kind.currentIndex(),
            "REFERENCE_MODALITY": self.reference_kind.currentIndex(),
            "TRANSFORM": self.transform.currentIndex(),
            "OUTPUT": self.output,
        }

    def problem(self) -> tuple[str, QgsRasterLayer | None]:
        """What stands in the way of a run ("" if nothing), and the layer that saving to a file would help."""
        moving, reference = self.layers
        if moving is None or reference is None:
            return self._what_to_choose(), None
        if same_source(moving, reference):
            return "Both are the same image. Choose two different ones.", None
        for layer in (moving, reference):
            try:
                check_raster(layer)
            except LayerRefused as refusal:
                return str(refusal), layer if refusal.exportable else None
        return ("" if self.output else "Choose the file to write."), None

    def _what_to_choose(self) -> str:
        entries = self.moving.count() - 1  # the first one is empty
        if entries < len(self.layers):
            return "Open two images in QGIS first: the one to align and the reference."
        return "Choose two layers: the image to align and the reference."

    def suggest_output(self) -> None:
        """Name a new file after the moving image, unless the user named one."""
        moving = self.moving.currentLayer()
        if not self._output_chosen:
            self.output_file.blockSignals(True)
            self.output_file.setFilePath("" if moving is None else default_output(moving))
            self.output_file.blockSignals(False)
        self.output_file.setToolTip(self.output)

    def next_output(self) -> None:
        """After a run: the next one gets a file of its own."""
        self._output_chosen = False
        self.suggest_output()
        self.refresh()

    def refresh(self) -> None:
        """Say what stands in the way of a run, if anything does."""
        problem, exportable = self.problem()
        self.notice.setText(problem)
        self.notice.setVisible(bool(problem))
        self.export.setVisible(exportable is not None)
        self.changed.emit()

    def _make_widgets(self) -> None:
        self.moving, self.reference = _layer_box("Image to align"), _layer_box("Reference image")
        self.moving_kind, self.reference_kind = _choice_box(MODALITIES), _choice_box(MODALITIES)
        self.moving_kind.setToolTip("What the image to align shows. Automatic finds out from the image.")
        self.reference_kind.setToolTip("What the reference shows. Automatic finds out from the image.")
        self.transform = _choice_box(TRANSFORMS)
        self.transform.setToolTip("Automatic takes the simplest one that is accurate.")
        self.swap = QToolButton()
        self.swap.setText("⇅")
        self.swap.setToolTip("Swap the two images")
        self.swap.setAccessibleName("Swap the two images")
        self.output_file = QgsFileWidget()
        self.output_file.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.output_file.setFilter("GeoTIFF (*.tif *.tiff)")
        self.output_file.setDialogTitle("Write the aligned image to")
        self.add_points = QCheckBox("Add tie points with error arrows")
        self.add_points.setChecked(True)
        self.notice = QLabel()
        self.notice.setWordWrap(True)
        self.export = QPushButton("Save the needed part and use that")
        self.export.hide()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        rows = [
            ("Image to align", self.moving),
            ("Kind", self.moving_kind),
            ("Reference", self.reference),
            ("Kind", self.reference_kind),
            ("Transform", self.transform),
            ("Write to", self.output_file),
        ]
        for row, (text, widget) in enumerate(rows):
            label = QLabel(text)
            label.setBuddy(widget)
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1, 1, 1 if row < ROWS_BESIDE_SWAP else 2)
        grid.addWidget(self.swap, 0, 2, ROWS_BESIDE_SWAP, 1)
        layout.addLayout(grid)
        layout.addWidget(self.add_points)
        self._order_keys()
        layout.addWidget(self.notice)
        layout.addWidget(self.export)

    def _order_keys(self) -> None:
        """The tab key goes from top to bottom."""
        order = [
            self.moving,
            self.moving_kind,
            self.reference,
            self.reference_kind,
            self.swap,
            self.transform,
        ]
        order += [self.output_file, self.add_points]
        for earlier, later in zip(order, order[1:]):
            QWidget.setTabOrder(earlier, later)

    def _connect(self) -> None:
        for box in (self.moving, self.reference):
            box.layerChanged.connect(self._layer_changed)
            box.activated.connect(self._pair_was_chosen)  # by the user, not by set_pair
        self.swap.clicked.connect(self._pair_was_chosen)
        self.swap.clicked.connect(lambda: self.set_pair(*reversed(self.layers)))
        self.output_file.fileChanged.connect(self._output_named)
        self.export.clicked.connect(lambda: self.export_wanted.emit(self.problem()[1]))

    def _output_named(self, path: str) -> None:
        self._output_chosen = bool(path.strip())
        self.output_file.setToolTip(path)
        self.refresh()

    def _layer_changed(self, layer: QgsMapLayer | None) -> None:
        self.suggest_output()
        self.refresh()

    def _pair_was_chosen(self, *_: object) -> None:
        self._pair_chosen = True


def _layer_box(name: str) -> QgsMapLayerComboBox:
    box = QgsMapLayerComboBox()
    box.setFilters(RASTER_LAYERS)
    box.setAllowEmptyLayer(True)
    box.setAccessibleName(name)
    return _narrow(box)


def _choice_box(choices: dict[str, str]) -> QComboBox:
    box = QComboBox()
    box.addItems(list(choices.values()))
    box.view().setMinimumWidth(box.view().sizeHintForColumn(0) + 24)
    return _narrow(box)


def _narrow(box: QComboBox) -> QComboBox:
    """Let a box be narrower than its longest entry, so that the panel fits beside a map."""
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box
