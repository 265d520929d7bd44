"""Rasters that tests write: one way to write them, and images whose pixel values are their own coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from georeg.raster.files import open_dataset

UTM = "EPSG:32633"


def write(path: Path, data: np.ndarray, mask: np.ndarray | None = None, **profile: object) -> Path:
    """Write (bands, H, W) or (H, W) as a raster; `gcps`, `rpcs`, `transform`, `crs`, `nodata`, ... go to rasterio.

    Args:
        mask: (H, W), non-zero where the pixels are valid; stored as the file's own mask.
    """
    data = data[None] if data.ndim == 2 else data
    settings = {"driver": "GTiff", "dtype": data.dtype, **profile}
    with open_dataset(
        path, mode="w", count=data.shape[0], height=data.shape[1], width=data.shape[2], **settings
    ) as sink:
        sink.write(data)
        if mask is not None:
            sink.write_mask(mask)
    return path


def coordinates(width: int, height: int, dtype: str = "float32") -> np.ndarray:
    """(2, H, W): each pixel's centre x and y in corner-based pixel coordinates."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    return np.stack([xs, ys]).astype(dtype)
