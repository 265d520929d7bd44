"""The layer of tie points: dots where points were matched, arrows for the error that is left, enlarged."""

from __future__ import annotations

import math
import statistics

from qgis.core import (
    QgsArrowSymbolLayer,
    QgsFillSymbol,
    QgsLineSymbol,
    QgsMarkerSymbol,
    QgsRuleBasedRenderer,
    QgsUnitTypes,
    QgsVectorFieldSymbolLayer,
    QgsVectorLayer,
)

DX, DY = "residual_x_px", "residual_y_px"
TYPICAL_ARROW_MM = 4.0
MILLIMETRES = QgsUnitTypes.RenderUnit.RenderMillimeters


def show_residuals(layer: QgsVectorLayer) -> None:
    """Draw used points with arrows and rejected points as small grey dots."""
    names = {field.name() for field in layer.fields()}
    if not {DX, DY} <= names:
        return
    root = QgsRuleBasedRenderer.Rule(None)
    scale = _arrow_scale(layer)
    root.appendChild(
        QgsRuleBasedRenderer.Rule(_arrows("#d7301f", scale), 0, 0, '"inlier"', "Used in the fit")
    )
    root.appendChild(QgsRuleBasedRenderer.Rule(_dot("#9aa0a6"), 0, 0, "ELSE", "Rejected"))
    layer.setRenderer(QgsRuleBasedRenderer(root))
    layer.triggerRepaint()


def _arrow_scale(layer: QgsVectorLayer) -> float:
    """Millimetres per pixel of residual, so that the median arrow has a length that can be seen."""
    lengths = [math.hypot(f[DX] or 0.0, f[DY] or 0.0) for f in layer.getFeatures('"inlier"')]
    typical = statistics.median(lengths) if lengths else 0.0
    return TYPICAL_ARROW_MM / typical if typical > 0 else 0.0


def _dot(colour: str) -> QgsMarkerSymbol:
    return QgsMarkerSymbol.createSimple(
        {"name": "circle", "color": colour, "size": "1.6", "outline_color": "white", "outline_width": "0.2"}
    )


def _arrows(colour: str, scale: float) -> QgsMarkerSymbol:
    symbol = _dot(colour)
    field = QgsVectorFieldSymbolLayer()
    field.setXAttribute(DX)
    field.setYAttribute(f'-"{DY}"')
    field.setScale(scale)
    field.setDistanceUnit(MILLIMETRES)
    field.setSubSymbol(_arrow_line(colour))
    symbol.appendSymbolLayer(field)
    return symbol


def _arrow_line(colour: str) -> QgsLineSymbol:
    arrow = QgsArrowSymbolLayer()
    arrow.setArrowWidth(0.4)
    arrow.setArrowStartWidth(0.4)
    arrow.setHeadLength(1.2)
    arrow.setHeadThickness(0.8)
    arrow.setIsCurved(False)
    arrow.setSubSymbol(QgsFillSymbol.createSimple({"color": colour, "outline_style": "no"}))
    return QgsLineSymbol([arrow])
