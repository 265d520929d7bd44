import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import (
    KINDS,
    MATRIX_KINDS,
    MINIMUM_POINTS,
    MatrixTransform,
    apply_matrix,
    fit_matrix,
    fit_transform,
    transform_from_json,
)
from georeg.scene import Grid

RNG = np.random.default_rng(0)
SQUARE = RNG.uniform(0, 1000, (60, 2))


def bent(points):
    """A quadratic distortion of up to 4 px around a rotation by 20 degrees."""
    x, y = (points - 500).T / 500
    turned = points @ np.array([[0.94, 0.34], [-0.34, 0.94]]) + (30, -12)
    return turned + 2 * np.stack([x * x - x * y, y * y], 1)


def test_a_similarity_is_recovered_from_its_own_points():
    matrix = np.array([[0.8, -0.6, 12.0], [0.6, 0.8, -7.0], [0, 0, 1]])
    assert np.allclose(fit_matrix("similarity", SQUARE, apply_matrix(matrix, SQUARE)), matrix, atol=1e-9)


def test_a_homography_is_recovered_far_from_the_origin():
    matrix = np.array([[1.1, 0.2, 500.0], [-0.1, 0.9, 90.0], [1e-5, -2e-5, 1]])
    far = SQUARE + 40_000
    assert np.allclose(
        apply_matrix(fit_matrix("homography", far, apply_matrix(matrix, far)), far), apply_matrix(matrix, far)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_forth_and_back(kind):
    transform = fit_transform(kind, SQUARE, bent(SQUARE))
    inner = RNG.uniform(100, 900, (40, 2))
    assert transform.kind == kind
    assert np.abs(transform.inverse(transform(inner)) - inner).max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_json_gives_the_same_transform_again(kind):
    transform = fit_transform(kind, SQUARE, bent(SQUARE))
    assert np.allclose(transform_from_json(transform.to_json())(SQUARE), transform(SQUARE), atol=1e-9)


@pytest.mark.parametrize(("kind", "worst_px"), [("polynomial2", 1e-6), ("polynomial3", 1e-6), ("tps", 1.5)])
def test_bending_kinds_follow_a_distortion(kind, worst_px):
    inner = RNG.uniform(200, 800, (40, 2))
    assert np.abs(fit_transform(kind, SQUARE, bent(SQUARE))(inner) - bent(inner)).max() < worst_px


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_points_are_refused(kind):
    few = SQUARE[: MINIMUM_POINTS[kind] - 1]
    with pytest.raises(ValueError, match="needs"):
        fit_transform(kind, few, few)


@pytest.mark.parametrize("kind", ["affine", "homography", "polynomial2"])
def test_points_on_a_line_are_refused(kind):
    line = np.stack([np.arange(30.0), 2 * np.arange(30.0)], 1)
    with pytest.raises(ValueError, match="determine"):
        fit_transform(kind, line, line)


def test_weights_of_zero_take_an_outlier_out():
    target = SQUARE + (3, 4)
    target[0] += 500
    weights = np.ones(len(SQUARE))
    weights[0] = 0
    assert np.allclose(fit_matrix("affine", SQUARE, target, weights)[:2, 2], (3, 4))


def test_points_beyond_the_horizon_become_infinite():
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    mapped = apply_matrix(matrix, np.array([[50.0, 0.0], [150.0, 0.0]]))
    assert np.isfinite(mapped[0]).all()
    assert np.isinf(mapped[1]).all()


def test_an_unknown_kind_in_json_is_refused():
    with pytest.raises(ValueError, match="unknown transform kind"):
        transform_from_json({"kind": "spherical"})


@given(
    st.floats(-3.1, 3.1), st.floats(0.4, 2.5), st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    st.sampled_from(MATRIX_KINDS[1:]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_richer_matrix_kinds_contain_the_similarity(angle, scale, shift, kind):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix = np.array([[c, -s, shift[0]], [s, c, shift[1]], [0, 0, 1]])
    target = apply_matrix(matrix, SQUARE)
    assert np.abs(apply_matrix(fit_matrix(kind, SQUARE, target), SQUARE) - target).max() < 1e-5


def test_a_pixel_map_applies_the_prior_first():
    prior = MatrixTransform("affine", np.array([[2.0, 0, 5], [0, 2, 6], [0, 0, 1]]))
    shift = MatrixTransform("shift", np.array([[1.0, 0, 10], [0, 1, -10], [0, 0, 1]]))
    mapped = PixelMap(shift, prior, Grid(100, 80))
    assert np.allclose(mapped(np.array([[1.0, 1.0]])), [[17.0, -2.0]])
    assert np.allclose(mapped.inverse(mapped(SQUARE)), SQUARE)
    assert np.allclose(mapped.matrix, shift.matrix @ prior.matrix, atol=1e-9)
    assert mapped.to_json()["prior"] == "geocoding"
