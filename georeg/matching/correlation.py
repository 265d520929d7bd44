"""Masked normalised cross-correlation of descriptor stacks on a grid of templates, and sub-pixel peaks.

Instead of cutting templates out, whole windows are multiplied at every shift and summed over each template's square:
one product serves all templates, however many there are and however much they overlap. The sums are two thin matrix
products. Masks enter the normalisation (Padfield, IEEE TIP 2012): the energy of each side is summed only where the
other side is valid too, so that black borders neither attract nor repel the peak.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as functional
from torch import Tensor


@dataclass(frozen=True)
class Boxes:
    """Square templates around the crossings of a grid.

    Attributes:
        rows, cols: (Ny,), (Nx,) centres, pixel-corner coordinates.
        size: side of a template, pixels.
        shape: (H, W) of the windows.
    """

    rows: Tensor
    cols: Tensor
    size: int
    shape: tuple[int, int]

    def sums(self, image: Tensor) -> Tensor:
        """(Ny, Nx) sums of an (H, W) image over each template, cut at the window's edge."""
        return self._members[0] @ image @ self._members[1]

    @cached_property
    def _members(self) -> tuple[Tensor, Tensor]:
        """(Ny, H) and (W, Nx): 1 where a row or column belongs to a template."""
        return self._along(self.rows, self.shape[0]), self._along(self.cols, self.shape[1]).T.contiguous()

    def _along(self, centres: Tensor, length: int) -> Tensor:
        at = torch.arange(length, device=centres.device, dtype=torch.float32) + 0.5
        return ((at - centres[:, None]).abs() <= self.size / 2).float()


@dataclass(frozen=True)
class Peaks:
    """The best shift of each template.

    Attributes:
        shift_xy: (N, 2) sub-pixel displacement, pixels.
        score: (N,) normalised correlation at the peak, -1..1.
        ratio: (N,) the best score outside the peak's surroundings over the peak's, 0 (unique) .. 1 (ambiguous); 1 for a
            peak on the edge of the search.
    """

    shift_xy: Tensor
    score: Tensor
    ratio: Tensor


def correlate(
    template: Tensor,
    template_valid: Tensor,
    search: Tensor,
    search_valid: Tensor,
    boxes: Boxes,
    radius: int,
    least_valid: float,
) -> Tensor:
    """Normalised correlation of each template with the other window at all shifts up to `radius`.

    Args:
        template, search: (C, H, W) descriptors of two windows of one frame, zero where invalid.
        template_valid, search_valid: (H, W) float, 0 or 1.
        boxes: where the templates are.
        radius: largest shift along each axis, whole pixels.
        least_valid: shifts that leave less than this share of a template valid on both sides score -1.

    Returns:
        (Ny, Nx, 2 radius + 1, 2 radius + 1), index [.., radius + dy, radius + dx] being the shift (dx, dy).
    """
    height, width = template.shape[-2:]
    moved = functional.pad(search, (radius,) * 4)
    sides = _Sides(template, template_valid, search, search_valid, boxes, radius)
    least = least_valid * boxes.size**2
    product = torch.empty_like(template[0])
    scores = []
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            cut = slice(dy, dy + height), slice(dx, dx + width)
            torch.mul(template[0], moved[0][cut], out=product)
            for channel in range(1, len(template)):
                product.addcmul_(template[channel], moved[channel][cut])
            energy, area = sides.at(cut)
            score = boxes.sums(product) / energy.sqrt().clamp_min(1e-3 * least)
            scores.append(torch.where(area >= least, score, -torch.ones_like(score)))
    return torch.stack(scores, -1).unflatten(-1, (2 * radius + 1, 2 * radius + 1))


class _Sides:
    """What normalises a shift: the product of both sides' energies, and the area valid on both."""

    def __init__(
        self,
        template: Tensor,
        template_valid: Tensor,
        search: Tensor,
        search_valid: Tensor,
        boxes: Boxes,
        radius: int,
    ) -> None:
        self.boxes, self.template_valid = boxes, template_valid
        self.template_energy = template.square().sum(0)
        self.search_energy = functional.pad(search.square().sum(0), (radius,) * 4)
        self.search_valid = functional.pad(search_valid, (radius,) * 4)
        whole = bool(template_valid.all()) and bool(search_valid.all())
        # Without holes only the search side's energy changes with the shift; what leaves the window is negligible.
        self.fixed = (boxes.sums(self.template_energy), boxes.sums(template_valid)) if whole else None

    def at(self, cut: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
        energy_s = self.search_energy[cut]
        if self.fixed is not None:
            return self.boxes.sums(energy_s) * self.fixed[0], self.fixed[1]
        valid_s = self.search_valid[cut]
        sums = self.boxes.sums
        energy = sums(self.template_energy * valid_s) * sums(self.template_valid * energy_s)
        return energy, sums(self.template_valid * valid_s)


def find_peaks(score: Tensor, exclusion_px: int = 3) -> Peaks:
    """Sub-pixel maximum of each of (N, S, S) surfaces of scores over shifts, by quadratics through the neighbours."""
    count, side = score.shape[:2]
    best, index = score.flatten(1).max(1)
    row, col = index // side, index % side
    padded = functional.pad(score[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    each = torch.arange(count, device=score.device)
    middle = padded[each, row + 1, col + 1]
    offset_x = _parabola(padded[each, row + 1, col], middle, padded[each, row + 1, col + 2])
    offset_y = _parabola(padded[each, row, col + 1], middle, padded[each, row + 2, col + 1])
    second = _without_surroundings(score, row, col, exclusion_px).flatten(1).max(1).values
    ratio = (second / best.clamp_min(1e-6)).clamp(0, 1)
    on_edge = (row == 0) | (row == side - 1) | (col == 0) | (col == side - 1)
    shift = torch.stack([col + offset_x, row + offset_y], 1) - side // 2
    return Peaks(shift, best, torch.where(on_edge, torch.ones_like(ratio), ratio))


def _without_surroundings(score: Tensor, row: Tensor, col: Tensor, radius: int) -> Tensor:
    along = torch.arange(score.shape[1], device=score.device)
    near_row = (along.view(1, -1, 1) - row.view(-1, 1, 1)).abs() <= radius
    near_col = (along.view(1, 1, -1) - col.view(-1, 1, 1)).abs() <= radius
    return score.masked_fill(near_row & near_col, 0.0)


def _parabola(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    bend = 2 * middle - left - right
    offset = 0.5 * (right - left) / bend.clamp_min(1e-9)
    return torch.where(bend > 1e-9, offset.clamp(-0.5, 0.5), torch.zeros_like(offset))
