"""The matcher that needs no training: templates of oriented gradients, correlated at small shifts.

It is the fallback and the baseline, and the sub-pixel refinement behind the network. It finds shifts only: rotation and
scale must have been undone before, to within about 8 degrees and 12 per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from georeg.matching.correlation import Boxes, Values, correlate, find_peaks, misses_on_return
from georeg.matching.descriptors import DescriptorSettings, Image, double_angle
from georeg.matching.protocol import Correspondences, PatchPair
from georeg.scene import Modality, Patch


@dataclass(frozen=True)
class StructuralSettings:
    """Sizes in pixels of the windows.

    Attributes:
        template_px: side of a template.
        spacing_px: largest distance between template centres; smaller in windows that would get fewer than `templates`.
        templates: about as many as a window gets at least, so that small images are not starved.
        search_px: how far a template is moved in each direction.
        min_valid: share of a template that must be valid on both sides.
        max_ratio: peaks more ambiguous than this are dropped.
        min_score: peaks lower than this are dropped.
        return_px: matches that end farther than this from their start, when matched there and back, are dropped.
        descriptor: of the images; SAR gets a wider gradient.
    """

    template_px: int = 96
    spacing_px: int = 28
    templates: int = 250
    search_px: int = 8
    min_valid: float = 0.5
    max_ratio: float = 0.92
    min_score: float = 0.1
    return_px: float = 3.0
    descriptor: DescriptorSettings = field(default_factory=lambda: DescriptorSettings(smoothing_sigma=1.0))


class StructuralMatcher:
    """Dense template matching on oriented gradients; see `georeg.matching.protocol.Matcher`.

    Both windows of a pair must have one shape: they are two views of one frame.
    """

    name = "structural"
    weights_sha256 = None

    def __init__(self, settings: StructuralSettings | None = None) -> None:
        self.settings = settings or StructuralSettings()

    def match(self, pairs: Sequence[PatchPair]) -> list[Correspondences]:
        """Match each pair.

        Raises:
            ValueError: the windows of a pair differ in shape.
        """
        return [self._match_pair(pair) for pair in pairs]

    def _match_pair(self, pair: PatchPair) -> Correspondences:
        if pair.moving.shape != pair.reference.shape:
            raise ValueError(f"windows of {pair.moving.shape} and {pair.reference.shape} are not one frame")
        s = self.settings
        boxes = template_grid(pair.reference.shape, s)
        moving, reference = self._describe(pair.moving), self._describe(pair.reference)
        score = correlate(*reference, *moving, boxes, s.search_px, s.min_valid)
        peaks = find_peaks(score.reshape(-1, *score.shape[2:]))
        keep = (peaks.score > s.min_score) & (peaks.ratio < s.max_ratio)
        keep &= misses_on_return(score, boxes) <= s.return_px
        ys, xs = np.meshgrid(boxes.rows, boxes.cols, indexing="ij")
        centres = np.stack([xs.ravel(), ys.ravel()], 1)
        confidence = (peaks.score * np.sqrt(1 - peaks.ratio)).clip(0, 1)
        found = (
            values[keep].astype(np.float64) for values in (centres + peaks.shift_xy, centres, confidence)
        )
        return Correspondences(*found)

    def _describe(self, patch: Patch) -> tuple[Values, Image]:
        """(3, H, W) descriptor with the mean strength removed, (H, W) support."""
        settings = descriptor_for(patch.modality, self.settings.descriptor)
        stack, support = double_angle(patch.pixels, patch.valid.astype(np.float32), settings)
        stack[2] -= stack[2].sum() / max(float(support.sum()), 1.0) * support
        return stack, support


def descriptor_for(modality: Modality, base: DescriptorSettings) -> DescriptorSettings:
    """The settings for one modality: speckle needs a wider gradient."""
    if modality is not Modality.SAR:
        return base
    return replace(base, gradient_sigma=max(base.gradient_sigma, 1.6))


def template_grid(shape: tuple[int, int], settings: StructuralSettings) -> Boxes:
    """Templates on a regular grid over a window, the outermost ones a quarter of their side from its edge."""
    margin = min(settings.template_px // 4, min(shape) // 2)
    spacing = min(float(settings.spacing_px), max(8.0, (shape[0] * shape[1] / settings.templates) ** 0.5))

    def along(size: int) -> Values:
        count = max(1, int((size - 2 * margin) / spacing) + 1)
        return np.linspace(margin, size - margin, count).round().astype(np.float32)

    return Boxes(along(shape[0]), along(shape[1]), settings.template_px, shape)
