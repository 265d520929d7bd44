"""The one normalisation of the network's input, used at training and at inference."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_DEVIATION = 1e-4


def zscore(images: Tensor, valid: Tensor) -> Tensor:
    """Zero mean and unit deviation over the valid pixels of each image, 0 elsewhere.

    Args:
        images: (B, 1, H, W) float, any unit, finite everywhere (also where invalid).
        valid: (B, 1, H, W) bool.

    Returns:
        (B, 1, H, W) float32. An image that is constant or has no valid pixel becomes 0.
    """
    weight = valid.to(torch.float32)
    values = images.to(torch.float32)
    count = weight.mean(dim=(-2, -1), keepdim=True).clamp_min(1e-12)
    mean = (values * weight).mean(dim=(-2, -1), keepdim=True) / count
    centred = (values - mean) * weight
    deviation = (centred.square().mean(dim=(-2, -1), keepdim=True) / count).sqrt()
    scale = (deviation > MIN_DEVIATION) / deviation.clamp_min(MIN_DEVIATION)
    return centred * scale
