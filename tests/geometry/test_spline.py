import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from georeg.geometry import spline
from georeg.geometry.spline import Spline

RNG = np.random.default_rng(3)
CENTRES, VALUES = RNG.uniform(-1, 1, (80, 2)), RNG.normal(0, 2, (80, 2))
POINTS = RNG.uniform(-1.5, 1.5, (500, 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 10.0])
def test_it_is_the_spline_that_scipy_makes(smoothing):
    scipys = RBFInterpolator(CENTRES, VALUES, smoothing=smoothing)
    assert np.allclose(Spline(CENTRES, VALUES, smoothing)(POINTS), scipys(POINTS), atol=1e-8)


def test_it_passes_through_its_values_and_keeps_a_plane():
    plane = CENTRES @ np.array([[2.0, 0.5], [-1.0, 3.0]]) + (7, -4)
    assert np.allclose(Spline(CENTRES, VALUES)(CENTRES), VALUES, atol=1e-8)
    expected = POINTS @ np.array([[2.0, 0.5], [-1.0, 3.0]]) + (7, -4)
    assert np.allclose(Spline(CENTRES, plane)(POINTS), expected, atol=1e-8)


def test_points_are_taken_in_blocks(monkeypatch):
    whole = Spline(CENTRES, VALUES)(POINTS)
    monkeypatch.setattr(spline, "BLOCK_VALUES", 7 * len(CENTRES))
    assert np.allclose(Spline(CENTRES, VALUES)(POINTS), whole, atol=1e-12)
    assert Spline(CENTRES, VALUES)(np.zeros((0, 2))).shape == (0, 2)


def test_centres_on_a_line_are_refused():
    line = np.column_stack([np.arange(8.0), np.zeros(8)])
    with pytest.raises(np.linalg.LinAlgError):
        Spline(line, line)
