"""Dense oriented-gradient descriptors.

As in CFOG (Ye et al., IEEE TGRS 2019) each pixel is described by the orientation of its gradient modulo 180 degrees, so
that an inverted contrast (bright roof in one sensor, dark in the other) gives the same descriptor. Orientation is
carried by the doubled angle (as in Fitch et al., BMVC 2002) instead of one channel per direction: three channels in
place of nine matched as well on real pairs at half the time, and they turn with the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DescriptorSettings:
    """How the descriptor is made.

    Attributes:
        gradient_sigma: of the Gaussian whose derivative is the gradient, pixels; larger for speckle.
        smoothing_sigma: of the spatial smoothing of the channels, pixels.
        floor: gradients below this share of the window's mean gradient count as flat.
    """

    gradient_sigma: float = 1.0
    smoothing_sigma: float = 1.5
    floor: float = 0.5


def double_angle(image: Image, valid: Image, settings: DescriptorSettings) -> tuple[Image, Image]:
    """The gradient at twice its angle, and its strength; a rotation of the image by r turns the first two by 2 r.

    Args:
        image: (H, W) float32, 0 where invalid.
        valid: (H, W) float32, 1 where valid.

    Returns:
        (3, H, W): strength x cos, strength x sin, strength (0..1, short in flat areas), zero where untrusted;
        (H, W) support, 0 or 1.
    """
    support = _erode(valid, max(1, math.ceil(2 * settings.gradient_sigma)))
    stack = _doubled(image, support, settings)
    if settings.smoothing_sigma > 0:
        kernel = _gaussian(settings.smoothing_sigma)
        for channel in stack:
            channel[:] = _separable(channel, kernel, kernel)
    stack *= support
    return stack, support


def _doubled(image: Image, support: Image, settings: DescriptorSettings) -> Image:
    """(3, H, W) of strength x cos, strength x sin and strength, not smoothed yet; in place, to spare memory."""
    gradient_x, gradient_y = (side * support for side in _gaussian_gradient(image, settings.gradient_sigma))
    stack = np.empty((3, *image.shape), np.float32)
    cosine, sine, strength = stack
    # not cv2.magnitude: its last bits depend on where the arrays lie in memory
    np.sqrt(np.add(gradient_x * gradient_x, gradient_y * gradient_y, out=strength), out=strength)
    mean = float(strength.sum()) / max(float(support.sum()), 1.0)
    floored = strength + np.float32(settings.floor * mean + 1e-9)
    scale = np.maximum(strength * floored, np.float32(1e-12))  # the gradient's square over the soft strength
    np.multiply(gradient_x + gradient_y, gradient_x - gradient_y, out=cosine)
    np.multiply(gradient_x, gradient_y, out=sine)
    sine *= 2
    stack[:2] /= scale
    strength /= floored
    return stack


def _gaussian_gradient(image: Image, sigma: float) -> tuple[Image, Image]:
    smooth = _gaussian(sigma)
    radius = (len(smooth) - 1) // 2
    slope = np.arange(-radius, radius + 1) * smooth / (sigma * sigma)
    return _separable(image, slope, smooth), _separable(image, smooth, slope)


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    radius = max(1, math.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def _separable(image: Image, along_x: npt.NDArray[np.float64], along_y: npt.NDArray[np.float64]) -> Image:
    border = cv2.BORDER_REFLECT_101 if min(image.shape) > len(along_x) // 2 else cv2.BORDER_REPLICATE
    return np.asarray(cv2.sepFilter2D(image, cv2.CV_32F, along_x, along_y, borderType=border), np.float32)


def _erode(valid: Image, radius: int) -> Image:
    return np.asarray(cv2.erode(valid, np.ones((2 * radius + 1,) * 2, np.uint8)), np.float32)
