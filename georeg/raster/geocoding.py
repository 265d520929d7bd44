"""Where pixels lie on Earth: a file's own geocoding, and the map between two scenes that follows from it.

Pixel coordinates are corner-based; map coordinates are in the order x, y (longitude, latitude), as in GDAL.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import rasterio.warp
import shapely
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer

from georeg.geometry.spline import Spline
from georeg.raster.files import from_gdal
from georeg.scene import FloatArray, Scene

WGS84 = CRS.from_epsg(4326)
GCP_TOLERANCE_PX = 0.05
NEWTON_STEPS = 20
_MERCATOR_PERIOD_M = 2 * np.pi * 6378137.0
_EQUATOR_M, _FLATTENING = 6378137.0, 1 / 298.257223563


class Geocoding(ABC):
    """Pixel to map coordinates and back for one scene; instances may be pickled and shared by threads.

    Attributes:
        crs: of the map coordinates; None where it is unknown.
        centre_map: (2,) map coordinates of the scene's centre; longitudes are wrapped to its neighbourhood.
    """

    def __init__(self, crs: CRS | None, centre_px: FloatArray) -> None:
        self.crs = crs
        self.centre_px = centre_px
        self.centre_map = self.to_map(centre_px[None])[0]

    @staticmethod
    def of(scene: Scene) -> Geocoding | None:
        """The scene's geocoding; None where it has none."""
        crs = None if scene.grid.crs_wkt is None else CRS.from_wkt(scene.grid.crs_wkt)
        centre_px = np.array([scene.grid.width / 2, scene.grid.height / 2])
        if scene.geocoding == "geotransform" and scene.grid.geotransform is not None:
            return AffineGeocoding(scene.grid.geotransform, crs, centre_px)
        if scene.geocoding == "gcps" and scene.gcps is not None:
            return GcpGeocoding(scene.gcps, crs, centre_px)
        if scene.geocoding == "rpcs" and "rpcs" in scene.tags:
            return RpcGeocoding(scene.tags["rpcs"], centre_px)
        return None

    @property
    def period(self) -> float | None:
        """After how many map units x comes round the Earth to the same place; None where it does not."""
        if self.crs is None:
            return None
        if self.crs.is_geographic:
            return 360.0
        return _MERCATOR_PERIOD_M if self.crs.to_epsg() == 3857 else None

    def near_centre(self, map_xy: FloatArray) -> FloatArray:
        """The same places with x on this scene's side of the antimeridian."""
        if self.period is None:
            return map_xy
        turns = np.round((self.centre_map[0] - map_xy[:, 0]) / self.period)
        return map_xy + np.stack([turns * self.period, np.zeros_like(turns)], 1)

    @abstractmethod
    def to_map(self, px_xy: FloatArray) -> FloatArray:
        """Map coordinates (N, 2) of pixels (N, 2)."""

    @abstractmethod
    def to_px(self, map_xy: FloatArray) -> FloatArray:
        """Pixels (N, 2) of map coordinates (N, 2); NaN where there is no answer."""


class AffineGeocoding(Geocoding):
    """A geotransform, rotated or south-up ones included."""

    def __init__(self, geotransform: tuple[float, ...], crs: CRS | None, centre_px: FloatArray) -> None:
        a, b, c, d, e, f = geotransform
        self.matrix = np.array([[a, b, c], [d, e, f], [0.0, 0.0, 1.0]])
        self._inverse = np.linalg.inv(self.matrix)
        super().__init__(crs, centre_px)

    def to_map(self, px_xy: FloatArray) -> FloatArray:
        return px_xy @ self.matrix[:2, :2].T + self.matrix[:2, 2]

    def to_px(self, map_xy: FloatArray) -> FloatArray:
        # Taking the origin off first keeps the digits that a product with map coordinates would lose.
        return (self.near_centre(map_xy) - self.matrix[:2, 2]) @ self._inverse[:2, :2].T


class GcpGeocoding(Geocoding):
    """Control points: the lowest polynomial within GCP_TOLERANCE_PX of them, else a thin-plate spline."""

    def __init__(self, gcps: FloatArray, crs: CRS | None, centre_px: FloatArray) -> None:
        self.gcps = _unwrapped(gcps, crs)
        self._forward = _fit_plane(self.gcps[:, :2], self.gcps[:, 2:], self._px_per_unit())
        self._guess = _fit_plane(self.gcps[:, 2:], self.gcps[:, :2], 1.0)
        super().__init__(crs, centre_px)

    def _px_per_unit(self) -> float:
        spans = np.ptp(self.gcps, axis=0)
        return float(np.hypot(*spans[:2]) / max(np.hypot(*spans[2:]), 1e-300))

    def to_map(self, px_xy: FloatArray) -> FloatArray:
        return self._forward(px_xy)

    def to_px(self, map_xy: FloatArray) -> FloatArray:
        wanted = self.near_centre(map_xy)
        return _newton_inverse(self.to_map, wanted, self._guess(wanted))


class RpcGeocoding(Geocoding):
    """Rational polynomial coefficients at their own mean height (no height model is used)."""

    def __init__(self, rpcs: dict[str, Any], centre_px: FloatArray) -> None:
        self.rpcs = rpcs
        self._local = threading.local()
        super().__init__(WGS84, centre_px)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._local = threading.local()

    @property
    def _transformer(self) -> RPCTransformer:
        if not hasattr(self._local, "transformer"):
            rpc = RPC.from_gdal(self.rpcs)
            self._local.transformer = RPCTransformer(
                rpc, RPC_HEIGHT=rpc.height_off, RPC_PIXEL_ERROR_THRESHOLD=1e-5, RPC_MAX_ITERATIONS=50
            )
        return self._local.transformer

    def to_map(self, px_xy: FloatArray) -> FloatArray:
        x, y = self._transformer.xy(px_xy[:, 1], px_xy[:, 0], offset="ul")
        return _finite(np.stack([x, y], 1))

    def to_px(self, map_xy: FloatArray) -> FloatArray:
        lon_lat = self.near_centre(map_xy)
        rows, cols = self._transformer.rowcol(lon_lat[:, 0], lon_lat[:, 1], op=np.positive)
        return _finite(np.stack([cols, rows], 1))


@dataclass(frozen=True)
class GeocodingPrior:
    """Moving pixels to reference pixels by the two files' own geocoding, across any two CRSs.

    Implements the Transform protocol of `georeg.geometry.transforms` with kind "geocoding".

    Attributes:
        moving, reference: the two geocodings.
    """

    moving: Geocoding
    reference: Geocoding

    @classmethod
    def between(cls, moving: Scene, reference: Scene) -> GeocodingPrior | None:
        """The prior between two scenes; None where one is not georeferenced or the CRSs cannot be connected.

        A scene with a geotransform but no CRS is taken to be in the other's CRS.
        """
        first, second = Geocoding.of(moving), Geocoding.of(reference)
        if first is None or second is None:
            return None
        prior = cls(first, second)
        centre = prior(first.centre_px[None])
        return prior if np.isfinite(centre).all() else None

    @property
    def kind(self) -> str:
        return "geocoding"

    @property
    def matrix(self) -> FloatArray | None:
        """(3, 3) where the prior is exactly affine (two geotransforms in one CRS), else None."""
        if not (isinstance(self.moving, AffineGeocoding) and isinstance(self.reference, AffineGeocoding)):
            return None
        if not _same_crs(self.moving.crs, self.reference.crs):
            return None
        matrix = np.eye(3)
        matrix[:2, :2] = np.linalg.solve(self.reference.matrix[:2, :2], self.moving.matrix[:2, :2])
        matrix[:2, 2] = self(self.moving.centre_px[None])[0] - matrix[:2, :2] @ self.moving.centre_px
        return matrix

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        """Reference pixels (N, 2) of moving pixels (N, 2); NaN where the geocoding gives no answer."""
        return _across(self.moving, self.reference, points_xy)

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        """Moving pixels (N, 2) of reference pixels (N, 2); NaN where the geocoding gives no answer."""
        return _across(self.reference, self.moving, points_xy)

    def footprint(self, moving: Scene, steps: int = 16) -> shapely.Polygon:
        """The moving scene's outline in reference pixels; empty where nothing of it can be placed."""
        outline = self(outline_xy(moving.grid.width, moving.grid.height, steps))
        outline = outline[np.isfinite(outline).all(1)]
        return shapely.make_valid(shapely.Polygon(outline)) if len(outline) > 2 else shapely.Polygon()

    def overlap(self, moving: Scene, reference: Scene) -> float:
        """Share of the moving scene's footprint that lies on the reference scene, 0..1."""
        footprint = self.footprint(moving)
        frame = shapely.box(0, 0, reference.grid.width, reference.grid.height)
        return float(footprint.intersection(frame).area / footprint.area) if footprint.area > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """Only the kind: the geocodings are in the scenes' own entries."""
        return {"kind": self.kind}


def transform_map(source: CRS | None, target: CRS | None, map_xy: FloatArray) -> FloatArray:
    """Map coordinates (N, 2) from one CRS to another; unchanged where one is unknown, NaN without answer."""
    if _same_crs(source, target) or len(map_xy) == 0:
        return map_xy
    good = np.isfinite(map_xy).all(1)
    out = np.full(map_xy.shape, np.nan)
    try:
        x, y = rasterio.warp.transform(source, target, map_xy[good, 0], map_xy[good, 1])
        out[good] = np.stack([x, y], 1)
    except Exception as error:  # PROJ's own errors share no public base
        if not from_gdal(error):
            raise
        for index in np.flatnonzero(good) if good.sum() > 1 else ():
            out[index] = transform_map(source, target, map_xy[index : index + 1])[0]
    return _finite(out)


def ground_distance_m(geocoding: Geocoding) -> float | None:
    """Metres per pixel at the scene's centre (geometric mean of both axes); None where it is unknown."""
    if geocoding.crs is None:
        return None
    step = max(1.0, 0.01 * float(geocoding.centre_px.min()))
    px = geocoding.centre_px + step * np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    lon_lat = np.deg2rad(transform_map(geocoding.crs, WGS84, geocoding.to_map(px)))
    if not np.isfinite(lon_lat).all():
        return None
    along, down = (
        _local_metres(lon_lat[1] - lon_lat[0], lon_lat),
        _local_metres(lon_lat[3] - lon_lat[2], lon_lat),
    )
    area = abs(along[0] * down[1] - along[1] * down[0])
    return float(np.sqrt(area) / (2 * step)) if area > 0 else None


def _local_metres(difference: FloatArray, lon_lat: FloatArray) -> FloatArray:
    """East and north metres on the WGS84 ellipsoid of a small difference in radians."""
    sine = np.sin(lon_lat[:, 1].mean())
    e2 = _FLATTENING * (2 - _FLATTENING)
    across = _EQUATOR_M / np.sqrt(1 - e2 * sine**2)
    along = across * (1 - e2) / (1 - e2 * sine**2)
    east = (difference[0] + np.pi) % (2 * np.pi) - np.pi
    return np.array([east * across * np.sqrt(1 - sine**2), difference[1] * along])


def _across(source: Geocoding, target: Geocoding, points_xy: FloatArray) -> FloatArray:
    points_xy = np.asarray(points_xy, dtype=np.float64)
    return target.to_px(transform_map(source.crs, target.crs, source.to_map(points_xy)))


def _same_crs(first: CRS | None, second: CRS | None) -> bool:
    return first is None or second is None or first == second


def _finite(points_xy: FloatArray) -> FloatArray:
    points_xy = np.asarray(points_xy, dtype=np.float64)
    points_xy[~np.isfinite(points_xy).all(1)] = np.nan
    return points_xy


def outline_xy(width: float, height: float, steps: int) -> FloatArray:
    """Points along the outline of a frame, (4 steps, 2), from the top-left corner clockwise."""
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height], [0.0, 0.0]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    return np.concatenate([a + t * (b - a) for a, b in pairwise(corners)])


def _unwrapped(gcps: FloatArray, crs: CRS | None) -> FloatArray:
    """The GCPs with longitudes made continuous across the antimeridian."""
    if crs is None or not crs.is_geographic:
        return gcps
    turns = np.round((gcps[0, 2] - gcps[:, 2]) / 360.0)
    return gcps + np.outer(turns, [0.0, 0.0, 360.0, 0.0])


class _Polynomial:
    """A least-squares polynomial of the plane, in centred and scaled coordinates."""

    def __init__(self, source: FloatArray, target: FloatArray, order: int) -> None:
        self.order = order
        self.centre, self.scale = source.mean(0), np.maximum(np.ptp(source, axis=0) / 2, 1e-300)
        self.origin = target.mean(0)
        self.coefficients = np.linalg.lstsq(self._terms(source), target - self.origin, rcond=None)[0]

    def _terms(self, points: FloatArray) -> FloatArray:
        x, y = ((points - self.centre) / self.scale).T
        powers = [(i, n - i) for n in range(self.order + 1) for i in range(n + 1)]
        return np.stack([x**i * y**j for i, j in powers], 1)

    def __call__(self, points: FloatArray) -> FloatArray:
        return self._terms(points) @ self.coefficients + self.origin


class _ThinPlate:
    """A thin-plate spline through all points, in centred and scaled coordinates."""

    def __init__(self, source: FloatArray, target: FloatArray) -> None:
        source, index = np.unique(source, axis=0, return_index=True)
        target = target[index]
        self.centre, self.scale = source.mean(0), np.maximum(np.ptp(source, axis=0).max() / 2, 1e-300)
        self.origin = target.mean(0)
        self.spline = Spline((source - self.centre) / self.scale, target - self.origin)

    def __call__(self, points: FloatArray) -> FloatArray:
        good = np.isfinite(points).all(1)
        out = np.full(points.shape, np.nan)
        if good.any():
            out[good] = self.spline((points[good] - self.centre) / self.scale) + self.origin
        return out


def _fit_plane(source: FloatArray, target: FloatArray, target_px: float) -> _Polynomial | _ThinPlate:
    """The simplest map from source to target that misses no point by more than GCP_TOLERANCE_PX."""
    count = len(source)
    best: _Polynomial | _ThinPlate = _Polynomial(source, target, 1)
    for order, needed in ((1, 3), (2, 12), (3, 20)):
        if count < needed:
            break
        best = _Polynomial(source, target, order)
        if np.abs(best(source) - target).max() * target_px < GCP_TOLERANCE_PX:
            return best
    return _ThinPlate(source, target) if count >= 6 else best


def _newton_inverse(function: Any, wanted: FloatArray, guess: FloatArray) -> FloatArray:
    """Solve function(p) = wanted from `guess` by Newton's method, derivatives at the guess; NaN where it fails."""
    points, half = guess.copy(), 0.5 * np.eye(2)
    dx = function(points + half[0]) - function(points - half[0])
    dy = function(points + half[1]) - function(points - half[1])
    determinant = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
    for _ in range(NEWTON_STEPS):
        missing = wanted - function(points)
        with np.errstate(divide="ignore", invalid="ignore"):
            step_x = (missing[:, 0] * dy[:, 1] - missing[:, 1] * dy[:, 0]) / determinant
            step_y = (dx[:, 0] * missing[:, 1] - dx[:, 1] * missing[:, 0]) / determinant
        step = np.stack([step_x, step_y], 1)
        points = points + step
        if not (np.abs(step) > 1e-7).any():
            break
    points[~(np.abs(step) < 1e-4).all(1)] = np.nan
    return points
