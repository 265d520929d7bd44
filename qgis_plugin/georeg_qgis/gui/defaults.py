"""Sensible starting values: which two layers are meant, and where the result goes."""

from __future__ import annotations

import os

from qgis.core import (
    QgsCoordinateTransform,
    QgsCsException,
    QgsMapLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)


def default_pair(iface) -> tuple[QgsRasterLayer | None, QgsRasterLayer | None]:
    """Moving and reference: the two selected rasters, else the topmost in the map view and the next one."""
    selected = [
        layer for layer in iface.layerTreeView().selectedLayers() if isinstance(layer, QgsRasterLayer)
    ]
    if len(selected) >= 2:
        return selected[0], selected[1]
    shown = _rasters_in_view(iface)
    moving = selected[0] if selected else (shown[0] if shown else None)
    below = [layer for layer in shown if layer is not moving]
    reference = below[0] if below else None
    return (reference, moving) if _is_likelier_reference(moving, reference) else (moving, reference)


def _is_likelier_reference(layer: QgsRasterLayer | None, other: QgsRasterLayer | None) -> bool:
    """Colour images serve as reference more often than images with one band (radar, thermal)."""
    return layer is not None and other is not None and layer.bandCount() >= 3 and other.bandCount() == 1


def extent_in(layer: QgsMapLayer, crs) -> QgsRectangle:
    """A layer's extent in another coordinate system; empty where that cannot be said."""
    if not layer.crs().isValid() or not crs.isValid():
        return QgsRectangle()
    try:
        return QgsCoordinateTransform(layer.crs(), crs, QgsProject.instance()).transformBoundingBox(
            layer.extent()
        )
    except QgsCsException:
        return QgsRectangle()


def default_output(moving: QgsRasterLayer) -> str:
    """A new file beside the moving one, or in the temporary folder where that cannot be written."""
    source = moving.source().split("|")[0]
    folder = os.path.dirname(source)
    stem = os.path.splitext(os.path.basename(source))[0]
    if not (os.path.isfile(source) and os.access(folder, os.W_OK)):
        return QgsProcessingUtils.generateTempFilename("aligned.tif")
    return unused(os.path.join(folder, f"{stem}_aligned.tif"))


def unused(path: str) -> str:
    """This path, or with _2, _3 ... before the suffix, so that nothing is overwritten."""
    stem, suffix = os.path.splitext(path)
    number = 2
    while os.path.exists(path):
        path = f"{stem}_{number}{suffix}"
        number += 1
    return path


def companions(output: str) -> dict[str, str]:
    """Where the other results of the panel go: beside the image, named after it."""
    stem = os.path.splitext(output)[0]
    return {
        "POINTS": f"{stem}_tie_points.gpkg",
        "REGISTRATION": f"{stem}_registration.json",
        "REPORT": f"{stem}_report.html",
    }


def _rasters_in_view(iface) -> list[QgsRasterLayer]:
    """Visible rasters, topmost first, those that the map view shows before the others."""
    canvas = iface.mapCanvas()
    crs = canvas.mapSettings().destinationCrs()
    rasters = [layer for layer in canvas.layers() if isinstance(layer, QgsRasterLayer)]
    return sorted(rasters, key=lambda layer: not extent_in(layer, crs).intersects(canvas.extent()))
