"""Save the needed part of a layer that is not a file (a web map), so that georeg can read it."""

from __future__ import annotations

import math

from qgis.core import (
    QgsApplication,
    QgsCoordinateTransform,
    QgsCsException,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterFileWriter,
    QgsRasterFileWriterTask,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QObject, pyqtSignal

from .defaults import extent_in

LARGEST_PX = 4096
MARGIN = 0.1


class Export(QObject):
    """Writes one part of a layer to a temporary GeoTIFF, in the background.

    Signals:
        done: path of the file; failed: one sentence.
    """

    done = pyqtSignal(str)
    failed = pyqtSignal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._task = None

    def start(self, layer: QgsRasterLayer, other: QgsRasterLayer | None, canvas) -> None:
        """Save the area of the other layer (with a margin), or, where it has none, what the map shows."""
        extent, pixel = area_of(layer, other, canvas)
        columns, rows = size_px(extent, pixel)
        pipe = QgsRasterPipe()
        if extent.isEmpty() or not pipe.set(layer.dataProvider().clone()):
            self.failed.emit(f"The layer “{layer.name()}” cannot be saved: no area is known.")
            return
        path = QgsProcessingUtils.generateTempFilename("saved.tif")
        writer = QgsRasterFileWriter(path)
        writer.setOutputFormat("GTiff")
        context = QgsProject.instance().transformContext()
        self._task = QgsRasterFileWriterTask(writer, pipe, columns, rows, extent, layer.crs(), context)
        self._task.writeComplete.connect(self.done)
        self._task.errorOccurred.connect(
            lambda *_: self.failed.emit(f"The layer “{layer.name()}” could not be saved to {path}.")
        )
        QgsApplication.taskManager().addTask(self._task)


def area_of(layer: QgsRasterLayer, other: QgsRasterLayer | None, canvas) -> tuple[QgsRectangle, float]:
    """The extent to save, in the layer's own coordinate system, and its pixel size."""
    extent = extent_in(other, layer.crs()) if other is not None else QgsRectangle()
    if not extent.isEmpty():
        pixel = math.sqrt(extent.width() * extent.height() / max(other.width() * other.height(), 1))
        return extent.buffered(MARGIN * max(extent.width(), extent.height())), pixel
    settings = canvas.mapSettings()
    transform = QgsCoordinateTransform(settings.destinationCrs(), layer.crs(), QgsProject.instance())
    try:
        extent = transform.transformBoundingBox(canvas.extent())
    except QgsCsException:
        return QgsRectangle(), 1.0
    return extent, extent.width() / max(canvas.width(), 1)


def size_px(extent: QgsRectangle, pixel: float) -> tuple[int, int]:
    """Columns and rows, at most LARGEST_PX each."""
    if extent.isEmpty() or pixel <= 0:
        return 0, 0
    pixel = max(pixel, extent.width() / LARGEST_PX, extent.height() / LARGEST_PX)
    return max(1, round(extent.width() / pixel)), max(1, round(extent.height() / pixel))
