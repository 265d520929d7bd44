"""georeg:warp: the transform of an earlier registration, for another file (more bands, a mask)."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
)

from ..executable.command import Warp
from ..layers import LayerRefused, raster_path, refusal
from ..results import StyleLike, layer_style, style_when_loaded
from .base import GeoregAlgorithm
from .output_grid import add_grid_parameters, read_grid

HELP = """<p>Moves another file in the same way as an earlier result of <b>Align image to reference</b>:
further bands, a mask, a classification of the same scene. The file must have the same pixel grid as the
image that was aligned.</p>
<p>Use <b>Nearest neighbour</b> (advanced parameters) for classes and masks.</p>"""


class WarpAlgorithm(GeoregAlgorithm):
    """Parameters of `georeg warp`."""

    NAME = "warp"
    TITLE = "Align another file the same way"
    HELP = HELP

    def __init__(self) -> None:
        super().__init__()
        self._request = Warp("", "", "")
        self._style = None

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", "Image to align"),
            "It must have the same pixel grid as the image that was registered.",
        )
        registration = QgsProcessingParameterFile("REGISTRATION", "Registration", extension="json")
        self.add(registration, "The .json file that “Align image to reference” wrote.")
        add_grid_parameters(self)
        self.add(QgsProcessingParameterRasterDestination("OUTPUT", "Aligned image"))

    def checkParameterValues(self, parameters: dict, context) -> tuple[bool, str]:
        problem = refusal(self.parameterAsRasterLayer(parameters, "INPUT", context))
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: dict, context, feedback) -> bool:
        self.take_settings()
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        self._style = layer_style(layer)
        try:
            path = raster_path(layer)
        except LayerRefused as refusal:
            raise QgsProcessingException(str(refusal)) from refusal
        self._request = Warp(
            moving=path,
            output=self.parameterAsOutputLayer(parameters, "OUTPUT", context),
            registration=self.parameterAsFile(parameters, "REGISTRATION", context),
            grid=read_grid(self, parameters, context, QgsCoordinateReferenceSystem()),
        )
        return True

    def processAlgorithm(self, parameters: dict, context, feedback) -> dict[str, Any]:
        self.run_georeg(self._request, feedback)
        style_when_loaded(context, self._request.output, StyleLike(self._style))
        return {"OUTPUT": self._request.output}
