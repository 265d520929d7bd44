"""The fine stage at 1/2: 5x5 windows about each coarse match, dual softmax, then sub-pixel offsets in both images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from georeg.network.backbone import RepBlock
from georeg.network.config import CELL_PX, FINE_PX, NetworkConfig

INITIAL_SCALE = 8.0
LARGEST_SCALE = 60.0
LARGEST_OFFSET = 1.0
HIDDEN = 48
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
        self.mix_half = RepBlock(c, c, activation=False)

    def forward(self, half: Tensor, quarter: Tensor, eighth: Tensor) -> Tensor:
        """(B, C, H / 2, W / 2) from features at 1/2, 1/4 and, after attention, 1/8."""
        x = self.mix_quarter(F.pixel_shuffle(self.up_eighth(eighth), 2) + self.lateral_quarter(quarter))
        return self.mix_half(F.pixel_shuffle(self.up_quarter(x), 2) + self.lateral_half(half))


class FineMatcher(nn.Module):
    """Finds, in two windows of the fine grid, the positions that correspond and their sub-pixel places."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.side = config.fine_window
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))
        last = nn.Linear(HIDDEN, 4)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.offsets = nn.Sequential(nn.Linear(2 * config.fine_channels + 18, HIDDEN), nn.ReLU(), last)

    def windows(self, centre_xy: Tensor, shape: tuple[int, int]) -> Tensor:
        """Positions (M, side², 2) x, y of the windows about `centre_xy` (M, 2) int64, shifted to lie on the grid."""
        reach = self.side // 2
        step = torch.arange(-reach, reach + 1, device=centre_xy.device)
        dy, dx = (t.flatten() for t in torch.meshgrid(step, step, indexing="ij"))
        limit = torch.tensor([shape[1], shape[0]], device=centre_xy.device) - 1 - reach
        centre = torch.minimum(centre_xy.clamp(min=reach), limit)
        return centre[:, None] + torch.stack([dx, dy], -1)

    def scores(self, window0: Tensor, window1: Tensor) -> Tensor:
        """(M, side², side²) similarity of two windows' unit features (M, side², C)."""
        return (window0 @ window1.transpose(1, 2)).float() * self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def sub_pixel(self, maps: tuple[Tensor, Tensor], image: Tensor, place0: Tensor, place1: Tensor) -> Tensor:
        """Offsets (M, 4) x0, y0, x1, y1 in fine positions, within ±1, of matched places (M, 2) int64.

        The features of both places and their similarity to the other place's surroundings decide.
        """
        around0, around1 = (
            gather_places(m, image, surroundings(p, m)) for m, p in zip(maps, (place0, place1), strict=True)
        )
        here0, here1 = around0[:, 4], around1[:, 4]
        seen = [here0, here1, (around1 @ here0[..., None])[..., 0], (around0 @ here1[..., None])[..., 0]]
        return torch.tanh(self.offsets(torch.cat(seen, -1))) * LARGEST_OFFSET

    def forward(
        self, maps: tuple[Tensor, Tensor], image: Tensor, centre0: Tensor, centre1: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refine matches: pixel-centre places (M, 2), (M, 2) and the fine probability (M,).

        Args:
            maps: unit features (B, H / 2, W / 2, C) of both images.
            image: (M,) int64 index into the batch.
            centre0, centre1: (M, 2) int64 x, y on the fine grid, where the coarse stage put the match.
        """
        places = [
            self.windows(c, (m.shape[1], m.shape[2])) for c, m in zip((centre0, centre1), maps, strict=True)
        ]
        scores = self.scores(*(gather_places(m, image, p) for m, p in zip(maps, places, strict=True)))
        both = (scores.log_softmax(1) + scores.log_softmax(2)).flatten(1)
        log_probability, best = both.max(1)
        row = torch.arange(len(best), device=best.device)
        place0, place1 = places[0][row, best // self.side**2], places[1][row, best % self.side**2]
        offset = self.sub_pixel(maps, image, place0, place1)
        return (
            FINE_PX * (place0 + offset[:, :2]),
            FINE_PX * (place1 + offset[:, 2:]),
            log_probability.exp().sqrt(),
        )


def surroundings(place: Tensor, fine_map: Tensor) -> Tensor:
    """The 3x3 places (M, 9, 2) about each place, kept on the grid."""
    step = torch.arange(-1, 2, device=place.device)
    dy, dx = (t.flatten() for t in torch.meshgrid(step, step, indexing="ij"))
    limit = torch.tensor([fine_map.shape[2], fine_map.shape[1]], device=place.device) - 1
    return torch.minimum((place[:, None] + torch.stack([dx, dy], -1)).clamp(min=0), limit)


def gather_places(fine_map: Tensor, image: Tensor, place: Tensor) -> Tensor:
    """Features (M, K, C) of `fine_map` (B, H, W, C) at places (M, K, 2) of images (M,)."""
    _, h, w, c = fine_map.shape
    flat = image[:, None] * (h * w) + place[..., 1] * w + place[..., 0]
    return fine_map.reshape(-1, c).index_select(0, flat.flatten()).view(*flat.shape, c)
