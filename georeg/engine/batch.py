"""What the data engine hands to the trainer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MODALITIES = ("optical", "sar", "infrared", "map", "elevation")
"""Order of the modality class indices, in training and in the weights."""


@dataclass(frozen=True)
class TrainingBatch:
    """A batch of view pairs with their exact truth, all on one device.

    Here, as in all network code, pixel coordinates count centres from 0 (x = column, y = row).

    Attributes:
        view0, view1: (B, 1, H, W) float32, normalised as at inference (zero mean, unit deviation over valid, 0
            elsewhere).
        valid0, valid1: (B, 1, H, W) bool; False where the view is known to show nothing (a nodata mask at inference).
            Clouds and unknown fill are valid, but have no flow.
        flow01: (B, H, W, 2) float32: for each pixel of view0 its (x, y) in view1; NaN where it is not visible there.
        flow10: the same from view1 to view0.
        modality0, modality1: (B,) int64 index into MODALITIES of what each view looks like; -1 unknown.
        tolerance_px: (B,) float32: how far the truth itself may be off (0 for synthetic, 2 to 3 for real SAR pairs).
        recipe: (B,) int64 index of the recipe (source modality x geometry bin) for dynamic sampling by loss.
    """

    view0: Tensor
    view1: Tensor
    valid0: Tensor
    valid1: Tensor
    flow01: Tensor
    flow10: Tensor
    modality0: Tensor
    modality1: Tensor
    tolerance_px: Tensor
    recipe: Tensor

    def to(self, device: torch.device | str) -> TrainingBatch:
        return TrainingBatch(**{name: value.to(device) for name, value in vars(self).items()})
