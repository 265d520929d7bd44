"""How far the two tiles of an "aligned" pair are apart, measured by correlating their oriented gradients.

Real pairs are off by a few pixels (layover, geocoding). The offset is estimated at half resolution over the whole
tile, so it corrects the pair as a whole; pairs whose best offset is far and not distinct are better left out of
training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from georeg.engine.appearance.filters import gaussian, gradients, halve

ORIENTATIONS = 4
REACH_PX = 10
RIVAL_PX = 5
DISTINCT = 1.2
NEAR_PX = 3.0


@dataclass(frozen=True)
class Offset:
    """Added to a pixel of the first tile it gives the same ground in the second.

    Attributes:
        x_px, y_px: the offset, to about half a pixel.
        distinct: the peak's height over the highest one elsewhere in reach.
        gain: the peak's correlation minus that of no offset.
    """

    x_px: float
    y_px: float
    distinct: float
    gain: float

    @property
    def length_px(self) -> float:
        return math.hypot(self.x_px, self.y_px)

    @property
    def trusted(self) -> bool:
        """A peak that stands out and does not lie at the rim of the search."""
        return self.distinct >= DISTINCT and self.length_px < REACH_PX - 1

    @property
    def doubtful(self) -> bool:
        """Neither aligned as it is nor correctable."""
        return not self.trusted and self.length_px > NEAR_PX


def measure_offset(first: Tensor, second: Tensor) -> Offset:
    """The offset between two uint8 tiles (C, H, W) of the same size, within about 10 px."""
    features = [_oriented_gradients(tile) for tile in (first, second)]
    spectra = [torch.fft.rfft2(feature) for feature in features]
    surface = torch.fft.irfft2((spectra[0].conj() * spectra[1]).sum(dim=0), s=features[0].shape[-2:])
    surface = surface / (features[0].norm() * features[1].norm()).clamp_min(1e-9)
    reach = REACH_PX // 2
    near = torch.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, col = divmod(int(near.argmax()), 2 * reach + 1)
    peak = float(near[row, col])
    rival_px = RIVAL_PX // 2
    rivals = near.clone()
    rivals[max(0, row - rival_px) : row + rival_px + 1, max(0, col - rival_px) : col + rival_px + 1] = -1.0
    y = row - reach + _parabola(near[:, col], row)
    x = col - reach + _parabola(near[row], col)
    return Offset(2.0 * x, 2.0 * y, peak / max(float(rivals.max()), 1e-3), peak - float(near[reach, reach]))


def _oriented_gradients(tile: Tensor) -> Tensor:
    """(4, H/2, W/2): strength of the gradient along four directions, locally normalised, windowed."""
    grey = halve(gaussian(tile.float().mean(dim=0)[None, None] / 255.0, 1.2))
    right, down = gradients(gaussian(grey, 0.7))
    angles = [math.pi * index / ORIENTATIONS for index in range(ORIENTATIONS)]
    channels = torch.cat([(right * math.cos(a) + down * math.sin(a)).abs() for a in angles], dim=1)
    channels = gaussian(channels, 0.8)
    strength = channels.square().sum(dim=1, keepdim=True).sqrt()
    channels = channels / (strength + strength.mean())
    channels = channels - channels.mean(dim=(-2, -1), keepdim=True)
    rows, cols = (torch.hann_window(side, periodic=False, device=tile.device) for side in channels.shape[-2:])
    return (channels * (rows[:, None] * cols).sqrt())[0]


def _parabola(values: Tensor, peak: int) -> float:
    """Where between its neighbours the peak lies, -0.5..0.5."""
    if peak in (0, len(values) - 1):
        return 0.0
    left, middle, right = values[peak - 1 : peak + 2].tolist()
    curvature = left - 2 * middle + right
    return 0.0 if curvature >= 0 else max(-0.5, min(0.5, 0.5 * (left - right) / curvature))
