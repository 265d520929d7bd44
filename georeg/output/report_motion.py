"""How far a registration moved the image: shift, rotation, scale and skew at the middle of the overlap.

Where the files' geocoding was the start, the correction to it is described, else the whole map from moving
to reference pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from georeg.geometry.transforms import Transform
from georeg.result import Registration
from georeg.scene import FloatArray, Grid

METRES_PER_DEGREE = 111_320.0
_STEPS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


@dataclass(frozen=True)
class Motion:
    """The transform's local behaviour at one point.

    Attributes:
        from_geocoding: True where it is a correction to the file's own geocoding.
        shift_px: (right, down) in reference pixels.
        shift_m: (east, north); None where the reference is not geocoded.
        rotation_deg: clockwise on the screen.
        scale_x, scale_y: along columns and rows, 1 is unchanged.
        skew_deg: departure of the axes from a right angle.
        mirrored: the image is turned over.
    """

    from_geocoding: bool
    shift_px: tuple[float, float]
    shift_m: tuple[float, float] | None
    rotation_deg: float
    scale_x: float
    scale_y: float
    skew_deg: float
    mirrored: bool


def describe_motion(registration: Registration) -> Motion | None:
    """The motion of a registration that has a transform; None where that sends the overlap to infinity."""
    transform = registration.transform
    assert transform is not None
    centre = moving_centre(registration)
    start = centre if transform.prior is None else transform.prior(centre)
    if not np.isfinite(transform.correction(start + _STEPS)).all():
        return None
    shift = (transform.correction(start) - start)[0]
    jacobian = _jacobian(transform.correction, start)
    determinant = float(np.linalg.det(jacobian))
    scale_x = math.hypot(*jacobian[:, 0])
    angle_x = math.atan2(jacobian[1, 0], jacobian[0, 0])
    angle_y = math.atan2(-jacobian[0, 1], jacobian[1, 1])
    return Motion(
        from_geocoding=transform.prior is not None,
        shift_px=(float(shift[0]), float(shift[1])),
        shift_m=shift_metres(registration.reference.grid, shift, transform(centre)[0]),
        rotation_deg=math.degrees(angle_x),
        scale_x=scale_x,
        scale_y=determinant / scale_x if scale_x else 0.0,
        skew_deg=(math.degrees(angle_y - angle_x) + 180.0) % 360.0 - 180.0 if determinant > 0 else 0.0,
        mirrored=determinant < 0,
    )


def moving_centre(registration: Registration) -> FloatArray:
    """(1, 2): the middle of the inliers in the moving image, else the middle of the image."""
    inliers = registration.tie.moving_xy[registration.tie.inlier]
    grid = registration.moving.grid
    return np.median(inliers, 0)[None] if len(inliers) else np.array([[grid.width / 2, grid.height / 2]])


def shift_metres(grid: Grid, shift_px: FloatArray, at_px: FloatArray) -> tuple[float, float] | None:
    """(east, north) metres of a shift of (2,) reference pixels at the pixel (2,); None without geocoding."""
    if grid.geotransform is None or not grid.crs_wkt:
        return None
    a, b, _, d, e, f = grid.geotransform
    east, north = a * shift_px[0] + b * shift_px[1], d * shift_px[0] + e * shift_px[1]
    per_unit_x, per_unit_y = _metres_per_unit(grid.crs_wkt, d * at_px[0] + e * at_px[1] + f)
    return float(east * per_unit_x), float(north * per_unit_y)


def _metres_per_unit(crs_wkt: str, y_map: float) -> tuple[float, float]:
    from rasterio.crs import CRS

    crs = CRS.from_wkt(crs_wkt)
    if crs.is_geographic:
        return METRES_PER_DEGREE * math.cos(math.radians(min(max(y_map, -89.0), 89.0))), METRES_PER_DEGREE
    factor = float(crs.linear_units_factor[1]) if crs.is_projected else 1.0
    return factor, factor


def _jacobian(correction: Transform, at_xy: FloatArray) -> FloatArray:
    """(2, 2) derivative of a transform at the point (1, 2), by central differences."""
    mapped = correction(at_xy + _STEPS)
    return np.column_stack([mapped[0] - mapped[1], mapped[2] - mapped[3]]) / 2.0
