"""Normalised patches: zero mean, unit deviation, the same for any gain, logarithm only where it belongs."""

import numpy as np
import pytest

from georeg.raster import normalise
from georeg.scene import Modality


@pytest.fixture
def amplitude():
    rng = np.random.default_rng(0)
    ground = np.repeat(np.repeat(rng.uniform(50, 400, (16, 16)), 8, 0), 8, 1)
    return (ground * rng.gamma(4, 0.25, ground.shape)).astype(np.float32)


@pytest.mark.parametrize("modality", list(Modality))
def test_mean_and_deviation_over_the_valid_pixels(amplitude, modality):
    valid = np.ones(amplitude.shape, bool)
    valid[:, :30] = False
    amplitude[:, :30] = 1e9
    patch = normalise(amplitude, valid, modality)
    assert patch.modality == modality
    assert patch.pixels.dtype == np.float32
    assert abs(patch.pixels[valid].mean()) < 1e-3
    assert patch.pixels[valid].std() == pytest.approx(1, abs=1e-3)
    assert (patch.pixels[~valid] == 0).all()


@pytest.mark.parametrize("modality", list(Modality))
@pytest.mark.parametrize("gain", [1e-4, 1e-9])
def test_gain_does_not_matter(amplitude, modality, gain):
    valid = np.ones(amplitude.shape, bool)
    first = normalise(amplitude * 100, valid, modality)
    second = normalise(amplitude * np.float32(gain), valid, modality)
    np.testing.assert_allclose(first.pixels, second.pixels, atol=1e-3)


def test_linear_radar_is_seen_as_its_decibels(amplitude):
    valid = np.ones(amplitude.shape, bool)
    linear = normalise(amplitude * 10, valid, Modality.SAR)
    decibels = normalise(20 * np.log10(amplitude * 10) - 60, valid, Modality.SAR)
    assert np.corrcoef(linear.pixels.ravel(), decibels.pixels.ravel())[0, 1] > 0.999


def test_display_radar_is_left_linear(amplitude):
    eight = np.clip(amplitude / 4, 0, 255)
    valid = np.ones(eight.shape, bool)
    sar, optical = normalise(eight, valid, Modality.SAR), normalise(eight, valid, Modality.OPTICAL)
    np.testing.assert_allclose(sar.pixels, optical.pixels, atol=1e-4)


def test_constant_empty_and_nan_give_zeros():
    flat = np.full((8, 8), 7, np.float32)
    assert not normalise(flat, np.ones((8, 8), bool), Modality.OPTICAL).pixels.any()
    assert not normalise(flat, np.zeros((8, 8), bool), Modality.SAR).valid.any()
    assert not normalise(flat * np.nan, np.ones((8, 8), bool), Modality.OPTICAL).valid.any()
    assert not normalise(flat * 0, np.ones((8, 8), bool), Modality.SAR).pixels.any()
    rounded = np.float32(1e-7) * np.linspace(1, 1 + 2e-7, 64, dtype=np.float32).reshape(8, 8)
    assert not normalise(rounded, np.ones((8, 8), bool), Modality.OPTICAL).pixels.any()
