"""A window of a scene resampled into another frame, with antialiasing and honest validity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from georeg.raster.lattice import Lattice, Mapping, Plane
from georeg.raster.reader import SceneReader
from georeg.scene import Grid

REACH_PX = 6
MAXIMUM_READ_PX = 4096**2
_KERNELS = {"linear": (cv2.INTER_LINEAR, 1), "lanczos": (cv2.INTER_LANCZOS4, 4)}
"""OpenCV's flag and the kernel's reach in pixels; OpenCV's cubic moves even a ramp by 0.05 px, so it is not offered."""


def resample_window(
    reader: SceneReader,
    out_to_scene: Mapping,
    shape: tuple[int, int],
    interpolation: str = "linear",
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Fill an (H, W) window whose pixel-corner point p shows the scene at `out_to_scene(p)`.

    The callable is evaluated on a lattice (see `georeg.raster.lattice`); the scene is read
    decimated by the power of two below the local scale, then smoothed for the rest, so that nothing aliases.

    Args:
        out_to_scene: output pixels (N, 2) -> scene pixels (N, 2), corner-based; non-finite means outside.
        shape: (rows, cols) of the output.
        interpolation: "linear", or "lanczos" (eight times as slow, and right to 0.01 px in fine texture too).

    Returns:
        (H, W) float32 in the scene's units, 0 where invalid, and (H, W) bool; a pixel is valid only if every
        scene pixel in its interpolation kernel is.
    """
    lattice = Lattice.of(out_to_scene, shape)
    window = source_window(lattice, reader.scene.grid, REACH_PX)
    if window is None:
        return np.zeros(shape, np.float32), np.zeros(shape, bool)
    pixels, valid = reader.read_window(*window.offset_and_size, window.shape)
    pixels, valid = smooth(pixels, valid, lattice.scale / window.factor)
    return _remap(pixels, valid, lattice.maps((window.col, window.row), window.factor), interpolation)


@dataclass(frozen=True)
class SourceWindow:
    """What to read for an output window: a window of the scene (it may reach beyond) and a decimation factor."""

    col: int
    row: int
    width: int
    height: int
    factor: int

    @property
    def offset_and_size(self) -> tuple[int, int, int, int]:
        return self.col, self.row, self.width, self.height

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) after decimation."""
        return self.height // self.factor, self.width // self.factor


def source_window(lattice: Lattice, grid: Grid, reach_px: int, decimate: bool = True) -> SourceWindow | None:
    """The window a lattice needs, aligned to its decimation factor; None where all of it lies outside the scene.

    Args:
        reach_px: of the interpolation kernel, in decimated pixels.
        decimate: False keeps the factor at 1.
    """
    scale, bounds = lattice.scale, lattice.bounds(grid.width, grid.height)
    if bounds is None or not np.isfinite(scale) or scale <= 0:
        return None
    low, high = bounds
    factor = 2 ** max(0, math.floor(math.log2(scale) + 1e-6)) if decimate else 1
    while decimate and np.prod((high - low) / factor) > MAXIMUM_READ_PX:
        factor *= 2
    first = np.floor((low - reach_px * factor) / factor).astype(int) * factor
    size = np.ceil((high + reach_px * factor - first) / factor).astype(int) * factor
    return SourceWindow(int(first[0]), int(first[1]), int(size[0]), int(size[1]), factor)


def smooth(
    pixels: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], scale: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Low-pass for the rest of the decimation (a factor of 1 to 2), weighted by validity."""
    if scale <= 1.1:
        return pixels, valid
    sigma = 0.5 * math.sqrt(scale**2 - 1)
    blurred = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.float32)
    if not valid.all():
        weight = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), sigma)
        blurred /= np.maximum(weight, 1e-6, out=weight)
        blurred[~valid] = 0
    return blurred, valid


def _remap(
    pixels: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    maps: tuple[Plane, Plane],
    interpolation: str,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Interpolate at positions counted from pixel centres; invalid where the kernel meets an invalid pixel."""
    kernel, reach = _KERNELS[interpolation]
    x, y = maps
    out = cv2.remap(pixels, x, y, kernel, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    usable = valid.astype(np.uint8)
    if reach > 1 and not valid.all():
        usable[:] = cv2.erode(
            usable, np.ones((2 * reach - 1, 2 * reach - 1), np.uint8), borderType=cv2.BORDER_REPLICATE
        )
    weight = cv2.remap(
        usable.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    good = weight > 0.999
    if reach > 1 and good.any():
        np.clip(out, pixels[valid].min(), pixels[valid].max(), out=out)
    out[~good] = 0
    return np.asarray(out, np.float32), good
