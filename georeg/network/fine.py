"""The fine stage at 1/2: learned features of a template about each coarse match, correlated at all shifts near it.

A single feature of one sensor hardly tells its counterpart in another sensor's picture from that one's neighbours; a
template of a hundred does. So features are learnt for the very correlation that classical template matching does.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from georeg.network.backbone import RepBlock
from georeg.network.coarse import steps
from georeg.network.config import CELL_PX, FINE_PX, NetworkConfig

REACH = 3
"""Largest shift looked at, in fine positions: what the coarse stage may miss by."""

SHIFTS = 2 * REACH + 1
INITIAL_SHARPNESS = 12.0
LARGEST_SHARPNESS = 100.0
FAINT = 1e-4
FINE_PER_CELL = CELL_PX // FINE_PX


class FinePyramid(nn.Module):
    """Features at 1/2 that know what the coarse stage found: top-down additions from 1/8 over 1/4."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.channels
        c = config.fine_channels
        self.up_eighth = nn.Conv2d(eighth, 4 * c, 1)
        self.lateral_quarter = nn.Conv2d(quarter, c, 1)
        self.mix_quarter = RepBlock(c, c)
        self.up_quarter = nn.Conv2d(c, 4 * c, 1)
        self.lateral_half = nn.Conv2d(half, c, 1)
        self.mix_half = RepBlock(c, c)
        self.last = RepBlock(c, c, activation=False)

    def forward(self, half: Tensor, quarter: Tensor, eighth: Tensor) -> Tensor:
        """(B, C, H / 2, W / 2) from features at 1/2, 1/4 and, after attention, 1/8."""
        x = self.mix_quarter(F.pixel_shuffle(self.up_eighth(eighth), 2) + self.lateral_quarter(quarter))
        x = self.mix_half(F.pixel_shuffle(self.up_quarter(x), 2) + self.lateral_half(half))
        return self.last(x)


def saturate(x: Tensor) -> Tensor:
    """Vectors along the last axis with lengths brought to [0, 1): how much a place has to say is learnt too."""
    return x * torch.rsqrt(1 + x.square().sum(-1, keepdim=True))


class FineMatcher(nn.Module):
    """Correlates a weighted template about one place with the surroundings of another."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.half_side = config.fine_window // 2
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(INITIAL_SHARPNESS)))
        self.log_width = nn.Parameter(torch.tensor(math.log(config.fine_window / 3)))

    def scores(self, maps: tuple[Tensor, Tensor], image: Tensor, centre0: Tensor, centre1: Tensor) -> Tensor:
        """(M, SHIFTS²) scaled normalised correlation of the template about `centre0` at all shifts about `centre1`.

        Args:
            maps: fine features (B, H / 2, W / 2, C) of both images.
            image: (M,) int64 index into the batch.
            centre0, centre1: (M, 2) int64 x, y on the fine grid. What lies off the grid counts as featureless.
        """
        weight = self.weight()
        template = windows(maps[0], image, centre0, self.half_side) * (weight[:, None] * weight)[..., None]
        around = windows(maps[1], image, centre1, self.half_side + REACH)
        energy = self.energy(maps[0], image, centre0, 0) * self.energy(maps[1], image, centre1, REACH)
        sharpness = self.log_sharpness.exp().clamp(max=LARGEST_SHARPNESS)
        return (sharpness * correlate(template, around) * torch.rsqrt(energy + FAINT)).flatten(1)

    def energy(self, fine_map: Tensor, image: Tensor, centre: Tensor, reach: int) -> Tensor:
        """(M, 2 reach + 1, 2 reach + 1) weighted sums of squares of the templates about places up to `reach` away.

        Templates overlap, so the sums are made once for the whole grid and as far off it as a template reaches.
        """
        weight, rim = self.weight(), self.half_side
        squares = fine_map.square().sum(-1)[:, None]
        sums = F.conv2d(squares, weight[None, None, :, None], padding=(2 * rim, 0))
        sums = F.conv2d(sums, weight[None, None, None], padding=(0, 2 * rim))
        return windows(sums.permute(0, 2, 3, 1), image, centre + rim, reach)[..., 0]

    def weight(self) -> Tensor:
        """(side,) what the places of the template count along each axis: a Gaussian of learnt width, of sum 1."""
        squared = torch.arange(-self.half_side, self.half_side + 1, device=self.log_width.device).square()
        return torch.softmax(-0.5 * squared * torch.exp(-2 * self.log_width), 0)

    def forward(
        self, maps: tuple[Tensor, Tensor], image: Tensor, centre0: Tensor, centre1: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refine matches: pixel-centre places (M, 2), (M, 2) and the fine probability (M,).

        Arguments as of `scores`; `centre1` is where the coarse stage put the match.
        """
        scores = self.scores(maps, image, centre0, centre1)
        shift, probability = refined_shift(scores)
        return FINE_PX * centre0.to(shift.dtype), FINE_PX * (centre1 - REACH + shift), probability


def refined_shift(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The best shift (M, 2) x, y from 0 to SHIFTS - 1, between whole ones too, and its probability (M,)."""
    best = scores.argmax(1)
    shift = torch.stack([best % SHIFTS, best // SHIFTS], -1)
    offset, probability = expected_offset(scores, shift)
    return shift + offset, probability


def expected_offset(scores: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mean offset (M, 2) x, y from `shift` (M, 2) int64 over its 3x3 surroundings, and their probability (M,)."""
    place = shift[:, None] + steps(1, scores.device)
    inside = ((place >= 0) & (place < SHIFTS)).all(-1)
    place = place.clamp(0, SHIFTS - 1)
    near = scores.log_softmax(1).gather(1, place[..., 1] * SHIFTS + place[..., 0])
    near = near.masked_fill(~inside, -torch.inf)
    weight = near.softmax(1)[..., None]
    return (weight * steps(1, scores.device)).sum(1), near.exp().sum(1)


def correlate(template: Tensor, around: Tensor) -> Tensor:
    """(M, SHIFTS, SHIFTS) products of templates (M, s, s, C) with their surroundings (M, s + 2 REACH, ..., C), y first.

    Rows of the template are multiplied with all rows of the surroundings, shift along x by shift: half the time of one
    product of all places, of which most are not wanted.
    """
    side, channels = template.shape[2:]
    rows, other_rows = template.flatten(2), around.flatten(2)
    down = torch.arange(side, device=template.device)[:, None] + torch.arange(SHIFTS, device=template.device)
    columns = []
    for shift in range(SHIFTS):
        part = other_rows[..., shift * channels : (shift + side) * channels]
        products = rows @ part.transpose(1, 2)
        columns.append(products.gather(2, down.expand(len(products), -1, -1)).sum(1))
    return torch.stack(columns, -1)


def windows(fine_map: Tensor, image: Tensor, centre: Tensor, reach: int) -> Tensor:
    """Features (M, 2 reach + 1, 2 reach + 1, C) about the places (M, 2) of images (M,), zero off the grid."""
    margin = reach + FINE_PER_CELL  # the coarse stage may put a match a cell off the grid
    padded = F.pad(fine_map, (0, 0, margin, margin, margin, margin))
    _, h, w, c = padded.shape
    place = centre[:, None] + steps(reach, centre.device) + margin
    flat = image[:, None] * (h * w) + place[..., 1] * w + place[..., 0]
    side = 2 * reach + 1
    return padded.reshape(-1, c).index_select(0, flat.flatten()).view(-1, side, side, c)
