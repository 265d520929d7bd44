"""The Processing provider `georeg`."""

from __future__ import annotations

from qgis.core import QgsProcessingProvider

from ..executable.environment import ExecutableMissing
from ..icons import icon, icon_path
from ..settings import executable
from .batch import BatchAlgorithm
from .evaluate import EvaluateAlgorithm
from .match import MatchAlgorithm
from .warp import WarpAlgorithm


class GeoregProvider(QgsProcessingProvider):
    """Groups the algorithms under one name and one icon."""

    def id(self) -> str:
        return "georeg"

    def name(self) -> str:
        return "GeoReg"

    def longName(self) -> str:
        return "GeoReg: register images from different sensors"

    def icon(self):
        return icon("georeg")

    def svgIconPath(self) -> str:
        return icon_path("georeg")

    def loadAlgorithms(self) -> None:
        for algorithm in (MatchAlgorithm, WarpAlgorithm, BatchAlgorithm, EvaluateAlgorithm):
            self.addAlgorithm(algorithm())

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        return ["tif", "vrt"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        return ["gpkg", "geojson"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        return "gpkg"

    def warningMessage(self) -> str:
        try:
            executable()
        except ExecutableMissing as missing:
            return str(missing)
        return ""
