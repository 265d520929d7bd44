"""The global stage's geometry; whole registrations are in test_recipe."""

from dataclasses import replace

import numpy as np
import pytest

from georeg.geometry.transforms import MatrixTransform, apply_matrix
from georeg.matching.protocol import Correspondences
from georeg.registration import overview
from georeg.registration.frames import Frame
from georeg.registration.matchers import Round
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


class Scripted:
    """A matcher that finds the moving window shifted by what is next on its list, with this share of right matches."""

    name, weights_sha256 = "scripted", None

    def __init__(self, *answers):
        self.answers = list(answers)

    def match(self, pairs):
        shift_px, share = self.answers.pop(0)
        rng = np.random.default_rng(0)
        points = rng.uniform(20, 260, (100, 2))
        right = np.arange(100) < 100 * share
        targets = np.where(right[:, None], points + shift_px, rng.uniform(20, 260, (100, 2)))
        return [Correspondences(points, targets, np.ones(100)) for _ in pairs]


def refined(*rounds):
    window = replace(MOVING, pixels=np.random.default_rng(1).normal(size=(280, 280)).astype(np.float32))
    frame = Frame((0.0, 0.0), 1.0, (280, 280))
    return overview.refine_hypothesis(overview.Overview(window, window, frame, frame), np.eye(3), rounds)


def test_a_round_that_is_led_astray_is_dropped():
    network = Scripted((3.0, 0.9), (40.0, 0.2))
    _, matrix = refined(Round(network, 6.0), Round(network, 4.0))
    np.testing.assert_allclose(matrix[:2, 2], 3.0, atol=0.1)


def test_a_round_that_is_as_certain_is_taken():
    network = Scripted((3.0, 0.9), (1.0, 0.8))
    _, matrix = refined(Round(network, 6.0), Round(network, 4.0))
    np.testing.assert_allclose(matrix[:2, 2], 4.0, atol=0.1)


def test_another_matchers_word_counts_even_if_it_is_less_certain():
    _, matrix = refined(Round(Scripted((3.0, 0.9)), 6.0), Round(Scripted((1.0, 0.4)), 4.0))
    np.testing.assert_allclose(matrix[:2, 2], 4.0, atol=0.1)
    assert refined(Round(Scripted((3.0, 0.9)), 6.0), Round(Scripted((1.0, 0.0)), 4.0)) is None
