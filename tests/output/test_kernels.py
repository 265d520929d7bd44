"""Kernels: ramps are reproduced, invalid pixels never count, every dtype keeps its values."""

import numpy as np
import pytest

from georeg.output.kernels import REACH_PX, Positions, as_dtype, interpolate

METHODS = tuple(REACH_PX)
DTYPES = (
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float32", "float64", "complex64"),
)


@pytest.fixture
def at():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(8, 50, (2, 40, 30)).astype(np.float32)
    return Positions(x, y)


@pytest.mark.parametrize("method", ["bilinear", "cubic", "lanczos"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_ramps_are_reproduced(at, method, dtype):
    ramp = np.add.outer(2.0 * np.arange(60), np.arange(64.0)).astype(dtype)
    values, good = interpolate(ramp, None, at, method)
    assert good.all()
    assert values.dtype == dtype
    np.testing.assert_allclose(values.real, at.x + 2 * at.y, atol=0.1)  # OpenCV rounds positions to 1/32 px


def test_cubic_is_exact_on_ramps(at):
    ramp = np.add.outer(2.0 * np.arange(60), np.arange(64.0))
    np.testing.assert_allclose(interpolate(ramp, None, at, "cubic")[0], at.x + 2 * at.y, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_constants_stay_constant_in_every_dtype(at, method, dtype):
    value = 100 if dtype in ("uint8", "int8") else 12345
    values, good = interpolate(np.full((60, 64), value, dtype), None, at, method)
    assert values.dtype == dtype
    assert good.all()
    np.testing.assert_allclose(values, value, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "complex64"])
def test_invalid_pixels_never_count(at, method, dtype):
    plane = np.full((60, 64), 50, dtype)
    valid = np.random.default_rng(1).uniform(size=plane.shape) > 0.3
    plane[~valid] = 200
    values, good = interpolate(plane, valid, at, method)
    assert 0.5 < good.mean() < 0.9
    np.testing.assert_allclose(values[good], 50, rtol=1e-5)


def test_a_pixel_is_valid_where_the_source_pixel_it_falls_into_is():
    valid = np.ones((10, 10), bool)
    valid[:, 5:] = False
    at = Positions(np.array([[4.4, 4.6, -0.4, -0.6]], np.float32), np.full((1, 4), 5, np.float32))
    for method in METHODS:
        _, good = interpolate(np.ones((10, 10), np.float32), valid, at, method)
        np.testing.assert_array_equal(good, [[True, False, True, False]])


def test_rounding_and_range():
    np.testing.assert_array_equal(as_dtype(np.array([-3.0, 1.6, 300.0]), np.dtype("uint8")), [0, 2, 255])
    np.testing.assert_array_equal(as_dtype(np.array([-3e19, 2.4]), np.dtype("int64")), [-(2**63), 2])
    assert as_dtype(np.array([1e30]), np.dtype("int64"))[0] > 2**62


def test_overshoot_is_kept_within_the_dtype():
    step = np.zeros((20, 20), np.uint8)
    step[:, 10:] = 255
    x = np.linspace(6, 14, 33, dtype=np.float32)[None]
    for method in ("cubic", "lanczos"):
        values, _ = interpolate(step, None, Positions(x, np.full_like(x, 10)), method)
        assert (np.diff(values[0, 8:25].astype(int)) >= -40).all()  # no wrap-around from 255 to 0
