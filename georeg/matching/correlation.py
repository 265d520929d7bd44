"""Masked normalised cross-correlation of descriptor stacks by FFT, and sub-pixel peaks.

Masks enter the normalisation (Padfield, IEEE TIP 2012): the energy of each side is summed only where the other side is
valid too, so that black borders neither attract nor repel the peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor


@dataclass(frozen=True)
class Peaks:
    """The best shift of each template in its search window.

    Attributes:
        shift_xy: (B, 2) sub-pixel position of the template's top-left corner in the search window, pixels.
        score: (B,) normalised correlation at the peak, -1..1.
        ratio: (B,) the best score outside the peak's surroundings over the peak's, 0 (unique) .. 1 (ambiguous).
        sharpness: (B,) curvature of the peak, larger is sharper.
    """

    shift_xy: Tensor
    score: Tensor
    ratio: Tensor
    sharpness: Tensor


def masked_correlation(
    template: Tensor,
    template_valid: Tensor,
    search: Tensor,
    search_valid: Tensor,
    min_overlap: float,
    full: bool = False,
) -> tuple[Tensor, Tensor]:
    """Normalised correlation of every template with every shift of its search window.

    Args:
        template: (B, C, h, w), zero where invalid; template_valid: (B, 1, h, w).
        search: (B or 1, C, H, W); search_valid: (B or 1, 1, H, W).
        min_overlap: shifts whose common valid area is less than this share of the template's valid area score -1.
        full: all shifts with any overlap (the template may hang over the edges) instead of only those inside.

    Returns:
        scores (B, H-h+1, W-w+1), or (B, H+h-1, W+w-1) if full, where index (h-1, w-1) is shift 0; and the
        common valid area of each shift as a share of the template's valid area, the same shape.
    """
    h, w = template.shape[-2:]
    height, width = search.shape[-2:]
    size = (
        (fast_size(height + h - 1), fast_size(width + w - 1))
        if full
        else (fast_size(height), fast_size(width))
    )
    fast = torch.fft.rfft2
    of_template, of_search = fast(template, s=size).conj(), fast(search, s=size)
    numerator = torch.fft.irfft2((of_template * of_search).sum(1), s=size)
    mask_t, mask_s = fast(template_valid[:, 0], s=size).conj(), fast(search_valid[:, 0], s=size)
    energy_t = torch.fft.irfft2(fast(template.square().sum(1), s=size).conj() * mask_s, s=size)
    energy_s = torch.fft.irfft2(mask_t * fast(search.square().sum(1), s=size), s=size)
    overlap = torch.fft.irfft2(mask_t * mask_s, s=size)
    area = template_valid.sum((1, 2, 3)).clamp_min(1).view(-1, 1, 1)
    share = overlap / area
    floor = 1e-4 * area
    score = numerator / (energy_t.clamp_min(floor) * energy_s.clamp_min(floor)).sqrt()
    score = torch.where(share >= min_overlap, score, -torch.ones_like(score))
    if full:
        roll = (h - 1, w - 1)
        score, share = score.roll(roll, (1, 2)), share.roll(roll, (1, 2))
        return score[:, : height + h - 1, : width + w - 1], share[:, : height + h - 1, : width + w - 1]
    return score[:, : height - h + 1, : width - w + 1], share[:, : height - h + 1, : width - w + 1]


def find_peaks(score: Tensor, exclusion_px: int = 3) -> Peaks:
    """Sub-pixel maximum of each (H, W) surface of (B, H, W), by a quadratic through its 3 x 3 neighbours."""
    count, _, width = score.shape
    best, index = score.reshape(count, -1).max(1)
    row, col = index // width, index % width
    padded = functional.pad(score[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    each = torch.arange(count, device=score.device)
    around = torch.stack([padded[each, row + dy, col + dx] for dy in range(3) for dx in range(3)], 1).view(
        -1, 3, 3
    )
    offset_x, bend_x = _parabola(around[:, 1, 0], around[:, 1, 1], around[:, 1, 2])
    offset_y, bend_y = _parabola(around[:, 0, 1], around[:, 1, 1], around[:, 2, 1])
    shift = torch.stack([col + offset_x, row + offset_y], 1)
    rest = _without_surroundings(score, row, col, exclusion_px)
    second = rest.reshape(count, -1).max(1).values
    ratio = (second / best.clamp_min(1e-6)).clamp(0, 1)
    return Peaks(shift, best, ratio, torch.minimum(bend_x, bend_y))


def _without_surroundings(score: Tensor, row: Tensor, col: Tensor, radius: int) -> Tensor:
    rows = torch.arange(score.shape[1], device=score.device).view(1, -1, 1)
    cols = torch.arange(score.shape[2], device=score.device).view(1, 1, -1)
    near = ((rows - row.view(-1, 1, 1)).abs() <= radius) & ((cols - col.view(-1, 1, 1)).abs() <= radius)
    return score.masked_fill(near, 0.0)


def _parabola(left: Tensor, middle: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    bend = 2 * middle - left - right
    offset = 0.5 * (right - left) / bend.clamp_min(1e-9)
    return torch.where(bend > 1e-9, offset.clamp(-0.5, 0.5), torch.zeros_like(offset)), bend


def fast_size(size: int) -> int:
    """The next size with only the prime factors 2, 3 and 5."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
