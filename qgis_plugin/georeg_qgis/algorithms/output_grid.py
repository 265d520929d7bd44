"""The parameters that say where and how a raster is written, shared by match and warp."""

from __future__ import annotations

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingParameterCrs,
    QgsProcessingParameterExtent,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from ..executable.command import Grid
from ..versions import DOUBLE, WKT, creation_options_widget
from .base import GeoregAlgorithm
from .choices import GRIDS, RESAMPLINGS


def add_grid_parameters(algorithm: GeoregAlgorithm) -> None:
    """Add the parameters, all of them advanced."""
    algorithm.add_choice(
        "OUTPUT_GRID", "Output pixels", GRIDS, "Which pixel grid the result has.", advanced=True
    )
    algorithm.add_choice(
        "RESAMPLING", "Resampling", RESAMPLINGS, "How pixel values are computed.", advanced=True
    )
    algorithm.add(
        QgsProcessingParameterCrs("DST_CRS", "Output coordinate system", optional=True),
        "Left empty: that of the output grid.",
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterNumber("RESOLUTION", "Output pixel size", DOUBLE, optional=True, minValue=0.0),
        "In units of the output coordinate system. Left empty: that of the output grid.",
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterExtent("EXTENT", "Output extent", optional=True),
        "Writes this part only. The whole image is used for matching all the same.",
        advanced=True,
    )
    algorithm.add(
        QgsProcessingParameterNumber("DST_NODATA", "Nodata value of the output", DOUBLE, optional=True),
        "Left empty: that of the moving image.",
        advanced=True,
    )
    creation = QgsProcessingParameterString("CREATION_OPTIONS", "Creation options", "", optional=True)
    creation.setMetadata(creation_options_widget())
    algorithm.add(creation, "GDAL creation options, as NAME=VALUE|NAME=VALUE.", advanced=True)


def read_grid(
    algorithm: GeoregAlgorithm, parameters: dict, context, default_crs: QgsCoordinateReferenceSystem
) -> Grid:
    """The chosen grid; the extent is given to georeg in the coordinate system of the output."""
    crs = algorithm.parameterAsCrs(parameters, "DST_CRS", context)
    options = algorithm.parameterAsString(parameters, "CREATION_OPTIONS", context)
    return Grid(
        grid=algorithm.choice(parameters, "OUTPUT_GRID", GRIDS, context),
        dst_crs=_name(crs),
        resolution=algorithm.optional_number(parameters, "RESOLUTION", context) or None,
        bbox=_bbox(algorithm, parameters, context, crs if crs.isValid() else default_crs),
        resampling=algorithm.choice(parameters, "RESAMPLING", RESAMPLINGS, context),
        dst_nodata=algorithm.optional_number(parameters, "DST_NODATA", context),
        creation_options=tuple(part for part in options.split("|") if part.strip()),
    )


def _name(crs: QgsCoordinateReferenceSystem) -> str:
    if not crs.isValid():
        return ""
    return crs.authid() or crs.toWkt(WKT)


def _bbox(algorithm, parameters, context, crs) -> tuple[float, float, float, float] | None:
    if not parameters.get("EXTENT"):
        return None
    extent = algorithm.parameterAsExtent(parameters, "EXTENT", context, crs)
    if extent.isEmpty():
        return None
    return extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()
