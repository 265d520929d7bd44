"""Which of two answers is believed, and what both say together."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from georeg.geometry.transforms import MatrixTransform
from georeg.matching.protocol import Correspondences
from georeg.registration import MatchOptions, opinions
from georeg.registration.detail import Detail, pooled
from georeg.registration.estimate import estimate
from georeg.registration.judge import nothing_found
from georeg.result import Registration


def answer(dx, probability, verdict, size=640):
    """A registration of two scenes of this size that differs from the truth by dx reference pixels."""
    grid = SimpleNamespace(
        width=size, height=size // 2, corners_xy=np.array([[0.0, 0], [size, 0], [size, 300], [0, 300]])
    )
    scene = SimpleNamespace(grid=grid)
    quality = replace(nothing_found(0, "as given"), probability_correct=probability, verdict=verdict)
    transform = None if dx is None else lambda points: points + [dx, 0.0]
    return Registration(scene, scene, transform, None, quality, (), {})


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ((0.0, 0.9, "warn"), (30.0, 0.8, "warn"), 0),
        ((0.0, 0.9, "warn"), (30.0, 0.97, "pass"), 1),
        ((0.0, 0.9, "warn"), (3.0, 0.97, "pass"), 0),
        ((0.0, 0.3, "fail"), (3.0, 0.97, "pass"), 1),
        ((None, 0.0, "fail"), (3.0, 0.97, "pass"), 1),
        ((0.0, 0.3, "fail"), (None, 0.0, "fail"), 0),
    ],
)
def test_which_of_two_answers_is_taken(first, second, chosen):
    answers = answer(*first), answer(*second)
    assert opinions.surer(*answers).transform is answers[chosen].transform


@pytest.mark.parametrize(("first", "verdict"), [(30.0, "warn"), (4.0, "pass"), (None, "pass")])
def test_an_answer_that_another_matcher_contradicts_is_not_passed(first, verdict):
    found = opinions.surer(answer(first, 0.1, "fail"), answer(0.0, 0.97, "pass"))
    assert found.quality.verdict == verdict
    assert any("30 px" in reason for reason in found.quality.reasons) == (first == 30.0)


def test_a_contradiction_is_measured_on_the_scene():
    assert opinions.apart_px(answer(0.0, 1, "pass", 6400), answer(50.0, 1, "pass", 6400)) == pytest.approx(
        5.0
    )


@pytest.mark.parametrize(
    ("dx", "size", "step", "same"),
    [
        (9.0, 640, 1.0, True),
        (11.0, 640, 1.0, False),
        (11.0, 640, 2.0, False),
        (11.0, 6400, 1.0, False),
        (11.0, 6400, 2.0, True),
        (None, 640, 1.0, False),
    ],
)
def test_answers_agree_on_the_whole_scene_and_at_full_detail(dx, size, step, same):
    first, second = answer(0.0, 0.9, "warn", size), answer(dx, 0.9, "warn", size)
    assert opinions.agree(first, second, step) == same


def test_both_together_are_believed_as_the_better_one_was():
    best, together = answer(0.0, 0.8, "warn"), answer(1.0, 0.99, "pass")
    found = opinions.as_probable_as(best, together)
    assert found.transform is together.transform
    assert (found.quality.verdict, found.quality.probability_correct) == ("warn", 0.8)
    assert opinions.as_probable_as(best, answer(None, 0.0, "fail")) is best


TRUTH = MatrixTransform("affine", np.array([[0.98, 0.05, 12.0], [-0.04, 1.02, -7.0], [0.0, 0.0, 1.0]]))


def detail(seed, count, noise_px, wrong=0):
    """The tile stage's result: matches of TRUTH with noise, and some that are wrong."""
    rng = np.random.default_rng(seed)
    source = rng.uniform(0, 600, (count + wrong, 2))
    target = TRUTH(source) + rng.normal(scale=noise_px, size=source.shape)
    target[count:] = rng.uniform(0, 600, (wrong, 2))
    found = Detail(None, TRUTH, None, 1.0)
    found.found = estimate(Correspondences(source, target, np.ones(count + wrong)), 3.0)
    found.matches = count + wrong
    found.tiles = [(None, count + wrong)]
    return found


def test_of_the_second_matcher_only_what_agreed_is_pooled():
    first, second = detail(0, 40, 0.7), detail(1, 300, 0.7, wrong=200)
    together = pooled(first, second, MatchOptions())
    points = together.found.points
    assert len(points) == len(first.found.points) + second.found.fit.inliers
    assert (together.matches, len(together.tiles)) == (540, 2)
    corners = np.array([[0.0, 0.0], [600.0, 0.0], [600.0, 600.0], [0.0, 600.0]])

    def error(one):
        return np.linalg.norm(one.found.fit.transform(corners) - TRUTH(corners), axis=1).mean()

    assert error(together) < 0.3
    assert error(together) < error(first)
