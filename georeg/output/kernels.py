"""Interpolation of one band at given positions, in its own dtype, with invalid pixels left out of every sum.

Kernels: nearest, bilinear, cubic (Catmull-Rom, a = -0.5, Keys 1981, as GDAL has it) and Lanczos over 8 x 8 pixels.
Near invalid pixels cubic and Lanczos give way to bilinear with its weights normalised over the valid ones; a pixel is
valid where the source pixel it falls into is.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]

REACH_PX = {"nearest": 1, "bilinear": 2, "cubic": 3, "lanczos": 5}
STRIP_ROWS = 32
_NATIVE = ("uint8", "uint16", "int16", "float32")


class Positions:
    """Where to interpolate: x and y (H, W) float32 in source pixels, centres at whole numbers; for many bands."""

    def __init__(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> None:
        self.x, self.y = x, y
        self.low = float(x.min()), float(y.min())
        self.high = float(x.max()), float(y.max())
        self._fixed = cv2.convertMaps(x, y, cv2.CV_16SC2)

    def remap(self, plane: Array, kernel: int) -> Array:
        """OpenCV's interpolation; 0 outside."""
        first, second = self._fixed
        return cv2.remap(plane, first, second, kernel, borderMode=cv2.BORDER_CONSTANT, borderValue=0)

    def nearest(self, plane: Array) -> tuple[Array, Valid]:
        """Values of the pixels the positions fall into, whatever the dtype, and where there are such pixels."""
        cols, rows = np.floor(self.x + 0.5).astype(np.int32), np.floor(self.y + 0.5).astype(np.int32)
        inside = (cols >= 0) & (rows >= 0) & (cols < plane.shape[1]) & (rows < plane.shape[0])
        np.clip(cols, 0, plane.shape[1] - 1, out=cols)
        np.clip(rows, 0, plane.shape[0] - 1, out=rows)
        return plane[rows, cols], inside


def interpolate(plane: Array, valid: Valid | None, at: Positions, method: str) -> tuple[Array, Valid]:
    """Interpolate one band.

    Args:
        plane: (h, w) of any real or complex dtype.
        valid: (h, w) bool, None where all are valid.
        at: output positions, (H, W).
        method: "nearest", "bilinear", "cubic" or "lanczos".

    Returns:
        (H, W) in plane's dtype, rounded where that is an integer one, and (H, W) bool; the rest has no meaning.
    """
    whole = valid is None and _within(plane.shape, at, REACH_PX[method])
    if whole:
        good = np.ones(at.x.shape, bool)
    else:
        shown, good = at.nearest(np.ones(plane.shape, bool) if valid is None else valid)
        good &= shown
    if method == "nearest":
        return at.nearest(plane)[0], good
    if np.iscomplexobj(plane):
        real, _ = interpolate(np.ascontiguousarray(plane.real), valid, at, method)
        imaginary, _ = interpolate(np.ascontiguousarray(plane.imag), valid, at, method)
        return (real + 1j * imaginary).astype(plane.dtype), good
    if whole and method != "cubic" and plane.dtype.name in _NATIVE:
        return at.remap(plane, _flag(method)), good
    working = plane.astype(
        np.float32 if plane.dtype.itemsize <= 2 or plane.dtype == np.float32 else np.float64
    )
    if whole:
        return as_dtype(_smooth_kernel(working, at, method), plane.dtype), good
    mask = np.ones(plane.shape, bool) if valid is None else valid
    values = _normalised_bilinear(np.where(mask, working, 0), mask, at)
    if method != "bilinear":
        deep = _deep_inside(mask, at, REACH_PX[method])
        values = np.where(deep, _smooth_kernel(np.where(mask, working, 0), at, method), values)
    return as_dtype(values, plane.dtype), good


def as_dtype(values: Array, dtype: np.dtype[Any]) -> Array:
    """Floats as another dtype: integers rounded and kept within their range."""
    if dtype.kind not in "iu" or values.dtype == dtype:
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    rounded = np.rint(values)
    if dtype.itemsize < 8:
        return np.clip(rounded, limits.min, limits.max).astype(dtype)
    inside = np.clip(rounded, float(limits.min), float(limits.max) * (1 - 2**-53))
    return inside.astype(dtype)


def _flag(method: str) -> int:
    return cv2.INTER_LINEAR if method == "bilinear" else cv2.INTER_LANCZOS4


def _within(shape: tuple[int, ...], at: Positions, reach: int) -> bool:
    """Whether every kernel lies inside the plane."""
    inside = min(at.low) >= reach and at.high[0] < shape[1] - 1 - reach and at.high[1] < shape[0] - 1 - reach
    return bool(inside)


def _smooth_kernel(working: Array, at: Positions, method: str) -> Array:
    return _catmull_rom(working, at) if method == "cubic" else at.remap(working, _flag(method))


def _normalised_bilinear(working: Array, mask: Valid, at: Positions) -> Array:
    """Bilinear over the valid pixels only (`working` is 0 elsewhere)."""
    weight = at.remap(mask.astype(working.dtype), cv2.INTER_LINEAR)
    return at.remap(working, cv2.INTER_LINEAR) / np.maximum(weight, 1e-6)


def _deep_inside(mask: Valid, at: Positions, reach: int) -> Valid:
    """Where the whole kernel meets valid pixels only."""
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    eroded = cv2.erode(mask.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    shown, inside = at.nearest(eroded.astype(bool))
    return shown & inside


def _catmull_rom(working: Array, at: Positions) -> Array:
    """Cubic convolution with a = -0.5; positions beyond the plane are of no meaning."""
    if min(working.shape) < 4:
        return at.remap(working, cv2.INTER_LINEAR)
    out = np.empty(at.x.shape, working.dtype)
    for top in range(0, len(out), STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        _catmull_rom_strip(working, at.x[rows], at.y[rows], out[rows])
    return out


def _catmull_rom_strip(working: Array, x: Array, y: Array, out: Array) -> None:
    """Sixteen gathers, each with its weight, in pieces that stay in the processor's cache."""
    height, width = working.shape
    left, top = np.floor(x), np.floor(y)
    across, down = _catmull_weights(x - left), _catmull_weights(y - top)
    cols = np.clip(left, 1, width - 3).astype(np.intp)
    first = (np.clip(top, 1, height - 3).astype(np.intp) - 1) * width + cols - 1
    flat, row, tap = working.ravel(), np.empty_like(out), np.empty_like(out)
    out[:] = 0
    for j in range(4):
        row[:] = 0
        for i in range(4):
            flat[j * width + i :].take(first, out=tap, mode="clip")
            tap *= across[i]
            row += tap
        row *= down[j]
        out += row


def _catmull_weights(t: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    """Weights of the pixels at -1, 0, 1, 2 for a position t in 0..1 between pixels 0 and 1."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
