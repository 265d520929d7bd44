"""Where on Earth a registered image lies, as a ring of longitudes and latitudes."""

from __future__ import annotations

import numpy as np

from georeg.raster.geocoding import WGS84, Geocoding, transform_map
from georeg.result import Registration
from georeg.scene import FloatArray, Scene

STEPS = 4
"""Points a side: enough for the bent edges of a projected image."""


def footprint_ring(registration: Registration) -> list[list[float]] | None:
    """The moving image's border after registration, closed, counter-clockwise; None where it cannot be placed.

    A registration without a transform is placed by the moving image's own geocoding.
    """
    border = _border(registration.moving)
    if registration.transform is not None:
        return _ring(registration.reference, registration.transform(border))
    return _ring(registration.moving, border)


def _border(scene: Scene) -> FloatArray:
    corners, share = scene.grid.corners_xy, np.linspace(0.0, 1.0, STEPS, endpoint=False)[:, None]
    sides = zip(corners, np.roll(corners, -1, 0), strict=True)
    return np.concatenate([start + share * (end - start) for start, end in sides])


def _ring(scene: Scene, points_xy: FloatArray) -> list[list[float]] | None:
    geocoding = Geocoding.of(scene)
    if geocoding is None or geocoding.crs is None or not np.isfinite(points_xy).all():
        return None
    lon_lat = transform_map(geocoding.crs, WGS84, geocoding.to_map(points_xy))
    if not np.isfinite(lon_lat).all() or (np.abs(lon_lat[:, 1]) > 90).any():
        return None
    if _signed_area(lon_lat) < 0:
        lon_lat = lon_lat[::-1]
    closed = np.concatenate([lon_lat, lon_lat[:1]])
    return [[round(float(lon), 7), round(float(lat), 7)] for lon, lat in closed]


def _signed_area(ring: FloatArray) -> float:
    x, y = ring.T
    return float(0.5 * (x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
