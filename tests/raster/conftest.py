"""Small rasters with known content: images whose pixel values are their own coordinates."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from ..rasters import UTM, coordinates, write


@pytest.fixture
def coordinate_scene(tmp_path: Path) -> Callable[..., Path]:
    """Writes a two-band coordinate image of a size, 10 m UTM by default, and gives its path."""

    def make(name: str = "xy.tif", width: int = 200, height: int = 160, **profile: object) -> Path:
        settings = {"crs": UTM, "transform": from_origin(500000, 5000000, 10, 10), **profile}
        return write(tmp_path / name, coordinates(width, height), **settings)

    return make


def identity_gcps(to_map: rasterio.Affine, width: int, height: int, count: int = 5) -> list:
    """A grid of control points that all obey `to_map`."""
    return [
        rasterio.control.GroundControlPoint(row=row, col=col, x=x, y=y)
        for row in np.linspace(0, height, count)
        for col in np.linspace(0, width, count)
        for x, y in [rasterio.transform.xy(to_map, row, col, offset="ul")]
    ]
