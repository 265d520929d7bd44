"""Scenes with known content and mappings with known inverses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from georeg.raster import open_scene
from georeg.scene import FloatArray, Grid, Scene

from ..rasters import UTM, coordinates, write


@dataclass(frozen=True)
class Affine2D:
    """moving px -> reference px by a 3x3 matrix (homographies too)."""

    matrix: FloatArray
    kind: str = "affine"

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return apply(self.matrix, points_xy)

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        return apply(np.linalg.inv(self.matrix), points_xy)


@dataclass(frozen=True)
class Bent:
    """A smooth bend with an exact inverse."""

    kind: str = "tps"

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        x = points_xy[:, 0] + 6 * np.sin(points_xy[:, 1] / 60) + 20
        return np.column_stack([x, points_xy[:, 1] + 4 * np.cos(x / 50) + 10])

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        y = points_xy[:, 1] - 4 * np.cos(points_xy[:, 0] / 50) - 10
        return np.column_stack([points_xy[:, 0] - 6 * np.sin(y / 60) - 20, y])


def apply(matrix: FloatArray, points_xy: FloatArray) -> FloatArray:
    lifted = np.column_stack([points_xy, np.ones(len(points_xy))]) @ matrix.T
    return lifted[:, :2] / lifted[:, 2:]


def rotation(angle: float = 0.0, scale: float = 1.0, x: float = 0.0, y: float = 0.0) -> Affine2D:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return Affine2D(np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]]))


def reference_scene(width: int = 700, height: int = 640, crs: str | None = UTM, pixel: float = 10.0) -> Scene:
    """A reference that exists only as metadata."""
    if crs is None:
        return Scene("reference.tif", Grid(width, height), 1, "uint8")
    from rasterio.crs import CRS

    place = tuple(from_origin(500000, 5000000, pixel, pixel))[:6]
    grid = Grid(width, height, place, CRS.from_user_input(crs).to_wkt())
    return Scene("reference.tif", grid, 1, "uint8", geocoding="geotransform", gsd_m=pixel)


@pytest.fixture
def moving(tmp_path: Path) -> Callable[..., Scene]:
    """Writes data (a coordinate image by default) and opens it as a scene."""

    def make(data: np.ndarray | None = None, name: str = "moving.tif", **profile: object) -> Scene:
        return open_scene(write(tmp_path / name, coordinates(600, 560) if data is None else data, **profile))

    return make
