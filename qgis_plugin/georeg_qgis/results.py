"""How results look in QGIS: the aligned image like the moving one, tie points with residual arrows."""

from __future__ import annotations

import os

from qgis.core import (
    QgsMapLayer,
    QgsMapLayerStyle,
    QgsProcessingContext,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsVectorLayer,
)

from .tie_points import show_residuals

_kept: list[QgsProcessingLayerPostProcessorInterface] = []
"""QGIS holds no reference to a post-processor of Python's; without one it would be gone when it is needed."""


def layer_style(layer: QgsMapLayer) -> QgsMapLayerStyle:
    """The look of a layer, free of the layer itself."""
    style = QgsMapLayerStyle()
    style.readFromLayer(layer)
    return style


def apply_style(layer: QgsMapLayer, style: QgsMapLayerStyle) -> None:
    """Give a layer this look, but keep its own coordinate system."""
    crs = layer.crs()
    style.writeToLayer(layer)
    layer.setCrs(crs)
    layer.triggerRepaint()


class StyleLike(QgsProcessingLayerPostProcessorInterface):
    """Gives a loaded raster the look of another one."""

    def __init__(self, style: QgsMapLayerStyle) -> None:
        super().__init__()
        self._style = style

    def postProcessLayer(self, layer, context, feedback) -> None:
        if isinstance(layer, QgsRasterLayer):
            apply_style(layer, self._style)


class ResidualArrows(QgsProcessingLayerPostProcessorInterface):
    """Shows a loaded layer of tie points with residual arrows."""

    def postProcessLayer(self, layer, context, feedback) -> None:
        if isinstance(layer, QgsVectorLayer):
            show_residuals(layer)


def style_when_loaded(
    context: QgsProcessingContext, path: str, processor: QgsProcessingLayerPostProcessorInterface
) -> None:
    """Have a result styled if and when Processing loads it."""
    if path and context.willLoadLayerOnCompletion(path):
        _kept.append(processor)
        del _kept[:-50]
        context.layerToLoadOnCompletionDetails(path).setPostProcessor(processor)


def renamed_output(context: QgsProcessingContext, path: str, suffix: str) -> str:
    """The output path with another suffix; Processing is told where it loads results from paths."""
    renamed = os.path.splitext(path)[0] + suffix
    if context.willLoadLayerOnCompletion(path):
        layers = context.layersToLoadOnCompletion()
        layers[renamed] = layers.pop(path)
        context.setLayersToLoadOnCompletion(layers)
    return renamed
