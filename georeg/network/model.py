"""The coarse-to-fine matching network: two grey images in, descriptors, fine features and matches out.

All coordinates here count pixel centres from 0. Images are (B, 1, H, W) with H and W multiples of
`NetworkConfig.multiple_px`, normalised to zero mean and unit deviation over their valid pixels, 0 elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from georeg.network.attention import Interaction
from georeg.network.backbone import Backbone, RepBlock, Stem
from georeg.network.coarse import CoarseMatches, CoarseSimilarity, match_cells
from georeg.network.config import CELL_PX, NetworkConfig
from georeg.network.fine import FINE_PER_CELL, FineMatcher, FinePyramid, saturate
from georeg.network.modality import ModalityToken

FINE_MATCHES = 128
"""Matches refined at once: each takes 200 kB in passing."""


@dataclass(frozen=True)
class PairFeatures:
    """What the network makes of a batch of pairs.

    Attributes:
        coarse0, coarse1: (B, N, C) scaled descriptors of the cells, row by row.
        shape0, shape1: (rows, cols) of the coarse grids.
        cells0, cells1: (B, N) bool, valid cells.
        fine0, fine1: (B, H / 2, W / 2, C) features no longer than 1; None where only the coarse matches are wanted.
        modality0, modality1: (B, 5) category logits; None in a network without the token.
    """

    coarse0: Tensor
    coarse1: Tensor
    shape0: tuple[int, int]
    shape1: tuple[int, int]
    cells0: Tensor
    cells1: Tensor
    fine0: Tensor | None
    fine1: Tensor | None
    modality0: Tensor | None
    modality1: Tensor | None

    def float(self) -> PairFeatures:
        """The same in single precision, as the losses and the softmaxes want it after an automatic cast."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        tensors: dict[str, Any] = {
            name: value.float()
            for name, value in values.items()
            if isinstance(value, Tensor) and value.dtype != torch.bool
        }
        return replace(self, **tensors)


class MatchingNetwork(nn.Module):
    """Hybrid of convolution and attention; see the modules for the sources of its parts."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.token = ModalityToken(config.channels[2]) if config.modality_token else None
        self.interaction = Interaction(config)
        self.coarse = CoarseSimilarity(config.channels[2])
        self.pyramid = FinePyramid(config)
        self.fine = FineMatcher(config)

    def forward(
        self,
        view0: Tensor,
        view1: Tensor,
        valid0: Tensor,
        valid1: Tensor,
        given0: Tensor | None = None,
        given1: Tensor | None = None,
        refine: bool = True,
    ) -> PairFeatures:
        """Features of a batch of pairs.

        Args:
            view0, view1: (B, 1, H, W); the two may differ in size.
            valid0, valid1: (B, 1, H, W) bool.
            given0, given1: (B,) int64 modality category given by the user, -1 to infer it.
            refine: whether the fine features are wanted too.
        """
        cells0, cells1 = valid_cells(valid0), valid_cells(valid1)
        levels0, levels1 = self.levels(view0, view1)
        x0, x1 = (levels[2].permute(0, 2, 3, 1) for levels in (levels0, levels1))
        logits0 = logits1 = None
        if self.token is not None:
            logits0, logits1 = self.token(x0, cells0), self.token(x1, cells1)
            x0, x1 = self.token.inject(x0, logits1, given1), self.token.inject(x1, logits0, given0)
        x0, x1 = self.interaction(x0, x1, cells0, cells1)
        fine0, fine1 = self.fine_maps((levels0, x0), (levels1, x1)) if refine else (None, None)
        return PairFeatures(
            coarse0=self.coarse.describe(x0),
            coarse1=self.coarse.describe(x1),
            shape0=(x0.shape[1], x0.shape[2]),
            shape1=(x1.shape[1], x1.shape[2]),
            cells0=cells0.flatten(1),
            cells1=cells1.flatten(1),
            fine0=fine0,
            fine1=fine1,
            modality0=logits0,
            modality1=logits1,
        )

    def levels(self, view0: Tensor, view1: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The backbone's levels of both images, in one go where they have one size."""
        if view0.shape != view1.shape:
            return self.backbone(view0), self.backbone(view1)
        both = self.backbone(torch.cat([view0, view1]))
        halves = [level.chunk(2) for level in both]
        return tuple(h[0] for h in halves), tuple(h[1] for h in halves)

    def fine_maps(
        self, first: tuple[tuple[Tensor, ...], Tensor], second: tuple[tuple[Tensor, ...], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Fine features (B, H / 2, W / 2, C) of both images."""
        if first[1].shape != second[1].shape:
            return self.fine_map(*first), self.fine_map(*second)
        levels = tuple(torch.cat(pair) for pair in zip(first[0], second[0], strict=True))
        fine0, fine1 = self.fine_map(levels, torch.cat([first[1], second[1]])).chunk(2)
        return fine0, fine1

    def fine_map(self, levels: tuple[Tensor, ...], x: Tensor) -> Tensor:
        fine = self.pyramid(levels[0], levels[1], x.permute(0, 3, 1, 2))
        return saturate(fine.permute(0, 2, 3, 1).float())

    def matches(self, features: PairFeatures, threshold: float) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each pair of the batch its matches: places (M, 2) in both images, pixel centres, and confidence (M,).

        Without fine features they stay where the coarse stage puts them, which is good to some two pixels.
        """
        return [self.pair_matches(features, b, threshold) for b in range(len(features.coarse0))]

    def pair_matches(
        self, features: PairFeatures, index: int, threshold: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        one = slice(index, index + 1)
        found = match_cells(
            (features.coarse0[one], features.coarse1[one]),
            (features.cells0[one], features.cells1[one]),
            (features.shape0, features.shape1),
            threshold,
        )
        if features.fine0 is None or features.fine1 is None:
            place0 = cell_place(found.cell0, found.offset0, features.shape0[1]) * CELL_PX
            place1 = cell_place(found.cell1, found.offset1, features.shape1[1]) * CELL_PX
            return place0, place1, found.confidence
        centre0 = fine_centre(found.cell0, found.offset0, features.shape0[1])
        centre1 = fine_centre(found.cell1, found.offset1, features.shape1[1])
        maps = (features.fine0[one], features.fine1[one])
        parts = zip(*(t.split(FINE_MATCHES) for t in (found.image, centre0, centre1)), strict=True)
        refined = [self.fine(maps, *part) for part in parts]
        place0, place1, fine = (torch.cat(column) for column in zip(*refined, strict=True))
        return place0, place1, confidence(found, fine)

    def fuse(self) -> MatchingNetwork:
        """Fold re-parameterisable blocks for inference, in place; returns itself, in evaluation mode."""
        self.eval()
        for module in self.modules():
            if isinstance(module, RepBlock | Stem):
                module.fuse()
        return self


def confidence(found: CoarseMatches, fine: Tensor) -> Tensor:
    """The coarse confidence; the fine probability only breaks ties (it is low wherever texture repeats)."""
    return found.confidence * (0.9 + 0.1 * fine)


def fine_centre(cell: Tensor, offset: Tensor, columns: int) -> Tensor:
    """(M, 2) int64 x, y on the fine grid of cells (M,) moved by `offset` (M, 2) cells."""
    return (cell_place(cell, offset, columns) * FINE_PER_CELL).round().long()


def cell_place(cell: Tensor, offset: Tensor, columns: int) -> Tensor:
    """(M, 2) x, y in cells of the flat indices (M,) moved by `offset` (M, 2)."""
    return torch.stack([cell % columns, cell // columns], -1) + offset


def valid_cells(valid: Tensor) -> Tensor:
    """(B, H / 8, W / 8) bool: cells of which at least half the pixels are valid."""
    return F.avg_pool2d(valid.float(), CELL_PX)[:, 0] >= 0.5
