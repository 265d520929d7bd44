"""A blind search over rotation, scale and shift at low resolution, by masked correlation of descriptors.

Every rotation and scale of the moving image is correlated with the reference at all shifts at once by FFT. It yields
hypotheses, not answers: the registration room compares the best few by the geometric support they get at full detail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from georeg.matching.correlation import Values
from georeg.matching.descriptors import DescriptorSettings, Image, double_angle
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
) -> list[Hypothesis]:
    """The best hypotheses over all given rotations and scales, best first.

    Args:
        moving, reference: windows in one common scale (scale 1 means that no change of scale is needed).
        rotations_deg: counted from the x axis towards the y axis (clockwise on the screen).
        scales: factors on the moving window.
    """
    settings = settings or SweepSettings()
    found = [h for scale in scales for h in _one_scale(moving, reference, rotations_deg, scale, settings)]
    return _distinct(found, settings)


def _one_scale(
    moving: Patch, reference: Patch, rotations_deg: Sequence[float], scale: float, settings: SweepSettings
) -> list[Hypothesis]:
    """Hypotheses for one scale, one per rotation."""
    factor = min(1.0, settings.long_side_px / max(max(reference.shape), scale * max(moving.shape)))
    target = _described(reference, factor, settings)
    image = _described(moving, factor * scale, settings)
    side = math.ceil(math.hypot(*image.shape[1:]))
    spectrum = _Spectrum(target, side)
    hypotheses = []
    for rotation in rotations_deg:
        score = spectrum.correlate(_rotate(image, rotation, side), settings.min_overlap)
        row, col = np.unravel_index(score.argmax(), score.shape)
        typical, spread = _background(score)
        shift = np.array([col - (side - 1.0), row - (side - 1.0)])
        matrix = _matrix(rotation, image.shape[1:], moving.shape, side, shift, factor)
        hypotheses.append(Hypothesis(matrix, rotation, scale, (float(score[row, col]) - typical) / spread))
    return hypotheses


class _Spectrum:
    """The reference's side of the correlation, transformed once for all rotations of one scale.

    Descriptors have nearly the same energy everywhere, so the common area alone normalises the score.
    """

    def __init__(self, target: Values, side: int) -> None:
        from scipy import fft  # 20 MB that most registrations do without

        height, width = target.shape[1:]
        self.side, self.shape = side, (height + side - 1, width + side - 1)
        self.size = tuple(fft.next_fast_len(length, real=True) for length in self.shape)
        self.target = fft.rfft2(target, s=self.size)
        self.area = float(target[3].sum())

    def correlate(self, turned: Values, min_overlap: float) -> Values:
        """(rows, cols) scores over all shifts, (side - 1, side - 1) being shift 0; -1 where too little is common."""
        from scipy import fft

        product = np.conj(fft.rfft2(turned, s=self.size))
        product *= self.target
        both = fft.irfft2(np.stack([product[:3].sum(0), product[3]]), s=self.size)
        rows, cols = self.shape
        both = np.roll(both, (self.side - 1, self.side - 1), (1, 2))[:, :rows, :cols]
        smaller = max(min(float(turned[3].sum()), self.area), 1.0)
        score = both[0] / np.sqrt(np.maximum(both[1], 1.0) * smaller)
        score[both[1] < min_overlap * smaller] = -1.0
        return np.asarray(score)


def _background(score: Values) -> tuple[float, float]:
    """Mean and deviation of the scores where enough is common."""
    seen = score[score > -1]
    return (float(seen.mean()), max(float(seen.std()), 1e-6)) if len(seen) else (0.0, 1.0)


def _described(patch: Patch, factor: float, settings: SweepSettings) -> Values:
    """(4, h, w): the reduced patch's descriptor with its mean strength removed, and its support."""
    settings_here = descriptor_for(patch.modality, settings.descriptor)
    stack, support = double_angle(*_reduced(patch, factor), settings_here)
    # directions have no common offset; removing one would break the turning
    stack[2] -= stack[2].sum() / max(float(support.sum()), 1.0) * support
    return np.concatenate([stack, support[None]])


def _reduced(patch: Patch, factor: float) -> tuple[Image, Image]:
    """The patch resized by `factor`, antialiased, as (h, w) pixels and validity."""
    rows, cols = (max(8, round(side * factor)) for side in patch.shape)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    valid = patch.valid.astype(np.float32)
    pixels = cv2.resize(patch.pixels * valid, (cols, rows), interpolation=how)
    weight = cv2.resize(valid, (cols, rows), interpolation=how)
    valid = (weight > 0.9).astype(np.float32)
    return np.asarray(pixels / np.maximum(weight, np.float32(0.1)) * valid, np.float32), valid


def _rotate(described: Values, rotation_deg: float, side: int) -> Values:
    """The descriptor turned about its centre, on a square canvas that holds every rotation."""
    height, width = described.shape[1:]
    angle = math.radians(rotation_deg)
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0]])
    turn[:, 2] = (side - 1) / 2 - turn[:, :2] @ ((width - 1) / 2, (height - 1) / 2)
    x, y, strength, support = (cv2.warpAffine(channel, turn, (side, side)) for channel in described)
    c2, s2 = math.cos(2 * angle), math.sin(2 * angle)
    return np.stack([x * c2 - y * s2, x * s2 + y * c2, strength, support]).astype(np.float32, copy=False)


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
