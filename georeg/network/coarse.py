"""Coarse matching: row and column softmax over the similarity of all cells, and the union of both directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_SCALE = 10.0
LARGEST_SCALE = 100.0
EXCLUDED = -1e4


class CoarseSimilarity(nn.Module):
    """Cosine similarity of projected features, times a learned inverse temperature."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(channels, channels)
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE)))

    def describe(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to unit descriptors times the square root of the scale, (B, H W, C)."""
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE).sqrt()
        return F.normalize(self.project(x).flatten(1, 2), dim=-1) * scale


def similarity(descriptor0: Tensor, descriptor1: Tensor, valid0: Tensor, valid1: Tensor) -> Tensor:
    """(B, N, M) float32 scores of all pairs of cells; invalid cells (B, N), (B, M) are shut out of both softmaxes."""
    scores = (descriptor0 @ descriptor1.transpose(1, 2)).float()
    scores += EXCLUDED * (~valid1).to(scores.dtype)[:, None]
    scores += EXCLUDED * (~valid0).to(scores.dtype)[:, :, None]
    return scores


@dataclass(frozen=True)
class CoarseMatches:
    """Matched cells of a batch.

    Attributes:
        image: (M,) int64, which pair of the batch.
        cell0, cell1: (M,) int64 flat index of the cell in each image.
        offset0, offset1: (M, 2) x, y in cells: where about the cell the match lies (zero in the image that asked).
        confidence: (M,) geometric mean of the row's and the column's probability about the matched cell.
    """

    image: Tensor
    cell0: Tensor
    cell1: Tensor
    offset0: Tensor
    offset1: Tensor
    confidence: Tensor


def match_cells(
    descriptors: tuple[Tensor, Tensor],
    valids: tuple[Tensor, Tensor],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    threshold: float,
) -> CoarseMatches:
    """Union of the best cell of every row and of every column, where confident enough.

    Args:
        descriptors: (1, N, C) and (1, M, C) per image of the pair; one pair at a time keeps memory fixed.
        valids: (1, N) and (1, M) bool.
        shapes: (rows, cols) of both coarse grids.
        threshold: least confidence kept.
    """
    scores = similarity(*descriptors, *valids)[0]
    row_lse, column_lse = scores.logsumexp(1), scores.logsumexp(0)
    best1, best0 = scores.argmax(1), scores.argmax(0)
    forward = one_direction(scores, row_lse, column_lse, best1, shapes[1])
    backward = one_direction(scores.T, column_lse, row_lse, best0, shapes[0])
    valid0, valid1 = valids[0][0], valids[1][0]
    keep0 = (forward[1] >= threshold) & valid0 & valid1[best1]
    keep1 = (backward[1] >= threshold) & valid1 & valid0[best0]
    mutual = best1[best0] == torch.arange(len(best0), device=best0.device)
    keep1 &= ~(mutual & keep0[best0])
    cell0, cell1 = keep0.nonzero()[:, 0], keep1.nonzero()[:, 0]
    still0, still1 = forward[0].new_zeros(len(cell0), 2), forward[0].new_zeros(len(cell1), 2)
    return CoarseMatches(
        image=torch.zeros(len(cell0) + len(cell1), dtype=torch.int64, device=scores.device),
        cell0=torch.cat([cell0, best0[cell1]]),
        cell1=torch.cat([best1[cell0], cell1]),
        offset0=torch.cat([still0, backward[0][cell1]]),
        offset1=torch.cat([forward[0][cell0], still1]),
        confidence=torch.cat([forward[1][cell0], backward[1][cell1]]),
    )


def one_direction(
    scores: Tensor, row_lse: Tensor, column_lse: Tensor, best: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """For the best column of every row: the expected offset (N, 2) in cells over its 3x3 surroundings, and confidence.

    The training target spreads a point over the four cells around it, so the mass of the surroundings is the
    probability of the match.
    """
    rows, cols = shape
    y, x = best // cols, best % cols
    dx, dy = steps(1, best.device).unbind(-1)
    near_y, near_x = y[:, None] + dy, x[:, None] + dx
    inside = (near_y >= 0) & (near_y < rows) & (near_x >= 0) & (near_x < cols)
    near = near_y.clamp(0, rows - 1) * cols + near_x.clamp(0, cols - 1)
    around = scores.gather(1, near)
    by_row = (around - row_lse[:, None]).exp() * inside
    by_column = (around - column_lse[near]).exp() * inside
    mass = by_row.sum(1)
    weight = by_row / mass.clamp(min=1e-12)[:, None]
    offset = torch.stack([(weight * dx).sum(1), (weight * dy).sum(1)], 1)
    return offset, (mass * by_column.amax(1)).clamp(0, 1).sqrt()


def steps(reach: int, device: torch.device) -> Tensor:
    """All (dx, dy) within ±reach, row by row: ((2 reach + 1)², 2) int64."""
    step = torch.arange(-reach, reach + 1, device=device)
    dy, dx = (t.flatten() for t in torch.meshgrid(step, step, indexing="ij"))
    return torch.stack([dx, dy], -1)
