"""Pixels of any sensor on one footing: percentile clip per modality, then zero mean and unit deviation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from georeg.scene import Modality, Patch

PERCENTILES = {
    Modality.OPTICAL: (1.0, 99.0),
    Modality.INFRARED: (1.0, 99.0),
    Modality.ELEVATION: (1.0, 99.0),
    Modality.MAP: (0.0, 100.0),
    Modality.SAR: (1.0, 99.0),
}
_SAMPLE = 50_000
ROUNDING = 1e-6
"""Values that differ by less, relative to their size, are one value in single precision (whatever their unit)."""


def normalise(pixels: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], modality: Modality) -> Patch:
    """Clip to the modality's percentiles (SAR amplitudes as logarithms) and standardise over valid pixels.

    Args:
        pixels: (H, W) float, in the sensor's own units.
        valid: (H, W) bool.

    Returns:
        A Patch; all zero where nothing is valid or everything has one value.
    """
    valid = valid & np.isfinite(pixels)
    out = np.zeros(pixels.shape, np.float32)
    if not valid.any():
        return Patch(out, valid, modality)
    values = pixels[valid].astype(np.float32)
    sample = values[:: max(1, values.size // _SAMPLE)]
    if modality == Modality.SAR and needs_logarithm(sample):
        floor = np.float32(max(float(np.percentile(sample[sample > 0], 0.5)), 1e-12))
        values = np.log(np.maximum(values, floor))
        sample = values[:: max(1, values.size // _SAMPLE)]
    low, high = np.percentile(sample, PERCENTILES[modality])
    np.clip(values, low, high, out=values)
    deviation = float(values.std(dtype=np.float64))
    if deviation > ROUNDING * max(abs(float(low)), abs(float(high))):
        out[valid] = (values - values.mean()) / deviation
    return Patch(out, valid, modality)


def needs_logarithm(sample: npt.NDArray[np.float32]) -> bool:
    """Whether SAR values are linear (amplitude or power), not decibels (negative) or an 8-bit image."""
    low, median, high = np.percentile(sample, (1, 50, 99))
    if low < 0 or high <= 0:
        return False
    return not (median >= 4 and high <= 255.5)
