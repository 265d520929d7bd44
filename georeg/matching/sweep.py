"""A blind search over rotation, scale and shift at low resolution, by masked correlation of descriptors.

Every rotation and scale of the moving image is correlated with the reference at all shifts at once by FFT. It yields
hypotheses, not answers: the registration room compares the best few by the geometric support they get at full detail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from georeg.matching.descriptors import DescriptorSettings, double_angle
from georeg.matching.structural import descriptor_for
from georeg.scene import FloatArray, Patch


@dataclass(frozen=True)
class Hypothesis:
    """A similarity that may hold between two windows.

    Attributes:
        matrix: (3, 3) moving -> reference in the windows' pixel-corner coordinates.
        rotation_deg, scale: of the matrix.
        score: larger is better; comparable within one sweep only.
    """

    matrix: FloatArray
    rotation_deg: float
    scale: float
    score: float


@dataclass(frozen=True)
class SweepSettings:
    """Attributes:
    long_side_px: both windows are reduced until the longest side of either, after scaling, has this length.
    min_overlap: smallest common area, as a share of the smaller of the two images.
    keep: hypotheses returned.
    apart_deg, apart_scale: hypotheses nearer than this to a better one are dropped.
    """

    long_side_px: int = 128
    min_overlap: float = 0.35
    keep: int = 8
    apart_deg: float = 4.0
    apart_scale: float = 1.06
    descriptor: DescriptorSettings = field(default_factory=DescriptorSettings)


def sweep(
    moving: Patch,
    reference: Patch,
    rotations_deg: Sequence[float],
    scales: Sequence[float],
    settings: SweepSettings | None = None,
    device: str = "cpu",
) -> list[Hypothesis]:
    """The best hypotheses over all given rotations and scales, best first.

    Args:
        moving, reference: windows in one common scale (scale 1 means that no change of scale is needed).
        rotations_deg: counted from the x axis towards the y axis (clockwise on the screen).
        scales: factors on the moving window.
    """
    settings = settings or SweepSettings()
    with torch.inference_mode():
        found = [
            h
            for scale in scales
            for h in _one_scale(moving, reference, rotations_deg, scale, settings, device)
        ]
    return _distinct(found, settings)


def _one_scale(
    moving: Patch,
    reference: Patch,
    rotations_deg: Sequence[float],
    scale: float,
    settings: SweepSettings,
    device: str,
) -> list[Hypothesis]:
    """Hypotheses for one scale, one per rotation."""
    factor = min(1.0, settings.long_side_px / max(max(reference.shape), scale * max(moving.shape)))
    target = _described(reference, factor, settings, device)
    image = _described(moving, factor * scale, settings, device)
    side = math.ceil(math.hypot(*image.shape[-2:]))
    spectrum = _Spectrum(target, side)
    hypotheses = []
    for batch in _batches(rotations_deg, 6):
        score = spectrum.correlate(_rotate(image, batch, side), settings.min_overlap)
        best, index = score.flatten(1).max(1)
        typical, spread = _background(score)
        rows, cols = index // score.shape[2], index % score.shape[2]
        for i, rotation in enumerate(batch):
            shift = np.array([float(cols[i]) - (side - 1), float(rows[i]) - (side - 1)])
            quality = float((best[i] - typical[i]) / spread[i])
            matrix = _matrix(rotation, image.shape[-2:], moving.shape, side, shift, factor)
            hypotheses.append(Hypothesis(matrix, rotation, scale, quality))
    return hypotheses


class _Spectrum:
    """The reference's side of the correlation, transformed once for all rotations of one scale.

    Descriptors have nearly the same energy everywhere, so the common area alone normalises the score.
    """

    def __init__(self, target: Tensor, side: int) -> None:
        height, width = target.shape[-2:]
        self.side, self.shape = side, (height + side - 1, width + side - 1)
        self.size = fast_size(self.shape[0]), fast_size(self.shape[1])
        self.stack, self.mask = (
            torch.fft.rfft2(target[:, :3], s=self.size),
            torch.fft.rfft2(target[:, 3], s=self.size),
        )
        self.area = target[:, 3].sum()

    def correlate(self, turned: Tensor, min_overlap: float) -> Tensor:
        """(B, rows, cols) scores over all shifts, (side - 1, side - 1) being shift 0; -1 where too little is common."""
        spectra = torch.fft.rfft2(turned, s=self.size).conj_physical()
        product = torch.stack([(spectra[:, :3] * self.stack).sum(1), spectra[:, 3] * self.mask], 1)
        both = torch.fft.irfft2(product, s=self.size).roll((self.side - 1, self.side - 1), (2, 3))
        common = both[:, 1, : self.shape[0], : self.shape[1]]
        smaller = torch.minimum(turned[:, 3].sum((1, 2)), self.area).clamp_min(1).view(-1, 1, 1)
        share = (common / smaller).clamp(0, 1)
        score = both[:, 0, : self.shape[0], : self.shape[1]] / (common.clamp_min(1) * smaller).sqrt()
        return torch.where(share >= min_overlap, score, -torch.ones_like(score))


def _background(score: Tensor) -> tuple[Tensor, Tensor]:
    seen = score > -1
    count = seen.sum((1, 2)).clamp_min(2)
    mean = (score * seen).sum((1, 2)) / count
    variance = ((score - mean.view(-1, 1, 1)).square() * seen).sum((1, 2)) / count
    return mean, variance.sqrt().clamp_min(1e-6)


def _described(patch: Patch, factor: float, settings: SweepSettings, device: str) -> Tensor:
    """(1, 4, h, w): the reduced patch's descriptor with its means removed, and its support."""
    settings_here = descriptor_for(patch.modality, settings.descriptor)
    stack, support = double_angle(*_reduced(patch, factor, device), settings_here)
    mean = (stack * support).sum((2, 3), keepdim=True) / support.sum((2, 3), keepdim=True).clamp_min(1)
    mean[:, :2] = 0  # directions have no common offset; removing one would break the turning
    return torch.cat([(stack - mean) * support, support], 1)


def _reduced(patch: Patch, factor: float, device: str) -> tuple[Tensor, Tensor]:
    """The patch resized by `factor`, antialiased, as (1, 1, h, w) pixels and validity."""
    pixels = torch.from_numpy(np.ascontiguousarray(patch.pixels))[None, None].to(device)
    valid = torch.from_numpy(np.ascontiguousarray(patch.valid))[None, None].to(device, torch.float32)
    size = [max(8, round(side * factor)) for side in patch.shape]
    both = torch.cat([pixels * valid, valid], 1)
    both = functional.interpolate(both, size, mode="bilinear", align_corners=False, antialias=factor < 1)
    pixels, weight = both[:, :1], both[:, 1:]
    valid = (weight > 0.9).float()
    pixels = pixels / weight.clamp_min(0.1)
    return pixels * valid, valid


def _rotate(described: Tensor, rotations_deg: Sequence[float], side: int) -> Tensor:
    """The descriptor turned about its centre by each angle, on a square canvas that holds every rotation."""
    height, width = described.shape[-2:]
    angle = torch.tensor([math.radians(a) for a in rotations_deg], device=described.device)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    zero = torch.zeros_like(angle)
    # canvas -> image in the normalised coordinates of grid_sample: the inverse rotation, then from pixels to shares
    rows = [
        torch.stack([cosine * side / width, sine * side / width, zero], 1),
        torch.stack([-sine * side / height, cosine * side / height, zero], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), [len(angle), 1, side, side], align_corners=False)
    turned = functional.grid_sample(described.expand(len(angle), -1, -1, -1), grid, align_corners=False)
    twice = (2 * angle).view(-1, 1, 1)
    turned_x = turned[:, 0] * torch.cos(twice) - turned[:, 1] * torch.sin(twice)
    turned_y = turned[:, 0] * torch.sin(twice) + turned[:, 1] * torch.cos(twice)
    return torch.stack([turned_x, turned_y, turned[:, 2], turned[:, 3]], 1)


def _matrix(
    rotation_deg: float,
    reduced: tuple[int, ...],
    full: tuple[int, int],
    side: int,
    shift_xy: FloatArray,
    factor: float,
) -> FloatArray:
    """moving px -> reference px of one hypothesis: reduce, turn about the centre onto the canvas, shift, enlarge."""
    reduce = np.diag([reduced[1] / full[1], reduced[0] / full[0], 1.0])
    c, s = math.cos(math.radians(rotation_deg)), math.sin(math.radians(rotation_deg))
    centre = np.array([reduced[1] / 2, reduced[0] / 2])
    turn = np.eye(3)
    turn[:2, :2] = [[c, -s], [s, c]]
    turn[:2, 2] = side / 2 - turn[:2, :2] @ centre + shift_xy
    enlarge = np.diag([1 / factor, 1 / factor, 1.0])
    return np.asarray(enlarge @ turn @ reduce)


def _distinct(found: list[Hypothesis], settings: SweepSettings) -> list[Hypothesis]:
    kept: list[Hypothesis] = []
    for one in sorted(found, key=lambda h: -h.score):
        if len(kept) == settings.keep:
            break
        if not any(_near(one, other, settings) for other in kept):
            kept.append(one)
    return kept


def _near(one: Hypothesis, other: Hypothesis, settings: SweepSettings) -> bool:
    turn = abs((one.rotation_deg - other.rotation_deg + 180) % 360 - 180)
    ratio = max(one.scale / other.scale, other.scale / one.scale)
    return turn < settings.apart_deg and ratio < settings.apart_scale


def _batches(values: Sequence[float], size: int) -> list[Sequence[float]]:
    return [values[i : i + size] for i in range(0, len(values), size)]


def fast_size(size: int) -> int:
    """The next size with only the prime factors 2, 3 and 5, for which FFTs are fast."""
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1
