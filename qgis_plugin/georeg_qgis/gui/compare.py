"""Compare the result with the reference in the map view: swipe a line across, or flicker.

Both are painted over the map as pictures, without what lies above them; layers and their visibility stay as they are.
"""

from __future__ import annotations

from qgis.core import QgsMapRendererParallelJob, QgsMapSettings, QgsProject, QgsRasterLayer
from qgis.gui import QgsMapCanvas, QgsMapCanvasItem, QgsMapTool
from qgis.PyQt.QtCore import QObject, QRectF, Qt, QTimer, pyqtSignal
from qgis.PyQt.QtGui import QColor, QImage, QPen

FLICKER_MS = 700


class _Overlay(QgsMapCanvasItem):
    """Pictures of two layers over the map: the reference left of a line, the result right of it."""

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self.images = [QImage(), QImage()]  # reference, result
        self.share = 0.5
        self.line = True
        self.setZValue(50)

    def boundingRect(self) -> QRectF:
        return QRectF(0, 0, self._canvas.width(), self._canvas.height())

    def paint(self, painter, option=None, widget=None) -> None:
        x, width, height = self.share * self._canvas.width(), self._canvas.width(), self._canvas.height()
        for image, place in zip(self.images, (QRectF(0, 0, x, height), QRectF(x, 0, width - x, height))):
            if not image.isNull():
                painter.save()
                painter.setClipRect(place)
                painter.drawImage(self.boundingRect(), image)
                painter.restore()
        if self.line:
            self._paint_line(painter, x)

    def _paint_line(self, painter, x: float) -> None:
        for colour, width in ((QColor(0, 0, 0, 160), 4), (QColor("white"), 2)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(int(x), 0, int(x), int(self._canvas.height()))


class _SwipeTool(QgsMapTool):
    """Moves the line to where the mouse is pressed or dragged."""

    moved = pyqtSignal(float)

    def __init__(self, canvas: QgsMapCanvas) -> None:
        super().__init__(canvas)
        self.setCursor(Qt.CursorShape.SplitHCursor)

    def canvasMoveEvent(self, event) -> None:
        self.moved.emit(event.pos().x() / max(self.canvas().width(), 1))

    canvasPressEvent = canvasMoveEvent


class Comparison(QObject):
    """Swipe or flicker; `ended` tells that neither goes on any more (another tool, a layer that is gone)."""

    ended = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self._overlay = self._tool = self._former_tool = None
        self._jobs: list[QgsMapRendererParallelJob] = []
        self._layer_ids: list[str] = []
        self._timer = QTimer(self)
        self._timer.setInterval(FLICKER_MS)
        self._timer.timeout.connect(self._flip)

    @property
    def active(self) -> bool:
        return self._overlay is not None

    def swipe(self, reference: QgsRasterLayer, result: QgsRasterLayer) -> None:
        """Show the reference left of a line that follows the mouse, the result right of it."""
        self._begin([reference, result], share=0.5, line=True)
        self._former_tool = self._canvas.mapTool()
        self._tool = _SwipeTool(self._canvas)
        self._tool.moved.connect(self._move)
        self._tool.deactivated.connect(self.stop)
        self._canvas.setMapTool(self._tool)

    def flicker(self, reference: QgsRasterLayer, result: QgsRasterLayer) -> None:
        """Show the reference and the result in turn."""
        self._begin([reference, result], share=1.0, line=False)
        self._timer.start()

    def stop(self) -> None:
        """Give the map view back as it was."""
        if self.active:
            self._clear()
            self.ended.emit()

    def _clear(self) -> None:
        if not self.active:
            return
        overlay, tool, former = self._overlay, self._tool, self._former_tool
        self._overlay = self._tool = self._former_tool = None
        self._timer.stop()
        self._canvas.extentsChanged.disconnect(self._render)
        QgsProject.instance().layersWillBeRemoved.disconnect(self._removed)
        self._canvas.scene().removeItem(overlay)
        if tool is not None and self._canvas.mapTool() is tool:
            self._canvas.unsetMapTool(tool) if former is None else self._canvas.setMapTool(former)

    def _begin(self, layers: list[QgsRasterLayer], share: float, line: bool) -> None:
        self._clear()
        self._layer_ids = [layer.id() for layer in layers]
        self._overlay = _Overlay(self._canvas)
        self._overlay.share, self._overlay.line = share, line
        self._canvas.extentsChanged.connect(self._render)
        QgsProject.instance().layersWillBeRemoved.connect(self._removed)
        self._render()

    def _removed(self, layer_ids: list[str]) -> None:
        if set(self._layer_ids) & set(layer_ids):
            self.stop()

    def _render(self) -> None:
        self._jobs = []
        for layer_id in self._layer_ids:
            settings = QgsMapSettings(self._canvas.mapSettings())
            settings.setLayers([QgsProject.instance().mapLayer(layer_id)])
            self._jobs.append(QgsMapRendererParallelJob(settings))
        for job in self._jobs:
            job.finished.connect(self._rendered)
            job.start()

    def _rendered(self) -> None:
        if self.active and not any(job.isActive() for job in self._jobs):
            self._overlay.images = [job.renderedImage() for job in self._jobs]
            self._overlay.update()

    def _move(self, share: float) -> None:
        self._overlay.share = min(max(share, 0.0), 1.0)
        self._overlay.update()

    def _flip(self) -> None:
        self._move(1.0 - self._overlay.share)
