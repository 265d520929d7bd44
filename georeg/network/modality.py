"""The modality token: what kind of image this is, told to the other image's features (after DistillMatch, 2025)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from georeg.scene import Modality

MODALITIES = tuple(Modality)
"""Order of the category indices, in training and in the weights."""


class ModalityToken(nn.Module):
    """Classifies an image into MODALITIES and injects the other image's category.

    A learned token gathers from the image by attention, a linear head classifies it, and the category's embedding,
    mixed by the probabilities, is added to every cell of the other image. A category given by the user replaces the
    probabilities.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(channels) * channels**-0.5)
        self.classify = nn.Linear(2 * channels, len(MODALITIES))
        self.embedding = nn.Parameter(torch.zeros(len(MODALITIES), channels))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Category logits (B, 5) from features (B, H, W, C) and valid cells (B, H, W)."""
        cells, mask = x.flatten(1, 2), valid.flatten(1)
        mask = mask | ~mask.any(1, keepdim=True)
        weight = (cells @ self.token).masked_fill(~mask, -1e4).softmax(1)
        gathered = torch.einsum("bn,bnc->bc", weight, cells)
        share = mask / mask.sum(1, keepdim=True)
        mean = torch.einsum("bn,bnc->bc", share.to(cells.dtype), cells)
        return self.classify(torch.cat([gathered, mean], -1))

    def inject(self, x: Tensor, other_logits: Tensor, other_given: Tensor | None) -> Tensor:
        """Add the other image's category to x; `other_given` (B,) int64, -1 where it is to be inferred."""
        probability = other_logits.softmax(-1)
        if other_given is not None:
            known = (other_given >= 0)[:, None]
            given = torch.nn.functional.one_hot(other_given.clamp(min=0), len(MODALITIES)).to(
                probability.dtype
            )
            probability = torch.where(known, given, probability)
        return x + (probability @ self.embedding)[:, None, None]
