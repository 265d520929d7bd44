"""The matcher that needs no training: templates of oriented gradients, correlated in a search window.

It is the fallback and the baseline, and the sub-pixel refinement behind the network. It finds shifts only: rotation and
scale must have been undone before, to within about 8 degrees and 12 per cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from georeg.matching.correlation import Peaks, find_peaks, masked_correlation
from georeg.matching.descriptors import DescriptorSettings, double_angle
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
        return_px: largest miss of the backward match.
        batch: templates correlated at once.
        descriptor: of the images; SAR gets a wider gradient.
    """

    template_px: int = 96
    spacing_px: int = 32
    templates: int = 250
    search_px: int = 24
    min_valid: float = 0.6
    max_ratio: float = 0.97
    return_px: float = 1.5
    batch: int = 48
    descriptor: DescriptorSettings = field(default_factory=lambda: DescriptorSettings(smoothing_sigma=1.0))


class StructuralMatcher:
    """Dense template matching on oriented gradients; see `georeg.matching.protocol.Matcher`."""

    name = "structural"
    weights_sha256 = None

    def __init__(self, settings: StructuralSettings | None = None, device: str = "cpu") -> None:
        self.settings = settings or StructuralSettings()
        self.device = torch.device(device)

    def match(self, pairs: Sequence[PatchPair]) -> list[Correspondences]:
        with torch.inference_mode():
            return [self._match_pair(pair) for pair in pairs]

    def _match_pair(self, pair: PatchPair) -> Correspondences:
        s = self.settings
        moving, moving_valid = self._describe(pair.moving)
        reference, reference_valid = self._describe(pair.reference)
        centres = template_centres(reference_valid, moving_valid, s)
        if len(centres) == 0:
            return Correspondences.empty()
        there, score, ratio = self._search(moving, moving_valid, reference, reference_valid, centres)
        keep = (ratio < s.max_ratio) & (score > 0)
        centres, there, score, ratio = centres[keep], there[keep], score[keep], ratio[keep]
        if len(centres) == 0:
            return Correspondences.empty()
        back, _, _ = self._search(reference, reference_valid, moving, moving_valid, there)
        # The backward template sits on the whole pixel next to `there`: it should come back as far from `centres`.
        miss = (back - centres - (there.round() - there)).norm(dim=1)
        keep = miss < s.return_px
        confidence = (score * (1 - ratio).clamp(0, 1).sqrt()).clamp(0, 1)
        to_numpy = lambda t: t[keep].double().cpu().numpy()  # noqa: E731
        return Correspondences(to_numpy(there), to_numpy(centres), to_numpy(confidence))

    def _describe(self, patch: Patch) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(np.ascontiguousarray(patch.pixels))[None, None].to(self.device)
        valid = torch.from_numpy(np.ascontiguousarray(patch.valid))[None, None].to(self.device, torch.float32)
        return double_angle(image, valid, descriptor_for(patch.modality, self.settings.descriptor))

    def _search(
        self,
        moving: Tensor,
        moving_valid: Tensor,
        reference: Tensor,
        reference_valid: Tensor,
        centres: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Best position in `moving` of the template around each centre of `reference`, with score and ratio."""
        s = self.settings
        half = s.template_px // 2
        corner = centres.round().long() - half
        found = [
            self._correlate(
                *_cut(reference, reference_valid, part, s.template_px),
                *_cut(moving, moving_valid, part - s.search_px, s.template_px + 2 * s.search_px),
            )
            for part in corner.split(s.batch)
        ]
        shift, score, ratio = (torch.cat(values) for values in zip(*found, strict=True))
        return centres.round() + shift - s.search_px, score, ratio

    def _correlate(
        self, template: Tensor, template_valid: Tensor, search: Tensor, search_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        template = _centre(template, template_valid)
        search = _centre(search, search_valid)
        score, _ = masked_correlation(template, template_valid, search, search_valid, self.settings.min_valid)
        peaks: Peaks = find_peaks(score)
        on_edge = ((peaks.shift_xy < 0.6) | (peaks.shift_xy > score.shape[-1] - 1.6)).any(1)
        return peaks.shift_xy, peaks.score, torch.where(on_edge, torch.ones_like(peaks.ratio), peaks.ratio)


def descriptor_for(modality: Modality, base: DescriptorSettings) -> DescriptorSettings:
    """The settings for one modality: speckle needs a wider gradient."""
    if modality is not Modality.SAR:
        return base
    return replace(base, gradient_sigma=max(base.gradient_sigma, 1.6))


def template_centres(reference_valid: Tensor, moving_valid: Tensor, settings: StructuralSettings) -> Tensor:
    """(N, 2) template centres on a regular grid over the windows where both sides are valid enough."""
    height, width = reference_valid.shape[-2:]
    margin = settings.template_px // 4
    spacing = min(float(settings.spacing_px), max(8.0, (height * width / settings.templates) ** 0.5))

    def along(size: int) -> Tensor:
        count = max(1, int((size - 2 * margin) / spacing) + 1)
        return torch.linspace(margin, size - margin, count, device=reference_valid.device).round()

    ys, xs = torch.meshgrid(along(height), along(width), indexing="ij")
    centres = torch.stack([xs.ravel(), ys.ravel()], 1)
    corner = centres.long() - settings.template_px // 2
    near = _cut(reference_valid, reference_valid, corner, settings.template_px)[1].mean((1, 2, 3))
    return centres[near >= settings.min_valid]


def _cut(stack: Tensor, valid: Tensor, corner: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(N, C, size, size) windows of a (1, C, H, W) stack with their top-left corners at (N, 2) whole x, y."""
    height, width = stack.shape[-2:]
    along = torch.arange(size, device=stack.device)
    rows, cols = corner[:, 1, None] + along, corner[:, 0, None] + along
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((cols >= 0) & (cols < width))[:, None, :]
    rows, cols = rows.clamp(0, height - 1)[:, :, None], cols.clamp(0, width - 1)[:, None, :]
    cut_valid = valid[0, 0][rows, cols] * inside
    return stack[0][:, rows, cols].transpose(0, 1) * cut_valid[:, None], cut_valid[:, None]


def _centre(stack: Tensor, valid: Tensor) -> Tensor:
    """Subtract each channel's mean over the valid pixels; zero elsewhere."""
    mean = (stack * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp_min(1)
    return (stack - mean) * valid
