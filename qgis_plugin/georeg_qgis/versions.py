"""What has another name from one version of QGIS to the next, found under either.

QGIS 3.34 and 3.36 moved enumerations into the class Qgis; 3.40 replaced the widget for creation options.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Callable

from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsMapLayerProxyModel,
    QgsProcessing,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
)

OLD_RASTER_OPTIONS = "processing.algs.gdal.ui.RasterOptionsWidget"


def _member(enumeration: str, member: str, before: Callable[[], Any]) -> Any:
    """Qgis.ENUMERATION.MEMBER; where this QGIS has no such enumeration, what it was before."""
    moved = getattr(Qgis, enumeration, None)
    return before() if moved is None else getattr(moved, member)


RASTER = _member("ProcessingSourceType", "Raster", lambda: QgsProcessing.SourceType.TypeRaster)
POINTS = _member("ProcessingSourceType", "VectorPoint", lambda: QgsProcessing.SourceType.TypeVectorPoint)
POLYGONS = _member(
    "ProcessingSourceType", "VectorPolygon", lambda: QgsProcessing.SourceType.TypeVectorPolygon
)
ADVANCED = _member(
    "ProcessingParameterFlag", "Advanced", lambda: QgsProcessingParameterDefinition.Flag.FlagAdvanced
)
FOLDER = _member(
    "ProcessingFileParameterBehavior", "Folder", lambda: QgsProcessingParameterFile.Behavior.Folder
)
DOUBLE = _member("ProcessingNumberParameterType", "Double", lambda: QgsProcessingParameterNumber.Type.Double)
RASTER_LAYERS = _member("LayerFilter", "RasterLayer", lambda: QgsMapLayerProxyModel.Filter.RasterLayer)
WKT = _member("CrsWktVariant", "Preferred", lambda: QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)


def creation_options_widget() -> dict[str, Any]:
    """Metadata that gives a text parameter the table of creation options."""
    try:
        is_old = find_spec(OLD_RASTER_OPTIONS) is not None
    except ModuleNotFoundError:  # its folder is gone as well
        is_old = False
    if is_old:
        return {"widget_wrapper": {"class": f"{OLD_RASTER_OPTIONS}.RasterOptionsWidgetWrapper"}}
    return {"widget_wrapper": {"widget_type": "rasteroptions"}}
