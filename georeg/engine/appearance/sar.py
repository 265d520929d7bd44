"""Item 3: SAR-like looks: brightness by land cover, roughness and slope towards the radar, under gamma speckle.

What real pairs show, and what is imitated: regions keep their outline but get a brightness of their own; rough ground
(trees, houses) is bright and heavy-tailed, smooth ground (roads, water) dark; speckle is correlated over a pixel or
two. All is put together in decibel, where contributions add, with a signal of 3 to 7 dB so that speckle never drowns
it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from georeg.engine.appearance.filters import (
    choose,
    enlarge,
    gaussian,
    gradients,
    guided,
    halve,
    local_deviation,
    look_up,
    per_image,
    to_unit,
)
from georeg.engine.draw import Draw

DECIBEL = 0.2302585


def sar_like(images: Tensor, draw: Draw, grain: float = 1.0) -> Tensor:
    """A radar-like rendering of a scene seen by another sensor; `grain` scales all its smoothing."""
    count = len(images)
    cover = _standard(
        look_up(gaussian(images, grain * draw.number(0.6, 2.2)), _reflectance_table(count, draw))
    )
    rough = _standard((local_deviation(images, grain * draw.number(1.0, 2.0)) + 0.01).log_())
    slope = _standard(_towards_look(gaussian(images, grain * draw.number(0.8, 1.6)), draw)).clamp_(-3.0, 3.0)
    weights = draw.uniform((count, 3)).square()
    weights = weights / weights.square().sum(dim=1, keepdim=True).sqrt()
    signal = cover * per_image(weights[:, 0])
    signal.addcmul_(rough, per_image(weights[:, 1])).addcmul_(slope, per_image(0.8 * weights[:, 2]))
    if draw.chance(0.5):
        signal.add_(_scatterers(rough, draw))
    power = (signal * per_image(draw.uniform(count, 3.0, 7.0) * DECIBEL)).clamp_max_(5.0).exp_()
    return detected(power * speckle(images.shape, draw), draw)


def _standard(images: Tensor) -> Tensor:
    """Zero mean, unit deviation per image."""
    centred = images - images.mean(dim=(-2, -1), keepdim=True)
    return centred.div_(centred.square().mean(dim=(-2, -1), keepdim=True).sqrt_().add_(1e-4))


def _reflectance_table(count: int, draw: Draw, knots: int = 48) -> Tensor:
    """Brightness (dB, any scale) for each grey value: plateaus of 3 to 8 classes, a slow trend left in."""
    classes = draw.integers(count, 3, 9)
    level = draw.uniform((count, 8), -6.0, 6.0)
    grey = torch.linspace(0.0, 1.0, knots, device=draw.device).expand(count, -1)
    place = grey * (classes.view(-1, 1) - 1)
    low = place.long()
    share = ((place - low) * 3.0 - 1.0).clamp(0.0, 1.0)
    plateau = level.gather(1, low) * (1 - share) + level.gather(1, (low + 1).clamp_max(7)) * share
    trend = draw.uniform(count, -6.0, 14.0).view(-1, 1) * (grey - 0.5)
    blend = draw.uniform(count, 0.2, 1.0).view(-1, 1)
    return blend * plateau + (1.3 - blend) * trend


def _towards_look(relief: Tensor, draw: Draw) -> Tensor:
    """The slope of the grey values along a random look direction: bright where it faces the radar, else shadow."""
    angle = draw.uniform(len(relief), 0.0, 2 * torch.pi)
    right, down = gradients(relief)
    return right.mul_(per_image(angle.cos())).addcmul_(down, per_image(angle.sin()))


def _scatterers(rough: Tensor, draw: Draw) -> Tensor:
    """Few strong points, most of them on rough ground, each smeared over about a pixel (deviations to be added)."""
    chance = draw.uniform_field(tuple(rough.shape)).square_().square_()
    points = (chance * (1.0 + rough.clamp(-1.0, 2.0))).square_()
    return gaussian(points, 0.6).mul_(draw.number(0.3, 0.9))


def speckle(shape: tuple[int, ...] | torch.Size, draw: Draw) -> Tensor:
    """Gamma noise of 1 to 8 looks: the mean power of so many complex normal fields, correlated over 0.5 to 1.2 px.

    Up to four looks are summed; more are a power of that sum, which narrows it alike. Mean near 1.
    """
    count, _, height, width = shape
    looks = draw.index(4) + 1
    fields = gaussian(draw.noise((count, 2 * looks, height, width)), draw.number(0.5, 1.2))
    power = fields.square_().mean(dim=1, keepdim=True)
    power = power / power.mean(dim=(-2, -1), keepdim=True)
    return power.add_(1e-3).pow_(per_image(draw.uniform(count, 0.6, 1.0)))


def detected(power: Tensor, draw: Draw) -> Tensor:
    """Power as people store it: dB or a root (amplitude, fourth root), then saturation."""
    count = len(power)
    logarithm = (power + 1e-3).log()
    root = power.clamp_min(0.0).pow(per_image(draw.uniform(count, 0.25, 0.5)))
    in_decibel = per_image(draw.uniform(count) < 0.5)
    return choose(in_decibel, to_unit(logarithm, draw.number(1.8, 2.8)), to_unit(root, draw.number(1.4, 2.4)))


def speckled(images: Tensor, draw: Draw) -> Tensor:
    """Speckle alone over the image's own tones, as where land cover and radar brightness happen to agree."""
    power = images.clamp_min(0.02).pow(per_image(draw.uniform(len(images), 1.0, 3.0)))
    return detected(power * speckle(images.shape, draw), draw)


def multilooked(images: Tensor, draw: Draw) -> Tensor:
    """A SAR-like look at half the resolution, as of 10 to 20 m products shown at a finer pixel."""
    return enlarge(sar_like(halve(images), draw, 0.6), 2, images.shape[-2:])


def despeckled(images: Tensor, draw: Draw) -> Tensor:
    """A SAR image with its speckle smoothed away: what other looks of SAR scenes start from."""
    smooth = gaussian(images, draw.number(1.0, 1.8))
    return guided(smooth, smooth, 2.5, draw.number(2e-3, 2e-2))
