"""A window of a scene resampled into another frame, with antialiasing and honest validity."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from georeg.raster.reader import SceneReader
from georeg.scene import FloatArray

LATTICE_PX = 16
TOLERANCE_PX = 0.02
MAXIMUM_READ_PX = 4096**2
_KERNELS = {"linear": (cv2.INTER_LINEAR, 1), "lanczos": (cv2.INTER_LANCZOS4, 4)}
"""OpenCV's flag and the kernel's reach in pixels; OpenCV's cubic moves even a ramp by 0.05 px, so it is not offered."""


def resample_window(
    reader: SceneReader,
    out_to_scene: Callable[[FloatArray], FloatArray],
    shape: tuple[int, int],
    interpolation: str = "linear",
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Fill an (H, W) window whose pixel-corner point p shows the scene at `out_to_scene(p)`.

    The callable is evaluated on a lattice that is refined until bilinear interpolation in it is right to
    TOLERANCE_PX (in pixels of what is read); the scene is read decimated by the power of two below the local
    scale, then smoothed for the rest, so that nothing aliases.

    Args:
        out_to_scene: output pixels (N, 2) -> scene pixels (N, 2), corner-based; non-finite means outside.
        shape: (rows, cols) of the output.
        interpolation: "linear", or "lanczos" (eight times as slow, and right to 0.01 px in fine texture too).

    Returns:
        (H, W) float32 in the scene's units, 0 where invalid, and (H, W) bool; a pixel is valid only if every
        scene pixel in its interpolation kernel is.
    """
    where = sample_positions(out_to_scene, shape)
    nothing = np.zeros(shape, np.float32), np.zeros(shape, bool)
    scale = _local_scale(where)
    if not np.isfinite(scale) or scale == 0:
        return nothing
    window = _window_for(where, scale, reader)
    if window is None:
        return nothing
    col, row, width, height, factor = window
    pixels, valid = reader.read_window(col, row, width, height, (height // factor, width // factor))
    pixels, valid = _smooth(pixels, valid, scale / factor)
    at = (where - [col, row]) / factor - 0.5
    return _remap(pixels, valid, at, interpolation)


def sample_positions(out_to_scene: Callable[[FloatArray], FloatArray], shape: tuple[int, int]) -> FloatArray:
    """(H, W, 2) scene positions of the output's pixel centres, interpolated in an adaptively fine lattice."""
    step = LATTICE_PX
    while step > 1:
        lattice = _lattice(out_to_scene, shape, step, 0.0)
        middles = _lattice(out_to_scene, shape, step, 0.5 * step)[:-1, :-1]
        guess = (lattice[:-1, :-1] + lattice[1:, :-1] + lattice[:-1, 1:] + lattice[1:, 1:]) / 4
        scale = max(_local_scale(lattice) / step, 1.0)
        if not np.isfinite(middles).all() or not np.isfinite(lattice).all():
            step = step // 4
            continue
        if np.abs(guess - middles).max() <= TOLERANCE_PX * scale:
            return _interpolate(lattice, shape, step)
        step //= 2
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    return out_to_scene(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(*shape, 2)


def _lattice(
    out_to_scene: Callable[[FloatArray], FloatArray], shape: tuple[int, int], step: int, start: float
) -> FloatArray:
    """(rows, cols, 2) scene positions of output points start, start + step, ... that span the output."""
    xs = start + step * np.arange(math.ceil(shape[1] / step) + 1.0)
    ys = start + step * np.arange(math.ceil(shape[0] / step) + 1.0)
    grid = np.stack(np.meshgrid(xs, ys), -1)
    return np.asarray(out_to_scene(grid.reshape(-1, 2)), dtype=np.float64).reshape(grid.shape)


def _interpolate(lattice: FloatArray, shape: tuple[int, int], step: int) -> FloatArray:
    """Bilinear interpolation of a lattice at all pixel centres, (H, W, 2), in double precision."""
    y, x = (np.arange(shape[0]) + 0.5) / step, (np.arange(shape[1]) + 0.5) / step
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[:, None, None], (x - j)[None, :, None]
    rows = lattice[i] * (1 - fy) + lattice[i + 1] * fy
    return rows[:, j] * (1 - fx) + rows[:, j + 1] * fx


def _local_scale(where: FloatArray) -> float:
    """Median scene pixels per lattice step (square root of the Jacobian); NaN where nothing is finite."""
    if min(where.shape[:2]) < 2:
        return 1.0 if np.isfinite(where).any() else math.nan
    dx, dy = where[:-1, 1:] - where[:-1, :-1], where[1:, :-1] - where[:-1, :-1]
    area = np.abs(dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0])
    area = area[np.isfinite(area)]
    return float(np.sqrt(np.median(area))) if area.size else math.nan


def _window_for(
    where: FloatArray, scale: float, reader: SceneReader
) -> tuple[int, int, int, int, int] | None:
    """(col, row, width, height, factor): what to read, aligned to the factor; None where all is outside."""
    grid = reader.scene.grid
    inside = np.isfinite(where).all(-1) & (where >= -1).all(-1)
    inside &= (where[..., 0] <= grid.width + 1) & (where[..., 1] <= grid.height + 1)
    if not inside.any():
        return None
    points = where[inside]
    low, high = points.min(0), points.max(0)
    factor = 2 ** max(0, math.floor(math.log2(scale) + 1e-6))
    while np.prod((high - low) / factor) > MAXIMUM_READ_PX:
        factor *= 2
    margin = 6 * factor
    first = np.floor((low - margin) / factor).astype(int) * factor
    size = np.ceil((high + margin - first) / factor).astype(int) * factor
    return int(first[0]), int(first[1]), int(size[0]), int(size[1]), factor


def _smooth(
    pixels: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], scale: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Low-pass for the rest of the decimation (a factor of 1 to 2), weighted by validity."""
    if scale <= 1.1:
        return pixels, valid
    sigma = 0.5 * math.sqrt(scale**2 - 1)
    weight = cv2.GaussianBlur(valid.astype(np.float32), (0, 0), sigma)
    blurred = cv2.GaussianBlur(pixels, (0, 0), sigma) / np.maximum(weight, 1e-6)
    return np.where(valid, blurred, np.float32(0)), valid


def _remap(
    pixels: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], at: FloatArray, interpolation: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Interpolate at (H, W, 2) positions counted from pixel centres; invalid where the kernel is."""
    kernel, reach = _KERNELS[interpolation]
    at = np.where(np.isfinite(at), at, -1e4).astype(np.float32)
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    out = cv2.remap(pixels, x, y, kernel, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    usable = valid.astype(np.uint8)
    if reach > 1 and not valid.all():
        usable = cv2.erode(
            usable, np.ones((2 * reach - 1, 2 * reach - 1), np.uint8), borderType=cv2.BORDER_REPLICATE
        )
    weight = cv2.remap(
        usable.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    good = weight > 0.999
    if reach > 1 and good.any():
        np.clip(out, pixels[valid].min(), pixels[valid].max(), out=out)
    out[~good] = 0
    return out, good
