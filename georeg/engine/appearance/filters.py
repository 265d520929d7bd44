"""Small batched filters on (B, C, H, W) images that never move an edge: symmetric kernels, replicated
borders."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor


def gaussian(images: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur; wide ones run on a 2x, 4x ... smaller image, where they cost the same and look the
    same."""
    if sigma_px < 0.2:
        return images
    levels = max(0, math.floor(math.log2(sigma_px / 1.5))) if sigma_px > 1.5 else 0
    levels = min(levels, max(0, math.floor(math.log2(min(images.shape[-2:]) / 8))))
    factor = 2**levels
    if factor == 1:
        return _separable(images, _gaussian_kernel(sigma_px, images))
    small = nnf.avg_pool2d(images, factor, ceil_mode=True, count_include_pad=False)
    blurred = _separable(small, _gaussian_kernel(sigma_px / factor, images))
    full = nnf.interpolate(blurred, scale_factor=factor, mode="bilinear", align_corners=False)
    return full[..., : images.shape[-2], : images.shape[-1]]


def _gaussian_kernel(sigma_px: float, like: Tensor) -> Tensor:
    radius = max(1, math.ceil(2.5 * sigma_px))
    axis = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-0.5 * (axis / sigma_px) ** 2)
    return kernel / kernel.sum()


def _separable(images: Tensor, kernel: Tensor) -> Tensor:
    batch, channels, height, width = images.shape
    radius = len(kernel) // 2
    flat = images.reshape(batch * channels, 1, height, width)
    mode = "replicate"
    flat = nnf.conv2d(nnf.pad(flat, (radius, radius, 0, 0), mode=mode), kernel.view(1, 1, 1, -1))
    flat = nnf.conv2d(nnf.pad(flat, (0, 0, radius, radius), mode=mode), kernel.view(1, 1, -1, 1))
    return flat.view(batch, channels, height, width)


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences (d/dx, d/dy) per pixel."""
    padded = nnf.pad(images, (1, 1, 1, 1), mode="replicate")
    return (
        0.5 * (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]),
        0.5 * (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]),
    )


def local_deviation(images: Tensor, sigma_px: float) -> Tensor:
    """Standard deviation under a Gaussian window."""
    mean = gaussian(images, sigma_px)
    return (gaussian(images.square(), sigma_px) - mean.square()).clamp_min(0.0).sqrt()


def guided(images: Tensor, guide: Tensor, sigma_px: float, epsilon: float) -> Tensor:
    """Guided filter (He et al., 2013): the look of `images` with the edges of `guide`, a local linear fit of
    one by the other."""
    mean_i, mean_g = gaussian(images, sigma_px), gaussian(guide, sigma_px)
    covariance = gaussian(images * guide, sigma_px) - mean_i * mean_g
    variance = gaussian(guide.square(), sigma_px) - mean_g.square()
    slope = covariance / (variance.clamp_min(0.0) + epsilon)
    offset = mean_i - slope * mean_g
    return gaussian(slope, sigma_px) * guide + gaussian(offset, sigma_px)


def to_unit(images: Tensor, spread: float = 2.3) -> Tensor:
    """Stretch each image to 0..1: its mean to 0.5, `spread` deviations to either side, clipped."""
    deviation, mean = torch.std_mean(images, dim=(-3, -2, -1), keepdim=True)
    return ((images - mean) / (2.0 * spread * deviation + 1e-6) + 0.5).clamp(0.0, 1.0)


def to_range(images: Tensor) -> Tensor:
    """Stretch each image so that its least and greatest value become 0 and 1."""
    low = images.amin(dim=(-3, -2, -1), keepdim=True)
    high = images.amax(dim=(-3, -2, -1), keepdim=True)
    return (images - low) / (high - low + 1e-6)


def per_image(numbers: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return numbers.view(-1, 1, 1, 1)


def look_up(images: Tensor, table: Tensor) -> Tensor:
    """Each image (B, 1, H, W), 0..1, through its own curve (B, K), linear between the K equally spaced
    knots."""
    batch, knots = table.shape
    place = images.reshape(batch, -1).clamp(0.0, 1.0) * (knots - 1)
    low = place.long().clamp_max(knots - 2)
    slope = table[:, 1:] - table[:, :-1]
    value = table.gather(1, low) + slope.gather(1, low) * (place - low)
    return value.view_as(images)
