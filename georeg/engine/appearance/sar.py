"""Item 3: SAR-like looks. Reflectance by region, slopes towards the radar bright, gamma speckle, then log or
root."""

from __future__ import annotations

import torch
from torch import Tensor

from georeg.engine.appearance.filters import (
    choose,
    enlarge,
    gaussian,
    gradients,
    halve,
    look_up,
    per_image,
    to_unit,
)
from georeg.engine.draw import Draw


def sar_like(images: Tensor, draw: Draw) -> Tensor:
    """A radar-like rendering of a scene seen by another sensor.

    Linearise, draw a new reflectance for each grey class, brighten edges that face the look direction and
    darken those that face away, multiply by correlated gamma speckle of 1 to 8 looks, take the log or a root,
    saturate.
    """
    count = len(images)
    smooth = gaussian(images, draw.number(0.5, 1.3))
    reflectance = look_up(smooth, _reflectance_table(count, draw))
    relief = gaussian(images, draw.number(0.7, 1.4))
    slope = _towards_look(relief, draw)
    facing = per_image(draw.uniform(count, 2.0, 12.0)) * slope
    intensity = reflectance * facing.clamp(-2.5, 2.5).exp()
    intensity = intensity + per_image(draw.uniform(count, 0.0, 60.0)) * slope.square() * _glint(images, draw)
    return detected(intensity * speckle(images.shape, draw), draw)


def _reflectance_table(count: int, draw: Draw, knots: int = 48) -> Tensor:
    """Reflectance (linear power) for each grey value: plateaus of 3 to 8 classes over about 12 dB, a slow
    trend left in."""
    classes = draw.integers(count, 3, 9)
    decibel = draw.uniform((count, 8), -8.0, 4.0)
    grey = torch.linspace(0.0, 1.0, knots, device=draw.device).expand(count, -1)
    place = grey * (classes.view(-1, 1) - 1)
    low = place.long()
    share = ((place - low) * 3.0 - 1.0).clamp(0.0, 1.0)
    plateau = decibel.gather(1, low) * (1 - share) + decibel.gather(1, (low + 1).clamp_max(7)) * share
    trend = draw.uniform(count, -4.0, 12.0).view(-1, 1) * (grey - 0.5)
    blend = draw.uniform(count, 0.2, 1.0).view(-1, 1)
    return torch.pow(10.0, (blend * plateau + (1.3 - blend) * trend) / 10.0)


def _towards_look(relief: Tensor, draw: Draw) -> Tensor:
    angle = draw.uniform(len(relief), 0.0, 2 * torch.pi)
    right, down = gradients(relief)
    return right * per_image(angle.cos()) + down * per_image(angle.sin())


def _glint(images: Tensor, draw: Draw) -> Tensor:
    """Few strong scatterers: a heavy-tailed gain that only some edge pixels get."""
    chance = draw.uniform_field(tuple(images.shape)).square_()
    return chance.square_().mul_(4.0)


def speckle(shape: tuple[int, ...] | torch.Size, draw: Draw) -> Tensor:
    """Unit-mean gamma noise of 1 to 8 looks per image: the mean power of so many complex normal fields,
    correlated.

    Pixels of real products are oversampled or multilooked: the fields are blurred by up to a pixel before
    detection.
    """
    count, _, height, width = shape
    looks = min(8, int(2 ** draw.number(0.0, 3.3)))
    fields = draw.noise((count, 2 * min(looks, 4), height, width))
    sigma = draw.number(0.0, 0.9)
    fields = gaussian(fields, sigma) if sigma > 0.3 else fields
    power = fields.square()
    power = power.mean(dim=1, keepdim=True) / power.mean(dim=(1, 2, 3), keepdim=True)
    extra = per_image(draw.uniform(count, 0.35, 1.0)) if looks <= 4 else 0.5
    return power.pow(extra)


def detected(intensity: Tensor, draw: Draw) -> Tensor:
    """Power as people store it: dB, amplitude or fourth root, then percentile-like saturation."""
    count = len(intensity)
    log = (intensity.clamp_min(0.0) + 1e-3).log()
    power = per_image(draw.uniform(count, 0.2, 0.5))
    root = intensity.clamp_min(0.0).pow(power)
    in_db = (draw.uniform(count) < 0.5).view(-1, 1, 1, 1)
    return to_unit(choose(in_db, log, root / root.mean(dim=(-2, -1), keepdim=True)), draw.number(1.6, 2.8))


def speckled(images: Tensor, draw: Draw) -> Tensor:
    """Speckle alone over the image's own tones, as where land cover and radar brightness happen to agree."""
    power = images.clamp_min(0.02).pow(per_image(draw.uniform(len(images), 0.8, 2.2)))
    return detected(power * speckle(images.shape, draw), draw)


def multilooked(images: Tensor, draw: Draw) -> Tensor:
    """A SAR-like look at half the resolution: speckle averaged away, edges soft."""
    return enlarge(sar_like(halve(images), draw), 2, images.shape[-2:])
