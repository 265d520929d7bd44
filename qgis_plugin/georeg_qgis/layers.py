"""From a QGIS layer to a path that the georeg program can open, or a clear refusal."""

from __future__ import annotations

import os
import re

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsMapLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from .versions import WKT

SERVICES = {
    "wms": "a web map service (WMS, WMTS or XYZ tiles)",
    "wcs": "a web coverage service (WCS)",
    "arcgismapserver": "an ArcGIS map server",
    "postgresraster": "a PostGIS database",
    "virtualraster": "a virtual raster of QGIS",
    "grassraster": "a GRASS database",
}
SAVE_IT = "Save the part you need as a GeoTIFF (right-click the layer, Export, Save As) and use that."


class LayerRefused(Exception):
    """georeg cannot read this layer; the message says why and what to do.

    Attributes:
        exportable: whether saving it to a file would help.
    """

    def __init__(self, message: str, exportable: bool = False) -> None:
        super().__init__(message)
        self.exportable = exportable


def raster_path(layer: QgsRasterLayer) -> str:
    """What GDAL opens for this layer: a file, a /vsi path or a subdataset name.

    A layer whose coordinate system was changed in QGIS becomes a small temporary VRT that says so.

    Raises:
        LayerRefused: as `check_raster` does.
    """
    return _with_layer_crs(layer, check_raster(layer))


def check_raster(layer: QgsRasterLayer) -> str:
    """The GDAL name behind a layer.

    Raises:
        LayerRefused: the layer is broken, or no file stands behind it.
    """
    name = layer.name()
    if not layer.isValid():
        raise LayerRefused(f"The layer “{name}” is broken: its file cannot be opened.")
    if layer.providerType() != "gdal":
        service = SERVICES.get(layer.providerType(), f"the data provider “{layer.providerType()}”")
        raise LayerRefused(
            f"The layer “{name}” comes from {service}, and georeg reads files. {SAVE_IT}", True
        )
    path = gdal_source(layer.source())
    if path.startswith("/vsimem/"):
        raise LayerRefused(f"The layer “{name}” lies only in the memory of QGIS. {SAVE_IT}", True)
    if os.path.isabs(path) and not path.startswith("/vsi") and not os.path.exists(path):
        raise LayerRefused(f"The file of the layer “{name}” is gone: {path}")
    return path


def refusal(layer: QgsRasterLayer | None) -> str:
    """Why georeg cannot read this layer; "" where it can, or where there is no layer."""
    try:
        if layer is not None:
            check_raster(layer)
    except LayerRefused as refused:
        return str(refused)
    return ""


def gdal_source(source: str) -> str:
    """The GDAL name in a layer source: without QGIS's own additions (open options, credentials)."""
    if "authcfg=" in source:
        raise LayerRefused(
            "georeg cannot use the passwords that QGIS stores: save the layer to a file first."
        )
    return re.sub(r"\|(option|credential):.*$", "", source)


def same_source(one: QgsMapLayer, other: QgsMapLayer) -> bool:
    """Whether two layers show the same file."""
    return one.id() == other.id() or _normal(one.source()) == _normal(other.source())


def mask_path(layer: QgsMapLayer) -> str:
    """A mask for georeg: a raster as it is, polygons saved as the layer shows them (filter, CRS)."""
    if isinstance(layer, QgsRasterLayer):
        return raster_path(layer)
    if not isinstance(layer, QgsVectorLayer):
        raise LayerRefused(f"The layer “{layer.name()}” can be no mask: choose polygons or a raster.")
    path = QgsProcessingUtils.generateTempFilename("mask.gpkg")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    answer = QgsVectorFileWriter.writeAsVectorFormatV3(
        layer, path, QgsProject.instance().transformContext(), options
    )
    if answer[0] != QgsVectorFileWriter.WriterError.NoError:
        raise LayerRefused(f"The mask “{layer.name()}” could not be saved for georeg: {answer[1]}")
    return path


def _with_layer_crs(layer: QgsRasterLayer, path: str) -> str:
    chosen, stored = layer.crs(), layer.dataProvider().crs()
    if not chosen.isValid() or chosen == stored:
        return path
    vrt = QgsProcessingUtils.generateTempFilename(f"{_file_stem(layer.name())}.vrt")
    options = gdal.TranslateOptions(format="VRT", outputSRS=_wkt(chosen))
    if gdal.Translate(vrt, path, options=options) is None:
        raise LayerRefused(
            f"The coordinate system of the layer “{layer.name()}” could not be handed to georeg."
        )
    return vrt


def _wkt(crs: QgsCoordinateReferenceSystem) -> str:
    return crs.toWkt(WKT)


def _file_stem(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", name)[:40] or "layer"


def _normal(source: str) -> str:
    path = source.split("|")[0]
    return os.path.normcase(os.path.realpath(path)) if os.path.isabs(path) else source
