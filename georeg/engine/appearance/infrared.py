"""Item 4: infrared-like looks: unlike tones, soft optics, coarse detectors, stripes, vignetting."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from georeg.engine.appearance.filters import gaussian, per_image, to_unit
from georeg.engine.appearance.tone import cosine, free_curve, monotone_curve
from georeg.engine.draw import Draw


def thermal_like(images: Tensor, draw: Draw) -> Tensor:
    """Temperature-like: a new tone for each material, soft, some of it coarse, striped, dark in the corners, noisy."""
    tone = (cosine, monotone_curve, free_curve)[draw.index(3)]
    result = gaussian(tone(gaussian(images, 0.5), draw), draw.number(0.2, 1.4))
    if draw.chance(0.4):
        result = detector(result, draw)
    if draw.chance(0.3):
        result = result + stripes(images, draw)
    noise = per_image(draw.uniform(len(images), 0.0, 0.03)) * draw.noise(tuple(images.shape))
    return to_unit(result * vignette(images, draw) + noise)


def detector(images: Tensor, draw: Draw) -> Tensor:
    """Down to 1/1.2 .. 1/2.5 and up again, bilinear both ways (antialiased), as of a coarser detector."""
    factor = draw.number(1.2, 2.5)
    size = images.shape[-2:]
    small = tuple(max(8, round(side / factor)) for side in size)
    down = nnf.interpolate(images, small, mode="bilinear", align_corners=False, antialias=True)
    return nnf.interpolate(down, size, mode="bilinear", align_corners=False)


def stripes(images: Tensor, draw: Draw) -> Tensor:
    """Row or column noise of a line detector, up to 3 % of the range."""
    count, _, height, width = images.shape
    strength = per_image(draw.uniform(count, 0.0, 0.03))
    rows = draw.noise((count, 1, height, 1)) if draw.chance(0.5) else draw.noise((count, 1, 1, width))
    return strength * rows


def vignette(images: Tensor, draw: Draw) -> Tensor:
    """A gain that falls towards the corners by up to a half, centred near the middle."""
    count, _, height, width = images.shape
    rows = torch.linspace(-1, 1, height, device=images.device).view(1, 1, -1, 1)
    cols = torch.linspace(-1, 1, width, device=images.device).view(1, 1, 1, -1)
    centre = draw.uniform((count, 2), -0.3, 0.3)
    distance = (rows - per_image(centre[:, 0])).square() + (cols - per_image(centre[:, 1])).square()
    return 1.0 - per_image(draw.uniform(count, 0.0, 0.25)) * distance.clamp_max(2.0)


def near_infrared_like(images: Tensor, draw: Draw) -> Tensor:
    """Reflective infrared: sharp as optical, but one range of tones (vegetation) changes its brightness."""
    count = len(images)
    centre = per_image(draw.uniform(count, 0.15, 0.85))
    width = per_image(draw.uniform(count, 0.08, 0.25))
    bump = torch.exp(-0.5 * ((gaussian(images, 0.8) - centre) / width).square())
    gain = per_image(draw.uniform(count, -0.9, 0.9))
    return to_unit(images + gain * bump)
