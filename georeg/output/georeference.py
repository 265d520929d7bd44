"""Registered rasters without resampling: the file's pixels as they are, under a better geotransform or control points.

An affine result becomes a geotransform, in the moving file's own CRS where it has one, else in the reference's. Any
other result becomes a grid of ground control points in a VRT.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import rasterio.shutil
from rasterio.crs import CRS

from georeg.errors import UsageError
from georeg.output.convert import convert
from georeg.output.grid import Mapping
from georeg.output.options import OutputOptions
from georeg.raster.atomic import atomic_output
from georeg.raster.files import gdal_environment, is_local, open_dataset
from georeg.raster.geocoding import Geocoding, transform_map
from georeg.scene import FloatArray, Scene
from georeg.threads import thread_count

AFFINE_TOLERANCE_PX = 0.05
GCP_GRID = 15


@dataclass(frozen=True)
class Placement:
    """Where the moving scene's pixels lie on the map after registration.

    Attributes:
        crs: of the map; None for a reference without georeferencing, whose pixels (x, -y) then are the map.
        to_map: moving pixels (N, 2) -> map coordinates (N, 2).
        px_per_unit: moving pixels per map unit, about.
    """

    crs: CRS | None
    to_map: Callable[[FloatArray], FloatArray]
    px_per_unit: float

    def geotransform(self, moving: Scene) -> tuple[float, float, float, float, float, float] | None:
        """(a, b, c, d, e, f) where the placement is affine to AFFINE_TOLERANCE_PX, else None."""
        px = _grid_px(moving, 9)
        map_xy = self.to_map(px)
        if not np.isfinite(map_xy).all():
            return None
        centre = px.mean(0)
        terms = np.column_stack([px - centre, np.ones(len(px))])
        fitted, *_ = np.linalg.lstsq(terms, map_xy - map_xy.mean(0), rcond=None)
        missed = np.abs(terms @ fitted + map_xy.mean(0) - map_xy).max() * self.px_per_unit
        if missed > AFFINE_TOLERANCE_PX:
            return None
        origin = map_xy.mean(0) + fitted[2] - centre @ fitted[:2]
        (a, d), (b, e) = fitted[:2].tolist()
        return a, b, float(origin[0]), d, e, float(origin[1])


def placements(mapping: Mapping, moving: Scene, reference: Scene) -> list[Placement]:
    """The ways to place the moving scene: in its own CRS if it has one, in the reference's."""
    target = Geocoding.of(reference)
    if target is None:
        return [_placement(None, lambda px: mapping(px) * [1.0, -1.0], moving)]
    own = Geocoding.of(moving)
    found: list[Placement] = []
    for crs in (own.crs if own else None, target.crs):
        if crs is None and found:
            continue

        def to_map(px: FloatArray, crs: CRS | None = crs) -> FloatArray:
            return transform_map(target.crs, crs, target.to_map(mapping(px)))

        if crs is not None or target.crs is None:
            found.append(_placement(crs, to_map, moving))
    return found


def _placement(crs: CRS | None, to_map: Callable[[FloatArray], FloatArray], moving: Scene) -> Placement:
    px = _grid_px(moving, 2)
    map_xy = to_map(px)
    span = np.hypot(*np.ptp(map_xy, axis=0))
    return Placement(crs, to_map, float(moving.grid.diagonal_px / span) if span > 0 else 1.0)


def _grid_px(moving: Scene, steps: int) -> FloatArray:
    xs, ys = np.linspace(0, moving.grid.width, steps), np.linspace(0, moving.grid.height, steps)
    return np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)


def write_georeferenced(
    moving: Scene, mapping: Mapping, reference: Scene, path: str | os.PathLike[str], options: OutputOptions
) -> None:
    """Copy the moving file, its pixels bit for bit, under the registered geotransform.

    Raises:
        UsageError: the result is not affine, or the reference has no georeferencing to take over.
    """
    if Geocoding.of(reference) is None:
        raise UsageError(
            f"{reference.name} has no georeferencing that {moving.name} could take over: "
            "use --output-mode resample, which writes into the reference's pixel frame."
        )
    for placement in placements(mapping, moving, reference):
        geotransform = placement.geotransform(moving)
        if geotransform is not None:
            break
    else:
        raise UsageError(
            "The registration bends the image, so a geotransform cannot express it: use --output-mode vrt "
            "(control points) or resample, or ask for --transform affine."
        )
    inputs = [moving.path, reference.path]
    with (
        gdal_environment(),
        atomic_output(path, inputs, options.overwrite) as final,
        tempfile.TemporaryDirectory() as folder,
    ):
        work = os.path.join(folder, "placed.vrt")
        _vrt(moving, placement, geotransform, start=None).write(work)
        convert(work, str(final), options, thread_count(options.num_threads))


def write_vrt(
    moving: Scene,
    mapping: Mapping,
    reference: Scene,
    path: str | os.PathLike[str],
    options: OutputOptions = OutputOptions(),
) -> None:
    """Write a VRT that points at the moving file and places it: a geotransform if that suffices, else control points.

    Raises:
        UsageError: `path` does not end in .vrt, is an input, or exists already.
    """
    if not os.fspath(path).lower().endswith(".vrt"):
        raise UsageError(f"{path} is to hold a VRT: let its name end in .vrt.")
    candidates = placements(mapping, moving, reference)
    exact = [(p, p.geotransform(moving)) for p in candidates]
    placement, geotransform = next((pair for pair in exact if pair[1] is not None), (candidates[-1], None))
    folder = os.path.dirname(os.path.abspath(path))
    with gdal_environment(), atomic_output(path, [moving.path, reference.path], options.overwrite) as final:
        _vrt(moving, placement, geotransform, start=folder).write(final)


def _vrt(
    moving: Scene, placement: Placement, geotransform: tuple[float, ...] | None, start: str | None
) -> ElementTree.ElementTree:
    """GDAL's own VRT of the moving file with its placement replaced.

    Args:
        start: the folder that file names are relative to; None makes them absolute.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = _plain_vrt(moving.path, folder)
        _point_from(root, folder, start)
    for name in ("SRS", "GeoTransform", "GCPList"):
        for element in root.findall(name):
            root.remove(element)
    for element in root.findall("Metadata"):
        if element.get("domain") in ("RPC", "GEOLOCATION"):
            root.remove(element)
    if geotransform is not None:
        _put_geotransform(root, placement, geotransform)
    else:
        _put_gcps(root, placement, moving)
    return ElementTree.ElementTree(root)


def _plain_vrt(path: str, folder: str) -> ElementTree.Element:
    """GDAL's own VRT of a file, written into a folder."""
    name = os.path.join(folder, "plain.vrt")
    with open_dataset(path) as dataset:
        rasterio.shutil.copy(dataset, name, driver="VRT")
    return ElementTree.parse(name).getroot()


def _put_geotransform(
    root: ElementTree.Element, placement: Placement, geotransform: tuple[float, ...]
) -> None:
    a, b, c, d, e, f = geotransform
    if placement.crs is not None:
        srs = ElementTree.Element("SRS")
        srs.text = placement.crs.to_wkt()
        root.insert(0, srs)
    element = ElementTree.Element("GeoTransform")
    element.text = ", ".join(f"{value:.17g}" for value in (c, a, b, f, d, e))
    root.insert(1 if placement.crs is not None else 0, element)


def _put_gcps(root: ElementTree.Element, placement: Placement, moving: Scene) -> None:
    attributes = {}
    if placement.crs is not None:
        attributes = {"Projection": placement.crs.to_wkt()}
    points = ElementTree.Element("GCPList", attributes)
    px = _grid_px(moving, GCP_GRID)
    for index, ((col, row), (x, y)) in enumerate(zip(px, placement.to_map(px), strict=True)):
        if np.isfinite([x, y]).all():
            values = {"Pixel": col, "Line": row, "X": x, "Y": y, "Z": 0.0}
            numbers = {key: f"{value:.15g}" for key, value in values.items()}
            ElementTree.SubElement(points, "GCP", {"Id": str(index), **numbers})
    root.insert(0, points)


def _point_from(root: ElementTree.Element, folder: str, start: str | None) -> None:
    """Make source file names that were right in `folder` absolute, or relative to the folder `start`."""
    for element in root.iter("SourceFilename"):
        name = element.text or ""
        if element.get("relativeToVRT") == "1":
            name = os.path.join(folder, name)
        elif not is_local(name):
            continue
        name = os.path.realpath(name)
        element.text = name if start is None else os.path.relpath(name, os.path.realpath(start))
        element.set("relativeToVRT", "0" if start is None else "1")
