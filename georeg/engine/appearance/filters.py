"""Small batched filters on (B, C, H, W) images that never move an edge: symmetric kernels, replicated borders.

They are written as sums of shifted slices: for one-channel images that is some ten times faster on a CPU than a
convolution call, and as fast on a GPU.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor


def gaussian(images: Tensor, sigma_px: float) -> Tensor:
    """Gaussian blur; wide ones run on a 2x, 4x ... smaller image, where they cost less and look the same."""
    if sigma_px < 0.2:
        return images
    smallest = min(images.shape[-2:])
    levels = 0
    while sigma_px / 2**levels > 2.0 and smallest >> levels > 16:
        levels += 1
    small = images
    for _ in range(levels):
        small = halve(small)
    blurred = _separable(small, _gaussian_weights(sigma_px / 2**levels))
    return blurred if levels == 0 else enlarge(blurred, 2**levels, images.shape[-2:])


def _gaussian_weights(sigma_px: float) -> list[float]:
    """Weights of the centre and of the neighbours at 1, 2, ... px, of sum 1 over both sides."""
    radius = max(1, math.ceil(2.5 * sigma_px))
    weights = [math.exp(-0.5 * (step / sigma_px) ** 2) for step in range(radius + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights]


def _separable(images: Tensor, weights: list[float]) -> Tensor:
    radius = len(weights) - 1
    height, width = images.shape[-2:]
    padded = nnf.pad(images, (radius, radius, 0, 0), mode="replicate")
    across = padded[..., radius : radius + width] * weights[0]
    for step, weight in enumerate(weights[1:], 1):
        across.add_(padded[..., radius - step : radius - step + width], alpha=weight)
        across.add_(padded[..., radius + step : radius + step + width], alpha=weight)
    padded = nnf.pad(across, (0, 0, radius, radius), mode="replicate")
    result = padded[..., radius : radius + height, :] * weights[0]
    for step, weight in enumerate(weights[1:], 1):
        result.add_(padded[..., radius - step : radius - step + height, :], alpha=weight)
        result.add_(padded[..., radius + step : radius + step + height, :], alpha=weight)
    return result


def halve(images: Tensor) -> Tensor:
    """Means of 2x2 pixels; an odd last row or column is repeated."""
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        images = nnf.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)


def enlarge(images: Tensor, factor: int, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Bilinear enlargement by `factor`, cut to `shape`; undoes the placing of `halve` exactly."""
    full = nnf.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
    return full[..., : shape[0], : shape[1]]


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences (d/dx, d/dy) per pixel."""
    padded = nnf.pad(images, (1, 1, 1, 1), mode="replicate")
    right = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    return right.mul_(0.5), down.mul_(0.5)


def local_deviation(images: Tensor, sigma_px: float) -> Tensor:
    """Standard deviation under a Gaussian window."""
    mean = gaussian(images, sigma_px)
    return (gaussian(images.square(), sigma_px) - mean.square()).clamp_min_(0.0).sqrt_()


def guided(images: Tensor, guide: Tensor, sigma_px: float, epsilon: float) -> Tensor:
    """Guided filter (He et al., 2013): the look of `images` with the edges of `guide`.

    Around each pixel `images` is fitted by slope x guide + offset under a Gaussian window.
    """
    mean_i, mean_g = gaussian(images, sigma_px), gaussian(guide, sigma_px)
    covariance = gaussian(images * guide, sigma_px) - mean_i * mean_g
    variance = gaussian(guide.square(), sigma_px) - mean_g.square()
    slope = covariance / (variance.clamp_min_(0.0) + epsilon)
    offset = mean_i - slope * mean_g
    return gaussian(slope, sigma_px) * guide + gaussian(offset, sigma_px)


def to_unit(images: Tensor, spread: float = 2.3) -> Tensor:
    """Stretch each image to 0..1: its mean to 0.5, `spread` deviations to either side, clipped."""
    centred = images - images.mean(dim=(-2, -1), keepdim=True)
    deviation = centred.square().mean(dim=(-2, -1), keepdim=True).sqrt_()
    return centred.mul_(1.0 / (2.0 * spread * deviation + 1e-6)).add_(0.5).clamp_(0.0, 1.0)


def to_range(images: Tensor) -> Tensor:
    """Stretch each image so that its least and greatest value become 0 and 1."""
    low, high = images.flatten(1).aminmax(dim=1)
    low, high = per_image(low), per_image(high)
    return (images - low).mul_(1.0 / (high - low + 1e-6))


def per_image(numbers: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1)."""
    return numbers.view(-1, 1, 1, 1)


def choose(where: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`torch.where` by arithmetic, several times faster on a CPU; both sides must be finite."""
    return torch.lerp(no, yes.to(no.dtype), where.to(no.dtype))


def look_up(images: Tensor, table: Tensor) -> Tensor:
    """Each image (B, 1, H, W), 0..1, through its own curve (B, K), linear between K equal knots."""
    batch, knots = table.shape
    place = (images.reshape(batch, -1) * (knots - 1)).clamp_(0.0, knots - 1.001)
    low = place.long()
    slope = table[:, 1:] - table[:, :-1]
    value = slope.gather(1, low).mul_(place.sub_(low)).add_(table.gather(1, low))
    return value.view_as(images)
