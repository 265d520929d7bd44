"""Windows of the two scenes on one footing: what a matcher is shown, and how its pixels relate to the scenes.

Three spaces meet here. Moving pixels; *source* points, which are moving pixels taken through the geocoding prior where
one is used (then they are nearly reference pixels) and plain moving pixels otherwise; and reference pixels. A
registration's correction maps source points to reference pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import Transform, apply_matrix
from georeg.raster import SceneReader, normalise, resample_window
from georeg.scene import FloatArray, Patch, Scene


@dataclass(frozen=True)
class Frame:
    """A window of a pixel space: frame pixel p lies at origin_xy + step * p.

    Attributes:
        origin_xy: (2,) of the window's outer top-left corner.
        step: pixels of the space per frame pixel.
        shape: (rows, cols) of the frame.
    """

    origin_xy: tuple[float, float]
    step: float
    shape: tuple[int, int]

    @property
    def matrix(self) -> FloatArray:
        """(3, 3) frame px -> space px."""
        x, y = self.origin_xy
        return np.array([[self.step, 0, x], [0, self.step, y], [0, 0, 1.0]])

    @property
    def box(self) -> shapely.Geometry:
        """The window as a polygon of the space."""
        x, y = self.origin_xy
        return shapely.box(x, y, x + self.shape[1] * self.step, y + self.shape[0] * self.step)

    def to_space(self, points_xy: FloatArray) -> FloatArray:
        return np.asarray(points_xy * self.step + self.origin_xy)

    def from_space(self, points_xy: FloatArray) -> FloatArray:
        return np.asarray((points_xy - self.origin_xy) / self.step)

    @classmethod
    def around(cls, low_xy: FloatArray, high_xy: FloatArray, step: float) -> Frame:
        cols, rows = np.maximum(np.ceil((high_xy - low_xy) / step - 1e-9).astype(int), 1)
        return cls((float(low_xy[0]), float(low_xy[1])), step, (int(rows), int(cols)))


class Viewer:
    """Reads matching windows of one pair of scenes.

    Args:
        moving, reference: open readers.
        prior: moving px -> reference px by geocoding; None where source points are moving pixels.
    """

    def __init__(self, moving: SceneReader, reference: SceneReader, prior: Transform | None) -> None:
        self.moving, self.reference, self.prior = moving, reference, prior

    @property
    def scenes(self) -> tuple[Scene, Scene]:
        return self.moving.scene, self.reference.scene

    def to_source(self, moving_xy: FloatArray) -> FloatArray:
        return moving_xy if self.prior is None else self.prior(moving_xy)

    def from_source(self, source_xy: FloatArray) -> FloatArray:
        return source_xy if self.prior is None else self.prior.inverse(source_xy)

    def pixel_map(self, correction: Transform) -> PixelMap:
        return PixelMap(correction, self.prior, self.moving.scene.grid)

    def source_patch(self, frame: Frame) -> Patch:
        """The moving scene over a frame of source space."""
        return self._patch(self.moving, lambda p: self.from_source(frame.to_space(p)), frame.shape)

    def reference_patch(self, frame: Frame) -> Patch:
        """The reference scene over a frame of reference pixels."""
        return self._patch(self.reference, frame.to_space, frame.shape)

    def moving_patch(self, frame: Frame, correction: Transform) -> Patch:
        """The moving scene resampled into a frame of reference pixels through the current correction."""
        through = lambda p: self.from_source(correction.inverse(frame.to_space(p)))  # noqa: E731
        return self._patch(self.moving, through, frame.shape)

    @staticmethod
    def _patch(
        reader: SceneReader, to_scene: Callable[[FloatArray], FloatArray], shape: tuple[int, int]
    ) -> Patch:
        pixels, valid = resample_window(reader, to_scene, shape)
        return normalise(pixels, valid, reader.scene.modality)


def warp_patch(patch: Patch, matrix: FloatArray, shape: tuple[int, int]) -> Patch:
    """A patch resampled through a (3, 3) matrix, patch px -> output px, smoothed first where it shrinks."""
    centre = np.array([[patch.shape[1] / 2, patch.shape[0] / 2]])
    scale = local_scale(matrix, centre)
    pixels, valid = patch.pixels, patch.valid.astype(np.float32)
    if scale < 0.8:
        sigma = 0.45 / scale
        weight = cv2.GaussianBlur(valid, (0, 0), sigma)
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma) / np.maximum(weight, 1e-3), np.float32)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = np.linalg.inv(half) @ matrix @ half
    size = shape[1], shape[0]
    good = cv2.warpPerspective(valid, centred, size, flags=cv2.INTER_LINEAR) > 0.99
    warped = cv2.warpPerspective(pixels, centred, size, flags=cv2.INTER_LINEAR)
    return Patch(np.where(good, warped, np.float32(0)), good, patch.modality)


def local_scale(matrix: FloatArray, at_xy: FloatArray) -> float:
    """Output pixels per input pixel of a homography at a (1, 2) point; infinite beyond the horizon."""
    around = apply_matrix(matrix, at_xy + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    if not np.isfinite(around).all():
        return math.inf
    (a, b), (c, d) = around[1] - around[0], around[2] - around[0]
    return float(np.sqrt(abs(a * d - b * c)))
