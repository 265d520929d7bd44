"""The layer of tie points: dots where points were matched, arrows for the error that is left, enlarged."""

from __future__ import annotations

import math
import statistics

from qgis.core import (
    Qgis,
    QgsArrowSymbolLayer,
    QgsFillSymbol,
    QgsGeometryGeneratorSymbolLayer,
    QgsLineSymbol,
    QgsMarkerSymbol,
    QgsRuleBasedRenderer,
    QgsVectorLayer,
)

LAYER = "tie_points"
DX = 'coalesce("map_x" - "moved_map_x", "residual_x_px")'
DY = 'coalesce("map_y" - "moved_map_y", -"residual_y_px")'
FIELDS = {"map_x", "map_y", "moved_map_x", "moved_map_y", "residual_x_px", "residual_y_px", "inlier"}
LONGEST_TYPICAL_ARROW = 0.03
"""Length of the median arrow where there are few points, as a share of the layer's extent."""
CROWDING = 0.35
"""Length of the median arrow where there are many, as a share of the distance between them."""


def tie_point_layer(path: str, name: str) -> QgsVectorLayer:
    """The tie points in a file of georeg's, with arrows."""
    layer = QgsVectorLayer(f"{path}|layername={LAYER}", name)
    if not layer.isValid():
        layer = QgsVectorLayer(path, name)
    if layer.isValid():
        show_residuals(layer)
    return layer


def show_residuals(layer: QgsVectorLayer) -> None:
    """Draw points that were used with arrows, and rejected ones as small grey dots."""
    if not {field.name() for field in layer.fields()} >= FIELDS:
        return
    factor = enlargement(layer)
    used = QgsRuleBasedRenderer.Rule(_with_arrow(_dot("#d7301f", 1.6), factor), 0, 0, '"inlier"')
    used.setLabel(f"Used (error × {factor:g})" if factor else "Used")
    rejected = QgsRuleBasedRenderer.Rule(_dot("#9aa0a6", 1.0), 0, 0, "ELSE")
    rejected.setLabel("Rejected")
    root = QgsRuleBasedRenderer.Rule(None)
    root.appendChild(used)
    root.appendChild(rejected)
    layer.setRenderer(QgsRuleBasedRenderer(root))
    layer.triggerRepaint()


def enlargement(layer: QgsVectorLayer) -> float:
    """A round number that makes the median error an arrow that can be seen and told apart; 0 without errors."""
    errors = [length for length in map(_error, layer.getFeatures('"inlier"')) if length > 0]
    size = math.hypot(layer.extent().width(), layer.extent().height())
    if not errors or size <= 0:
        return 0.0
    share = min(LONGEST_TYPICAL_ARROW, CROWDING / math.sqrt(len(errors)))
    wanted = share * size / statistics.median(errors)
    power = 10.0 ** math.floor(math.log10(wanted))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted)


def _error(feature) -> float:
    """Length of the error, in units of the layer."""
    named = ("map_x", "moved_map_x", "map_y", "moved_map_y")
    numbers = [feature[name] for name in named]
    if all(isinstance(number, float) and math.isfinite(number) for number in numbers):
        return math.hypot(numbers[0] - numbers[1], numbers[2] - numbers[3])
    return math.hypot(feature["residual_x_px"] or 0.0, feature["residual_y_px"] or 0.0)


def _dot(colour: str, size: float) -> QgsMarkerSymbol:
    look = {
        "name": "circle",
        "color": colour,
        "size": str(size),
        "outline_color": "white",
        "outline_width": "0.2",
    }
    return QgsMarkerSymbol.createSimple(look)


def _with_arrow(symbol: QgsMarkerSymbol, factor: float) -> QgsMarkerSymbol:
    if factor:
        generator = QgsGeometryGeneratorSymbolLayer.create({})
        generator.setSymbolType(Qgis.SymbolType.Line)
        generator.setGeometryExpression(
            f"make_line($geometry, translate($geometry, {factor} * {DX}, {factor} * {DY}))"
        )
        generator.setSubSymbol(_arrow())
        symbol.appendSymbolLayer(generator)
    return symbol


def _arrow() -> QgsLineSymbol:
    arrow = QgsArrowSymbolLayer()
    arrow.setArrowWidth(0.5)
    arrow.setArrowStartWidth(0.5)
    arrow.setHeadLength(1.4)
    arrow.setHeadThickness(0.9)
    arrow.setIsCurved(False)
    arrow.setSubSymbol(
        QgsFillSymbol.createSimple({"color": "#ffd400", "outline_color": "#333333", "outline_width": "0.1"})
    )
    line = QgsLineSymbol()
    line.changeSymbolLayer(0, arrow)  # the symbol owns it then; in the list of its constructor Python would
    return line
