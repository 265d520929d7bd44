"""Masked normalised cross-correlation of descriptor stacks on a grid of templates, and sub-pixel peaks.

Instead of cutting templates out, whole windows are multiplied at every shift and summed over each template's square:
one product serves all templates, however many there are and however much they overlap. Masks enter the normalisation
(Padfield, IEEE TIP 2012): the energy of each side is summed only where the other side is valid too, so that black
borders neither attract nor repel the peak. These energies change slowly with the shift: they are computed at every
BLOCK_PX-th shift of images reduced by BLOCK_PX, and interpolated.

Products are OpenCV's, which needs half of PyTorch's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from georeg.matching.descriptors import Image

Values = npt.NDArray[np.float32]
Whole = npt.NDArray[np.intp]
BLOCK_PX = 4


def _product(first: Values, second: Values) -> Values:
    """The matrix product of finite values.

    OpenBLAS's kernels for small float32 matrices now and then raise the flag of an invalid value where there is none
    (as in numpy's issue 24067 and OpenBLAS's 1924).
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(first @ second)


@dataclass(frozen=True)
class Boxes:
    """Square templates around the crossings of a grid.

    Attributes:
        rows, cols: (Ny,), (Nx,) centres, pixel-corner coordinates.
        size: side of a template, pixels.
        shape: (H, W) of the windows.
    """

    rows: Values
    cols: Values
    size: int
    shape: tuple[int, int]

    def sums(self, image: Image) -> Values:
        """(Ny, Nx) sums of an image over each template; the image is the window, filled up to whole blocks."""
        block_rows = image.reshape(-1, BLOCK_PX, image.shape[1]).sum(1)
        return _product(self._rows, _product(block_rows, self._cols))

    def block_sums(self, blocks: Values) -> Values:
        """(.., Ny, Nx) sums from (.., H / BLOCK_PX, W / BLOCK_PX) means of blocks."""
        return np.asarray(BLOCK_PX**2 * _product(_product(self._rows, blocks), self._block_cols))

    @cached_property
    def _rows(self) -> Values:
        """(Ny, H / BLOCK_PX): the share of each row of blocks that belongs to a template."""
        return _members(self.rows, self.size, self.shape[0], BLOCK_PX)

    @cached_property
    def _cols(self) -> Values:
        """(W, Nx): 1 where a column belongs to a template; W filled up to whole blocks."""
        return np.ascontiguousarray(_members(self.cols, self.size, _whole(self.shape[1]), 1).T)

    @cached_property
    def _block_cols(self) -> Values:
        return np.ascontiguousarray(_members(self.cols, self.size, self.shape[1], BLOCK_PX).T)


def _members(centres: Values, size: int, length: int, block: int) -> Values:
    """(N, ceil(length / block)): the share of each block along an axis that lies in each interval."""
    start = block * np.arange(-(-length // block), dtype=np.float32)
    low, high = centres[:, None] - size / 2, centres[:, None] + size / 2
    inside = np.minimum(high, start + block) - np.maximum(low, start)
    return np.asarray(inside.clip(0, block) / block, np.float32)


@dataclass(frozen=True)
class Peaks:
    """The best shift of each template.

    Attributes:
        shift_xy: (N, 2) sub-pixel displacement, pixels.
        score: (N,) normalised correlation at the peak, -1..1.
        ratio: (N,) the best score outside the peak's surroundings over the peak's, 0 (unique) .. 1 (ambiguous); 1 for a
            peak on the edge of the search.
    """

    shift_xy: Values
    score: Values
    ratio: Values


def correlate(
    template: Values,
    template_valid: Image,
    search: Values,
    search_valid: Image,
    boxes: Boxes,
    radius: int,
    least_valid: float,
) -> Values:
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
    energies = [np.einsum("chw,chw->hw", side, side) for side in (template, search)]
    energy, area = _normalisation((energies[0], template_valid), (energies[1], search_valid), boxes, radius)
    score = _products(template, search, boxes, radius)
    least = least_valid * boxes.size**2
    score /= np.sqrt(np.maximum(energy, (1e-3 * least) ** 2))
    score[area < least] = -1.0
    return score


def _whole(side: int) -> int:
    """A length filled up to whole blocks."""
    return side + -side % BLOCK_PX


def _products(template: Values, search: Values, boxes: Boxes, radius: int) -> Values:
    """(Ny, Nx, 2 radius + 1, 2 radius + 1) sums over each template of both descriptors' inner product."""
    height, width = template.shape[-2:]
    moved, side = np.pad(search, ((0, 0), (radius, radius), (radius, radius))), 2 * radius + 1
    filled = np.zeros((_whole(height), _whole(width)), np.float32)
    product = filled[:height, :width]
    sums = np.empty((len(boxes.rows), len(boxes.cols), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            cut = moved[:, dy : dy + height, dx : dx + width]
            cv2.multiply(template[0], cut[0], product)
            for ours, theirs in zip(template[1:], cut[1:], strict=True):
                cv2.accumulateProduct(ours, theirs, product)
            sums[:, :, dy, dx] = boxes.sums(filled)
    return sums


def _normalisation(
    template: tuple[Image, Image], search: tuple[Image, Image], boxes: Boxes, radius: int
) -> tuple[Values, Values]:
    """Product of both sides' energies, and the area valid on both, for each template and shift.

    Args:
        template, search: (H, W) energy and validity of each side.

    Returns:
        Two of (Ny, Nx, 2 radius + 1, 2 radius + 1).
    """
    reach = -(-radius // BLOCK_PX)
    side = 2 * reach + 1
    energy0, valid0 = (_block_means(image) for image in template)
    energy1, valid1 = (np.pad(_block_means(image), reach) for image in search)
    rows, cols = energy0.shape
    sums = np.empty((3, len(boxes.rows), len(boxes.cols), side, side), np.float32)
    for dy in range(side):
        for dx in range(side):
            cut = slice(dy, dy + rows), slice(dx, dx + cols)
            both = np.stack([energy0 * valid1[cut], valid0 * energy1[cut], valid0 * valid1[cut]])
            sums[..., dy, dx] = boxes.block_sums(both)
    energy_0, energy_1, area = _all_shifts(sums, reach, radius)
    return energy_0 * energy_1, area


def _block_means(image: Image) -> Image:
    """Means of the image, filled up to whole blocks, over each."""
    rows, cols = (_whole(side) for side in image.shape)
    filled = np.pad(image, [(0, whole - side) for whole, side in zip((rows, cols), image.shape, strict=True)])
    blocks = filled.reshape(rows // BLOCK_PX, BLOCK_PX, cols // BLOCK_PX, BLOCK_PX)
    return np.asarray(blocks.mean((1, 3)), np.float32)


def _all_shifts(sums: Values, reach: int, radius: int) -> Values:
    """Values at every BLOCK_PX-th shift up to `reach` blocks, interpolated to all shifts up to `radius`."""
    place = np.arange(-radius, radius + 1)[:, None] / BLOCK_PX
    weights = np.maximum(1 - np.abs(place - np.arange(-reach, reach + 1)), 0).astype(np.float32)
    return np.asarray(weights @ sums @ weights.T)


def find_peaks(score: Values, exclusion_px: int = 3) -> Peaks:
    """Sub-pixel maximum of each of (N, S, S) surfaces of scores over shifts, by quadratics through the neighbours."""
    count, side = score.shape[:2]
    each = np.arange(count)
    index = score.reshape(count, -1).argmax(1)
    row, col = index // side, index % side
    best = score[each, row, col]
    padded = np.pad(score, ((0, 0), (1, 1), (1, 1)), mode="edge")
    offset_x = _parabola(padded[each, row + 1, col], best, padded[each, row + 1, col + 2])
    offset_y = _parabola(padded[each, row, col + 1], best, padded[each, row + 2, col + 1])
    second = _best_elsewhere(score, row, col, exclusion_px)
    ratio = (second / np.maximum(best, 1e-6)).clip(0, 1)
    on_edge = (row == 0) | (row == side - 1) | (col == 0) | (col == side - 1)
    shift = np.stack([col + offset_x, row + offset_y], 1) - side // 2
    return Peaks(shift.astype(np.float32), best, np.where(on_edge, np.float32(1), ratio))


def misses_on_return(score: Values, boxes: Boxes) -> Values:
    """How far from its start each template ends that is matched there and back, whole pixels.

    The correlation of the box that was found with the boxes about its origin is in the scores already: as those of the
    neighbouring templates at other shifts, between which it is interpolated.

    Args:
        score: (Ny, Nx, S, S) of `correlate`.

    Returns:
        (Ny Nx,) distances.
    """
    rows, cols, side = score.shape[:3]
    there = np.stack(np.divmod(score.reshape(rows, cols, -1).argmax(2), side))
    shift = np.arange(side)
    own_row, own_col = np.arange(rows)[:, None, None], np.arange(cols)[:, None]
    along_y = _interpolation(boxes.rows, own_row, there[0][..., None] - shift)
    along_x = _interpolation(boxes.cols, own_col, there[1][..., None] - shift)
    back = np.zeros((rows, cols, side, side), np.float32)
    for row, row_weight in along_y:
        for col, col_weight in along_x:
            part = score[row[..., :, None], col[..., None, :], shift[:, None], shift]
            back += part * row_weight[..., :, None] * col_weight[..., None, :]
    found = np.stack(np.divmod(back.reshape(rows, cols, -1).argmax(2), side))
    return np.asarray(np.hypot(*(found - there)), np.float32).ravel()


def _interpolation(centres: Values, own: Whole, offset: Whole) -> list[tuple[Whole, Values]]:
    """The two neighbours and their weights for places `offset` px from the centres of index `own`."""
    last = len(centres) - 1
    step = max(float(centres[-1] - centres[0]) / max(last, 1), 1.0)
    place = (own + offset / step).clip(0, last)
    low = np.floor(place).clip(max=max(last - 1, 0)).astype(np.intp)
    weight = (place - low).astype(np.float32)
    return [(low, 1 - weight), (np.minimum(low + 1, last), weight)]


def _best_elsewhere(score: Values, row: Whole, col: Whole, radius: int) -> Values:
    """(N,) best score farther than `radius` from (row, col) along an axis; at least 0."""
    along = np.arange(score.shape[1])
    near_row = np.abs(along - row[:, None]) <= radius
    near_col = np.abs(along - col[:, None]) <= radius
    near = near_row[:, :, None] & near_col[:, None, :]
    return np.asarray(np.where(near, np.float32(0), score).max((1, 2)))


def _parabola(left: Values, middle: Values, right: Values) -> Values:
    bend = 2 * middle - left - right
    offset = 0.5 * (right - left) / np.maximum(bend, 1e-9)
    return np.where(bend > 1e-9, offset.clip(-0.5, 0.5), np.float32(0))
