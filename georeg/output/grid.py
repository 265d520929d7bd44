"""The grid a registered raster is written on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from georeg.errors import NotRegistrableError, UsageError
from georeg.output.options import OutputOptions
from georeg.raster.geocoding import AffineGeocoding, Geocoding, outline_xy, transform_map
from georeg.scene import FloatArray, Grid, Scene

MOST_PIXELS = 4 * 10**10


class Mapping(Protocol):
    """Moving pixels -> reference pixels; `georeg.geometry.pixelmap.PixelMap` is one."""

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        """Reference pixels (N, 2) of moving pixels (N, 2)."""

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        """Moving pixels (N, 2) of reference pixels (N, 2)."""


@dataclass(frozen=True)
class OutputGrid:
    """Where the output's pixels lie.

    Attributes:
        grid: size, geotransform and CRS.
        to_reference: output pixels (N, 2) -> reference pixels (N, 2), corner-based.
        gcps, rpcs: the reference's own, where the output lies in the pixel frame of a reference placed by these.
    """

    grid: Grid
    to_reference: Callable[[FloatArray], FloatArray]
    gcps: FloatArray | None = None
    rpcs: dict[str, Any] | None = None


def plan_grid(mapping: Mapping, moving: Scene, reference: Scene, options: OutputOptions) -> OutputGrid:
    """Choose the output grid.

    By default the reference's own pixels, cropped to the moving scene's footprint; without a geotransform in the
    reference the whole of its pixel frame. Otherwise a north-up grid as --output-grid, --dst-crs, --resolution and
    --bbox have it.

    Raises:
        NotRegistrableError: the registered image does not meet the reference.
        UsageError: the options need georeferencing that the reference has not, an unreasonable size, or a --bbox
            that shows nothing of the registered image.
    """
    footprint = mapping(outline_xy(moving.grid.width, moving.grid.height, 32))
    footprint = footprint[np.isfinite(footprint).all(1)]
    if len(footprint) < 3:
        raise NotRegistrableError(f"No part of {moving.name} can be placed on {reference.name}.")
    geocoding = Geocoding.of(reference)
    if geocoding is None and (options.dst_crs or options.resolution or options.bbox):
        raise UsageError(
            f"{reference.name} has no georeferencing, so --dst-crs, --resolution and --bbox have no meaning: "
            "leave them out."
        )
    if options.bbox and geocoding is not None:
        _check_bbox(options, options.bbox, footprint, geocoding, moving)
    on_the_map = geocoding if isinstance(geocoding, AffineGeocoding) else None
    own_extent = options.bbox and on_the_map is None
    if options.grid == "moving" or options.dst_crs or options.resolution or own_extent:
        made = _north_up(mapping, moving, reference, geocoding, footprint, options)
    elif on_the_map is not None:
        made = _cropped(reference, on_the_map, footprint, options)
    else:
        made = OutputGrid(reference.grid, _same, reference.gcps, reference.tags.get("rpcs"))
    _check_size(made.grid, moving, reference)
    return made


def _same(points_xy: FloatArray) -> FloatArray:
    return points_xy


def _cropped(
    reference: Scene, geocoding: AffineGeocoding, footprint: FloatArray, options: OutputOptions
) -> OutputGrid:
    """The reference's pixels within the footprint, or within --bbox."""
    if options.bbox:
        corners = geocoding.to_px(_corners(options.bbox))
        low, high = np.round(corners.min(0)), np.round(corners.max(0))
    else:
        low = np.clip(np.floor(footprint.min(0) + 1e-6), 0, [reference.grid.width, reference.grid.height])
        high = np.clip(np.ceil(footprint.max(0) - 1e-6), 0, [reference.grid.width, reference.grid.height])
    assert reference.grid.geotransform is not None  # an affine geocoding is made of it
    a, b, _, d, e, _ = reference.grid.geotransform
    c, f = geocoding.to_map(low[None])[0]
    grid = Grid(
        int(high[0] - low[0]),
        int(high[1] - low[1]),
        (a, b, float(c), d, e, float(f)),
        reference.grid.crs_wkt,
    )
    return OutputGrid(grid, lambda points_xy: points_xy + low)


def _north_up(
    mapping: Mapping,
    moving: Scene,
    reference: Scene,
    geocoding: Geocoding | None,
    footprint: FloatArray,
    options: OutputOptions,
) -> OutputGrid:
    centre = np.array([moving.grid.width / 2, moving.grid.height / 2])
    if geocoding is None:
        scale = _step(mapping, centre)
        size = np.ceil(np.array([reference.grid.width, reference.grid.height]) / scale)
        return OutputGrid(Grid(int(size[0]), int(size[1])), lambda points_xy: points_xy * scale)
    crs = _crs(options.dst_crs, geocoding)
    to_map = _ToMap(geocoding, crs)
    if options.resolution:
        resolution = options.resolution
    elif options.grid == "moving":
        resolution = _step(lambda points_xy: to_map(mapping(points_xy)), centre)
    else:
        resolution = _step(to_map, mapping(centre[None])[0])
    bounds = options.bbox or _snapped(to_map(footprint), resolution)
    width, height = (round((bounds[i + 2] - bounds[i]) / resolution) for i in (0, 1))
    grid = Grid(
        width,
        height,
        (resolution, 0.0, bounds[0], 0.0, -resolution, bounds[3]),
        crs.to_wkt() if crs is not None else None,
    )

    def to_reference(points_xy: FloatArray) -> FloatArray:
        map_xy = points_xy * [resolution, -resolution] + [bounds[0], bounds[3]]
        return geocoding.to_px(transform_map(crs, geocoding.crs, map_xy))

    return OutputGrid(grid, to_reference)


class _ToMap:
    """Reference pixels to the output's map coordinates, continuous across the antimeridian."""

    def __init__(self, geocoding: Geocoding, crs: CRS | None) -> None:
        self.geocoding, self.crs = geocoding, crs
        self.centre = transform_map(geocoding.crs, crs, geocoding.centre_map[None])[0]

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        map_xy = transform_map(self.geocoding.crs, self.crs, self.geocoding.to_map(points_xy))
        if self.crs is not None and self.crs.is_geographic:
            map_xy = map_xy.copy()
            map_xy[:, 0] += 360.0 * np.round((self.centre[0] - map_xy[:, 0]) / 360.0)
        return map_xy


def _crs(wanted: str | None, geocoding: Geocoding) -> CRS | None:
    if wanted is None:
        return geocoding.crs
    if geocoding.crs is None:
        raise UsageError("The reference has no CRS, so --dst-crs cannot be reached from it: leave it out.")
    try:
        return CRS.from_user_input(wanted)
    except CRSError as error:
        raise UsageError(f"--dst-crs {wanted} is no CRS that PROJ knows: try EPSG:4326 or a WKT.") from error


def _step(function: Callable[[FloatArray], FloatArray], at: FloatArray) -> float:
    """The length one pixel step has after `function`, at a point (root of the Jacobian)."""
    around = function(at + np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]]))
    dx, dy = around[1] - around[0], around[3] - around[2]
    step = math.sqrt(abs(dx[0] * dy[1] - dx[1] * dy[0]))
    if not math.isfinite(step) or step == 0:
        raise NotRegistrableError(
            "The registered image has no extent at its centre: the transform is degenerate."
        )
    return step


def _snapped(map_xy: FloatArray, resolution: float) -> tuple[float, float, float, float]:
    """Bounds rounded outwards to multiples of the resolution."""
    map_xy = map_xy[np.isfinite(map_xy).all(1)]
    low = np.floor(map_xy.min(0) / resolution + 1e-6) * resolution
    high = np.ceil(map_xy.max(0) / resolution - 1e-6) * resolution
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _corners(bbox: tuple[float, float, float, float]) -> FloatArray:
    left, bottom, right, top = bbox
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _check_bbox(
    options: OutputOptions,
    bbox: tuple[float, float, float, float],
    footprint: FloatArray,
    geocoding: Geocoding,
    moving: Scene,
) -> None:
    """Refuse a --bbox that holds nothing of the registered image; most often it is in another CRS."""
    crs = _crs(options.dst_crs, geocoding)
    left, bottom, right, top = bbox
    frame = outline_xy(1, 1, 32) * [right - left, top - bottom] + [left, bottom]
    frame = geocoding.to_px(transform_map(crs, geocoding.crs, frame))
    frame = frame[np.isfinite(frame).all(1)]
    outlines = [shapely.make_valid(shapely.Polygon(ring)) for ring in (frame, footprint) if len(ring) >= 3]
    if len(outlines) == 2 and shapely.intersection(*outlines).area > 0:
        return
    covered = _ToMap(geocoding, crs)(footprint)
    there = " ".join(f"{side:.10g}" for side in (*np.nanmin(covered, 0), *np.nanmax(covered, 0)))
    raise UsageError(
        f"--bbox {' '.join(f'{side:.10g}' for side in bbox)} lies outside the registered {moving.name}, "
        f"which covers {there}: give an extent that meets it, in the output's CRS."
    )


def _check_size(grid: Grid, moving: Scene, reference: Scene) -> None:
    if grid.width <= 0 or grid.height <= 0:
        raise NotRegistrableError(
            f"The registered {moving.name} lies outside {reference.name}: nothing would be written; "
            "try --output-grid moving or another --bbox."
        )
    if grid.width * grid.height > MOST_PIXELS:
        raise UsageError(
            f"The output would have {grid.width} x {grid.height} pixels: give a coarser --resolution "
            "or a smaller --bbox."
        )
