"""Masked normalised cross-correlation of descriptor stacks on a grid of templates, and sub-pixel peaks.

Instead of cutting templates out, whole windows are multiplied at every shift and summed over each template's square:
one product serves all templates, however many there are and however much they overlap. Masks enter the normalisation
(Padfield, IEEE TIP 2012): the energy of each side is summed only where the other side is valid too, so that black
borders neither attract nor repel the peak. These energies change slowly with the shift: they are computed at every
BLOCK_PX-th shift of images reduced by BLOCK_PX, and interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as functional
from torch import Tensor

BLOCK_PX = 4


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
        """(Ny, Nx) sums of an image over each template; the image is the window, filled up to whole blocks."""
        block_rows = image.view(-1, BLOCK_PX, image.shape[1]).sum(1)
        return self._rows @ (block_rows @ self._cols)

    def block_sums(self, blocks: Tensor) -> Tensor:
        """(.., Ny, Nx) sums from (.., H / BLOCK_PX, W / BLOCK_PX) means of blocks."""
        return BLOCK_PX**2 * (self._rows @ blocks @ self._block_cols)

    @cached_property
    def _rows(self) -> Tensor:
        """(Ny, H / BLOCK_PX): the share of each row of blocks that belongs to a template."""
        return _members(self.rows, self.size, self.shape[0], BLOCK_PX)

    @cached_property
    def _cols(self) -> Tensor:
        """(W, Nx): 1 where a column belongs to a template; W filled up to whole blocks."""
        whole = self.shape[1] + -self.shape[1] % BLOCK_PX
        return _members(self.cols, self.size, whole, 1).T.contiguous()

    @cached_property
    def _block_cols(self) -> Tensor:
        return _members(self.cols, self.size, self.shape[1], BLOCK_PX).T.contiguous()


def _members(centres: Tensor, size: int, length: int, block: int) -> Tensor:
    """(N, ceil(length / block)): the share of each block along an axis that lies in each interval."""
    start = block * torch.arange(-(-length // block), device=centres.device, dtype=torch.float32)
    low, high = centres[:, None] - size / 2, centres[:, None] + size / 2
    return (torch.minimum(high, start + block) - torch.maximum(low, start)).clamp(0, block) / block


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
    template, search = _whole_blocks(template), _whole_blocks(search)
    valid = _whole_blocks(template_valid), _whole_blocks(search_valid)
    energy, area = _normalisation(
        (template.square().sum(0), valid[0]), (search.square().sum(0), valid[1]), boxes, radius
    )
    score = _products(template, search, boxes, radius)
    least = least_valid * boxes.size**2
    score /= energy.clamp_min((1e-3 * least) ** 2).sqrt()
    return score.masked_fill_(area < least, -1.0)


def _whole_blocks(image: Tensor) -> Tensor:
    """The image with empty rows and columns added up to a multiple of BLOCK_PX."""
    return functional.pad(image, (0, -image.shape[-1] % BLOCK_PX, 0, -image.shape[-2] % BLOCK_PX))


def _products(template: Tensor, search: Tensor, boxes: Boxes, radius: int) -> Tensor:
    """(Ny, Nx, 2 radius + 1, 2 radius + 1) sums over each template of both descriptors' inner product."""
    height, width = template.shape[-2:]
    moved = functional.pad(search, (radius,) * 4)
    product, side = torch.empty_like(template[0]), 2 * radius + 1
    sums = torch.empty(side * side, len(boxes.rows), len(boxes.cols), device=template.device)
    for index in range(side * side):
        dy, dx = divmod(index, side)
        cut = slice(dy, dy + height), slice(dx, dx + width)
        torch.mul(template[0], moved[0][cut], out=product)
        for channel in range(1, len(template)):
            product.addcmul_(template[channel], moved[channel][cut])
        sums[index] = boxes.sums(product)
    return sums.permute(1, 2, 0).reshape(*sums.shape[1:], side, side)


def _normalisation(
    template: tuple[Tensor, Tensor], search: tuple[Tensor, Tensor], boxes: Boxes, radius: int
) -> tuple[Tensor, Tensor]:
    """Product of both sides' energies, and the area valid on both, for each template and shift.

    Args:
        template, search: (H, W) energy and validity of each side.

    Returns:
        Two of (Ny, Nx, 2 radius + 1, 2 radius + 1).
    """
    reach = -(-radius // BLOCK_PX)
    blocks = [functional.avg_pool2d(torch.stack(side)[None], BLOCK_PX)[0] for side in (template, search)]
    moved = functional.pad(blocks[1], (reach,) * 4)
    rows, cols = blocks[0].shape[-2:]
    found = []
    for dy in range(2 * reach + 1):
        for dx in range(2 * reach + 1):
            energy, valid = moved[:, dy : dy + rows, dx : dx + cols]
            both = torch.stack([blocks[0][0] * valid, blocks[0][1] * energy, blocks[0][1] * valid])
            found.append(boxes.block_sums(both))
    sums = torch.stack(found, -1).unflatten(-1, (2 * reach + 1,) * 2)
    energy0, energy1, area = (_all_shifts(s, reach, radius) for s in sums)
    return energy0 * energy1, area


def _all_shifts(sums: Tensor, reach: int, radius: int) -> Tensor:
    """Values at every BLOCK_PX-th shift up to `reach` blocks, interpolated to all shifts up to `radius`."""
    if reach == 0:
        return sums
    side = 2 * reach * BLOCK_PX + 1
    every = functional.interpolate(sums, (side, side), mode="bilinear", align_corners=True)
    cut = slice(side // 2 - radius, side // 2 + radius + 1)
    return every[..., cut, cut]


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


def misses_on_return(score: Tensor, boxes: Boxes) -> Tensor:
    """How far from its start each template ends that is matched there and back, whole pixels.

    The correlation of the box that was found with the boxes about its origin is in the scores already: as those of the
    neighbouring templates at other shifts, between which it is interpolated.

    Args:
        score: (Ny, Nx, S, S) of `correlate`.

    Returns:
        (Ny Nx,) distances.
    """
    rows, cols, side = score.shape[:3]
    best = score.flatten(2).argmax(2)
    there = torch.stack([best // side, best % side])
    shift = torch.arange(side, device=score.device)
    back = score.new_zeros(rows, cols, side, side)
    along_y = _interpolation(boxes.rows, there[0][..., None] - shift)
    along_x = _interpolation(boxes.cols, (there[1][..., None] - shift).transpose(0, 1))
    for row, row_weight in along_y:
        for col, col_weight in along_x:
            part = score[row[..., None], col.transpose(0, 1)[:, :, None], shift[:, None], shift]
            back += part * row_weight[..., None] * col_weight.transpose(0, 1)[:, :, None]
    found = back.flatten(2).argmax(2)
    return torch.hypot((found // side - there[0]).float(), (found % side - there[1]).float()).flatten()


def _interpolation(centres: Tensor, offset: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The two neighbours and their weights for places `offset` px (N, .., S) from each of the (N,) centres."""
    last = len(centres) - 1
    step = (centres[-1] - centres[0]) / max(last, 1)
    own = torch.arange(len(centres), device=centres.device).view(-1, *[1] * (offset.dim() - 1))
    place = (own + offset / step.clamp_min(1.0)).clamp(0, last)
    low = place.floor().clamp(max=max(last - 1, 0))
    weight = place - low
    low = low.long()
    return [(low, 1 - weight), ((low + 1).clamp(max=last), weight)]


def _without_surroundings(score: Tensor, row: Tensor, col: Tensor, radius: int) -> Tensor:
    along = torch.arange(score.shape[1], device=score.device)
    near_row = (along.view(1, -1, 1) - row.view(-1, 1, 1)).abs() <= radius
    near_col = (along.view(1, 1, -1) - col.view(-1, 1, 1)).abs() <= radius
    return score.masked_fill(near_row & near_col, 0.0)


def _parabola(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    bend = 2 * middle - left - right
    offset = 0.5 * (right - left) / bend.clamp_min(1e-9)
    return torch.where(bend > 1e-9, offset.clamp(-0.5, 0.5), torch.zeros_like(offset))
