"""Item 5: structure pictures: what is left when tone is thrown away, and what looks like a height model or a map."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.appearance.filters import (
    choose,
    gaussian,
    gradients,
    local_deviation,
    look_up,
    per_image,
    to_unit,
)
from georeg.engine.draw import Draw


def gradient_magnitude(images: Tensor, draw: Draw) -> Tensor:
    """How fast the grey value changes, at a scale of 0.6 to 2 px, compressed by a root; may be inverted."""
    right, down = gradients(gaussian(images, draw.number(0.6, 2.0)))
    size = (right.square() + down.square() + 1e-8).pow(0.5 * draw.number(0.4, 1.0))
    return _maybe_inverted(to_unit(size), draw)


def deviation(images: Tensor, draw: Draw) -> Tensor:
    """Local standard deviation at 1 to 3 px: texture as brightness."""
    return _maybe_inverted(
        to_unit(local_deviation(images, draw.log_uniform(1, 1.0, 3.0).item()).sqrt()), draw
    )


def hillshade(images: Tensor, draw: Draw) -> Tensor:
    """The grey values taken as heights and lit from a random side at 25 to 65 degrees."""
    count = len(images)
    azimuth = draw.uniform(count, 0.0, 2 * torch.pi)
    elevation = draw.uniform(count, 0.45, 1.15)
    height = gaussian(images, draw.log_uniform(1, 0.8, 4.0).item())
    scale = per_image(draw.log_uniform(count, 6.0, 40.0))
    right, down = (part * scale for part in gradients(height))
    light = per_image(elevation.sin()) - per_image(elevation.cos()) * (
        right * per_image(azimuth.cos()) + down * per_image(azimuth.sin())
    )
    return to_unit((light / (1.0 + right.square() + down.square()).sqrt()).clamp_min(0.0))


def shaded_model(images: Tensor, draw: Draw) -> Tensor:
    """A rendered surface model: flat regions in new tones, lit from the side, without the texture of a photograph."""
    relief = _edge_stopping(_edge_stopping(images, 0.1, 2), 0.08)
    tones = look_up(relief, draw.uniform((len(images), 10)))
    light = hillshade(relief, draw)
    return to_unit(torch.lerp(tones, light, per_image(draw.uniform(len(images), 0.3, 0.8))))


def smooth_height(images: Tensor, draw: Draw) -> Tensor:
    """A height-like picture: coarse relief with slow ramps, tone inverted or not."""
    count, _, height, width = images.shape
    relief = gaussian(images, draw.log_uniform(1, 1.2, 4.0).item())
    cells = draw.index(2) + 2
    ramp = nnf.interpolate(
        draw.normal((count, 1, cells, cells)), (height, width), mode="bicubic", align_corners=False
    )
    return _maybe_inverted(to_unit(relief + per_image(draw.uniform(count, 0.0, 0.3)) * ramp), draw)


def map_like(images: Tensor, draw: Draw) -> Tensor:
    """A drawn map: few flat fills with shuffled tones, roads drawn over them, outlines dark or bright."""
    count = len(images)
    smooth = _edge_stopping(gaussian(images, draw.number(1.0, 2.2)), 0.08, 2)
    levels = draw.integers(count, 2, 6)
    step = (smooth * per_image(levels)).floor().clamp_min(0)
    step = torch.minimum(step, per_image(levels) - 1).long()
    tones = 1.0 - per_image(draw.uniform(count, 0.1, 1.0)).view(-1, 1) * draw.uniform((count, 8)).square()
    flat = gaussian(tones.gather(1, step.view(count, -1)).view_as(images), 0.5)
    right, down = gradients(flat)
    outline = right.square_().add_(down.square_()).sqrt_().mul_(8.0).clamp_(0.0, 1.0)
    result = torch.lerp(flat, _ink(count, draw, 0.7), outline * per_image(draw.uniform(count, 0.0, 1.0)))
    roads = _strokes(images, draw).mul_(per_image(draw.uniform(count) < 0.7))
    return torch.lerp(result, _ink(count, draw, 0.35), roads)


def _ink(count: int, draw: Draw, dark_share: float) -> Tensor:
    """(B, 1, 1, 1) black or white."""
    return per_image((draw.uniform(count) >= dark_share).float())


def _strokes(images: Tensor, draw: Draw) -> Tensor:
    """0..1 where a thin line runs that is brighter (or, for some images, darker) than both its sides.

    The anisotropic part of the Hessian answers to lines and not to round spots; its trace tells bright from dark.
    """
    right, down = gradients(gaussian(images, draw.number(0.8, 2.0)))
    (xx, xy), (_, yy) = gradients(right), gradients(down)
    sign = per_image(1.0 - 2.0 * (draw.uniform(len(images)) < 0.4).float())
    line = (0.25 * (xx - yy).square() + xy.square()).sqrt_() * (sign * (xx + yy) < 0)
    strength = line.mean(dim=(-2, -1), keepdim=True) + 1e-4
    return line.div_(strength).sub_(draw.number(1.0, 2.5)).clamp_(0.0, 1.0)


def contours(images: Tensor, draw: Draw) -> Tensor:
    """A contour map: thin lines at equal steps of the smoothed grey values, over a flat or shaded ground."""
    count = len(images)
    steps = per_image(draw.uniform(count, 4.0, 12.0))
    height = gaussian(images, draw.number(2.0, 5.0)) * steps
    right, down = gradients(height)
    slope = right.square().add_(down.square()).sqrt_()
    distance = (height - height.round()).abs_() / slope.clamp_min(0.02)
    line = (per_image(draw.uniform(count, 0.9, 1.6)) - distance).clamp_(0.0, 1.0)
    shade = 0.5 + per_image(draw.uniform(count, -1.5, 1.5)) * (right + down)
    ground = torch.lerp(shade, images, per_image(draw.uniform(count, 0.0, 0.6)))
    return torch.lerp(ground.clamp_(0.0, 1.0), _ink(count, draw, 0.6), line)


def ridges(images: Tensor, draw: Draw) -> Tensor:
    """Thin bright or dark lines (roads, rivers, hedges) drawn as strokes on an even ground."""
    return _maybe_inverted(_strokes(images, draw), draw)


def region_means(images: Tensor, draw: Draw) -> Tensor:
    """Flat regions: a few rounds of edge-stopping smoothing, then a free tone curve."""
    knots = 32
    smooth = images
    for reach_px in (2, 1, 1):
        smooth = _edge_stopping(smooth, draw.number(0.04, 0.1), reach_px)
    table = draw.uniform((len(images), knots))
    table = gaussian(table.view(len(images), 1, 1, knots), 1.5).view(len(images), knots)
    return to_unit(look_up(smooth, table))


def _edge_stopping(images: Tensor, contrast: float, reach_px: int = 1) -> Tensor:
    """One step of anisotropic diffusion (Perona and Malik, 1990) over the four neighbours at `reach_px`."""
    height, width = images.shape[-2:]
    padded = nnf.pad(images, (reach_px,) * 4, mode="replicate")
    total, weight = images.clone(), torch.ones_like(images)
    for top, left in ((0, reach_px), (2 * reach_px, reach_px), (reach_px, 0), (reach_px, 2 * reach_px)):
        moved = padded[..., top : top + height, left : left + width]
        share = (moved - images).div_(contrast).square_().neg_().exp_()
        total.addcmul_(share, moved)
        weight.add_(share)
    return total.div_(weight)


def _maybe_inverted(images: Tensor, draw: Draw) -> Tensor:
    turned = (draw.uniform(len(images)) < 0.35).view(-1, 1, 1, 1)
    return choose(turned, 1.0 - images, images)
