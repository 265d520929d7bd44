"""Small rasters with known content: images whose pixel values are their own coordinates."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from georeg.raster.files import open_dataset

UTM = "EPSG:32633"


def coordinates(width: int, height: int) -> np.ndarray:
    """(2, H, W) float32: each pixel's centre x and y in corner-based pixel coordinates."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    return np.stack([xs, ys]).astype(np.float32)


def write(path: Path, data: np.ndarray, mask: np.ndarray | None = None, **profile: object) -> Path:
    """Write (bands, H, W) as a raster; `gcps`, `rpcs`, `transform`, `crs`, `nodata`, ... go to rasterio."""
    data = data[None] if data.ndim == 2 else data
    settings = {"driver": "GTiff", "dtype": data.dtype, **profile}
    with open_dataset(
        path, mode="w", count=data.shape[0], height=data.shape[1], width=data.shape[2], **settings
    ) as sink:
        sink.write(data)
        if mask is not None:
            sink.write_mask(mask)
    return path


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
