"""Item 1: tone. Every pixel changes by a curve of its own value (or of its surroundings), nothing moves."""

from __future__ import annotations

import torch
from torch import Tensor

from georeg.engine.appearance.filters import choose, gaussian, local_deviation, look_up, per_image, to_unit
from georeg.engine.draw import Draw

KNOTS = 64


def gamma(images: Tensor, draw: Draw) -> Tensor:
    """A power law between 1/2.5 and 2.5, with brightness and contrast."""
    count = len(images)
    power = per_image(draw.log_uniform(count, 0.4, 2.5))
    contrast = per_image(draw.log_uniform(count, 0.6, 1.6))
    shift = per_image(draw.uniform(count, -0.15, 0.15))
    return ((images - 0.5) * contrast + 0.5 + shift).clamp(1e-4, 1.0).pow(power)


def monotone_curve(images: Tensor, draw: Draw) -> Tensor:
    """A random rising curve; one in three falls instead."""
    count = len(images)
    steps = draw.uniform((count, KNOTS - 1)).pow(per_image(draw.uniform(count, 1.0, 5.0)).view(-1, 1))
    steps = _smooth_rows(steps, 6)
    table = torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(dim=1)], dim=1)
    table = table / table[:, -1:].clamp_min(1e-6)
    falls = draw.uniform(count) < 0.33
    return look_up(images, torch.where(falls.view(-1, 1), 1.0 - table, table))


def free_curve(images: Tensor, draw: Draw) -> Tensor:
    """A random smooth curve that rises and falls, as between bands of unlike physics."""
    table = _smooth_rows(draw.uniform((len(images), KNOTS)), 12)
    low, high = table.amin(1, keepdim=True), table.amax(1, keepdim=True)
    return look_up(images, (table - low) / (high - low + 1e-6))


def _smooth_rows(rows: Tensor, width: int) -> Tensor:
    kernel = torch.ones(1, 1, 2 * (width // 2) + 1, device=rows.device) / (2 * (width // 2) + 1)
    padded = torch.nn.functional.pad(rows.unsqueeze(1), (width // 2, width // 2), mode="replicate")
    once = torch.nn.functional.conv1d(padded, kernel)
    padded = torch.nn.functional.pad(once, (width // 2, width // 2), mode="replicate")
    return torch.nn.functional.conv1d(padded, kernel).squeeze(1)


def cosine(images: Tensor, draw: Draw) -> Tensor:
    """cos(w x + phase), half a turn to one and a half over the grey range: folds bright and dark together."""
    count = len(images)
    turns = per_image(draw.uniform(count, 0.4, 1.6))
    phase = per_image(draw.uniform(count, 0.0, 2 * torch.pi))
    return 0.5 + 0.5 * torch.cos(2 * torch.pi * turns * images + phase)


def inversion(images: Tensor, draw: Draw) -> Tensor:
    """The negative, or a solarised one (values above a threshold turned over)."""
    threshold = per_image(draw.uniform(len(images), -0.6, 0.6)).clamp_min(0.0)
    negative = 1.0 - images
    return choose(images >= threshold, negative + threshold * 0.5, images)


def posterise(images: Tensor, draw: Draw) -> Tensor:
    """4 to 12 grey levels whose order is shuffled: regions keep their outline and lose their brightness order."""
    count = len(images)
    levels = draw.integers(count, 4, 13)
    order = draw.uniform((count, 13)).argsort(dim=1).float() / 12.0
    softened = gaussian(images, draw.number(0.6, 1.6))
    step = (softened * per_image(levels)).floor().clamp_min(0).long()
    step = torch.minimum(step, per_image(levels) - 1)
    flat = order.gather(1, step.view(count, -1)).view_as(images)
    texture = per_image(draw.uniform(count, 0.0, 0.5))
    return flat + texture * (images - softened)


def local_contrast(images: Tensor, draw: Draw) -> Tensor:
    """What CLAHE does, without its histogram: each neighbourhood gets the same mean and deviation."""
    sigma = draw.log_uniform(1, 5.0, 24.0).item()
    strength = per_image(draw.uniform(len(images), 0.5, 1.0))
    mean = gaussian(images, sigma)
    flat = (images - mean) / (local_deviation(images, sigma) + 0.04)
    return (1.0 - strength) * images + strength * to_unit(flat)


def illumination(images: Tensor, draw: Draw) -> Tensor:
    """Haze, cloud shadow, slope light: the image times and plus slow random fields."""
    count, _, height, width = images.shape
    cells = draw.index(4) + 2
    field = torch.nn.functional.interpolate(
        draw.normal((count, 2, cells, cells)), (height, width), mode="bicubic", align_corners=False
    )
    gain = (0.5 * field[:, :1]).exp()
    return images * gain + 0.15 * field[:, 1:]


def patchwork(images: Tensor, draw: Draw) -> Tensor:
    """Two free curves, one taking over from the other across slow random fields: tone that depends on the place.

    Season, moisture and material change grey values differently from place to place.
    """
    field = _slow_field(images, draw.index(3) + 3, draw)
    return torch.lerp(free_curve(images, draw), free_curve(images, draw), torch.sigmoid(3.0 * field))


def _slow_field(images: Tensor, cells: int, draw: Draw) -> Tensor:
    """(B, 1, H, W) a smooth random field with `cells` random values along each side."""
    values = draw.normal((len(images), 1, cells, cells))
    return torch.nn.functional.interpolate(values, images.shape[-2:], mode="bicubic", align_corners=False)


def night(images: Tensor, draw: Draw) -> Tensor:
    """A night picture: nearly black, towns of lamps where the ground is bright or busy, their bloom, sensor noise."""
    count = len(images)
    dark = images.pow(per_image(draw.uniform(count, 1.0, 3.0))) * per_image(draw.log_uniform(count, 0.1, 0.8))
    busy = (images - gaussian(images, draw.number(2.0, 5.0))).clamp_min_(0.0)
    busy = busy / (busy.mean(dim=(-2, -1), keepdim=True) + 1e-4)
    chance = draw.uniform_field(tuple(images.shape))
    lamps = (
        busy
        * chance.pow_(draw.number(2.0, 12.0))
        * torch.sigmoid(4.0 * _slow_field(images, draw.index(4) + 2, draw))
    )
    glow = gaussian(lamps, 0.7) + gaussian(lamps, draw.number(2.0, 4.0)) * draw.number(0.5, 2.0)
    noise = per_image(draw.uniform(count, 0.0, 0.05)) * draw.noise(tuple(images.shape))
    return to_unit(dark + per_image(draw.log_uniform(count, 0.1, 0.8)) * glow + noise, draw.number(1.5, 3.0))
