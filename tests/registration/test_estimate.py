import numpy as np
import pytest
import shapely

from georeg.geometry.transforms import apply_matrix
from georeg.matching.protocol import Correspondences
from georeg.registration.estimate import QUOTA, balanced, estimate, support_of
from georeg.registration.judge import PASS_FROM, Evidence, judge, probability

MATRIX = np.array([[1.01, 0.03, 7.0], [-0.02, 0.98, -5.0], [0, 0, 1]])
AREA = shapely.box(0, 0, 640, 640)
RIGHT, WRONG = (200, 0.9), (30, 0.15)


def matches(count=300, right=0.8, noise_px=0.5, seed=0):
    rng = np.random.default_rng(seed)
    moving = rng.uniform(0, 640, (count, 2))
    reference = apply_matrix(MATRIX, moving) + rng.normal(0, noise_px, (count, 2))
    wrong = np.arange(count) >= right * count
    reference[wrong] = rng.uniform(0, 640, (wrong.sum(), 2))
    return Correspondences(moving, reference, rng.uniform(0.3, 1, count))


def test_good_matches_pass_with_figures_near_the_noise():
    found = estimate(matches(), 3.0)
    quality, held, _ = judge(found, AREA, AREA.area, 1.0, 10.0, 1.0, RIGHT)
    assert quality.verdict == "pass"
    assert quality.reasons == ()
    assert quality.rmse_px == pytest.approx(0.7, abs=0.15)
    assert quality.ce90_m == pytest.approx(10 * quality.ce90_px)
    assert np.isfinite(held).sum() == quality.inliers


@pytest.mark.parametrize("seed", range(6))
def test_random_matches_never_pass(seed):
    found = estimate(matches(count=400, right=0.0, seed=seed), 3.0)
    assert found is None or judge(found, AREA, AREA.area, 1.0, None, 1.0, WRONG)[0].verdict == "fail"


def test_a_crowd_in_one_corner_does_not_pass_unwarned():
    crowd = matches(count=80, right=1.0)
    corner = Correspondences(crowd.moving_xy / 8, apply_matrix(MATRIX, crowd.moving_xy / 8), crowd.confidence)
    quality, *_ = judge(estimate(corner, 3.0), AREA, AREA.area, 1.0, None, 1.0, RIGHT)
    assert quality.verdict != "pass"
    assert any("cover only" in reason for reason in quality.reasons)


def test_a_rival_placement_is_a_reason_to_warn():
    quality, *_ = judge(estimate(matches(), 3.0), AREA, AREA.area, 1.0, None, 0.5, RIGHT)
    assert quality.verdict == "warn"
    assert "different placement" in quality.reasons[0]


def test_too_few_matches_give_no_estimate():
    assert estimate(matches(count=3, right=1.0), 3.0) is None
    assert estimate(Correspondences.empty(), 3.0) is None


def test_a_wanted_kind_is_kept():
    assert estimate(matches(), 3.0, "homography").fit.transform.kind == "homography"


def test_few_matches_far_off_tell_a_perspective_from_an_affine():
    rng = np.random.default_rng(0)
    moving = np.concatenate([rng.uniform(0, 250, (300, 2)), rng.uniform(540, 640, (20, 2))])
    perspective = np.array([[1.0, 0.02, 3.0], [-0.02, 1.0, 5.0], [3e-5, 4e-5, 1.0]])
    reference = apply_matrix(perspective, moving) + rng.normal(0, 1.5, moving.shape)
    points = Correspondences(moving, reference, np.ones(len(moving)))
    affine = estimate(points, 3.0, "affine")
    assert not affine.fit.inlier[300:].any(), "an affine explains nearly all of them, and not these"
    found = estimate(points, 3.0, independent_px=48.0)
    assert found.fit.transform.kind == "homography"
    corner = np.array([[640.0, 640.0]])
    np.testing.assert_allclose(found.fit.transform(corner), apply_matrix(perspective, corner), atol=1.0)


def test_balancing_keeps_the_surest_of_each_cell():
    rng = np.random.default_rng(0)
    spread, crowd = rng.uniform(0, 640, (100, 2)), rng.uniform(0, 20, (500, 2))
    at = np.concatenate([spread, crowd])
    confidence = rng.uniform(0, 1, 600)
    kept = balanced(Correspondences(at, at, confidence))
    in_corner = (kept.reference_xy < 20).all(1)
    assert in_corner.sum() <= QUOTA
    assert len(kept) >= 90
    assert kept.confidence[in_corner].min() > np.median(confidence)


def test_support_counts_cells_not_crowds():
    rng = np.random.default_rng(0)
    spread, crowd = rng.uniform(0, 640, (60, 2)), rng.uniform(0, 40, (60, 2))
    frame = np.array([[0.0, 0.0], [640.0, 640.0]])
    assert support_of(spread, frame) > 4 * support_of(crowd, frame)


def test_probability_rises_with_the_evidence_and_is_zero_without_any():
    values = [probability(Evidence(n, 0.8, n / 200, n / 150, n, 0.8, 1.0, 1.0)) for n in (4, 10, 40, 120)]
    assert values == sorted(values)
    assert values[0] == 0.0
    assert values[-1] > PASS_FROM


def test_matches_that_do_not_come_back_are_a_reason_to_fail():
    quality, *_ = judge(estimate(matches(), 3.0), AREA, AREA.area, 1.0, None, 1.0, WRONG)
    assert quality.verdict == "fail"
    assert any("searched for anew" in reason for reason in quality.reasons)


def test_shares_count_by_confidence():
    points = Correspondences(np.zeros((4, 2)), np.zeros((4, 2)), np.array([0.6, 0.2, 0.1, 0.1]))
    assert points.share(np.array([True, False, False, True])) == pytest.approx(0.7)
    assert Correspondences.empty().share(np.zeros(0, bool)) == 0.0
