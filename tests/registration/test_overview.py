"""The global stage's geometry; whole registrations are in test_recipe."""

import numpy as np
import pytest

from georeg.geometry.transforms import MatrixTransform, apply_matrix
from georeg.matching.protocol import Correspondences
from georeg.registration import overview
from georeg.scene import Modality, Patch

MOVING = Patch(np.zeros((280, 280), np.float32), np.ones((280, 280), bool), Modality.SAR)


def test_a_fit_that_tears_the_image_apart_gives_way_to_an_affine():
    tearing = np.array([[1.0, 0.1, 5.0], [0.0, 1.0, 3.0], [0.0022, 0.0, 1.0]])
    points = np.random.default_rng(0).uniform(0, 280, (150, 2))
    matches = Correspondences(points, apply_matrix(tearing, points), np.ones(150))
    freest = overview.estimate(matches, 6.0)
    assert freest.fit.transform.kind == "homography"
    assert not overview._sane(freest.fit.transform.matrix, MOVING)
    found, matrix = overview._fitted(matches, 6.0, MOVING)
    assert isinstance(found.fit.transform, MatrixTransform)
    assert found.fit.transform.kind == "affine"
    assert overview._sane(matrix, MOVING)


def test_too_few_matches_are_no_fit():
    points = np.random.default_rng(0).uniform(0, 280, (5, 2))
    assert overview._fitted(Correspondences(points, points, np.ones(5)), 6.0, MOVING) is None


@pytest.mark.parametrize(("shift_px", "different"), [(20.0, False), (30.0, True)])
def test_rough_placements_of_the_same_spot_do_not_contradict(shift_px, different):
    shifted = np.array([[1.0, 0.0, shift_px], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert overview._differ(np.eye(3), shifted, MOVING) == different
