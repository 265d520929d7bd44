"""Scores with known answers, and the benchmark reader on a folder made here."""

import json

import cv2
import numpy as np
import pytest
import rasterio

from georeg.errors import InputError, NotRegistrableError, ResourceError
from georeg.evaluation import (
    Case,
    Estimate,
    evaluate,
    geocoded_cases,
    hard_cases,
    read_benchmark,
    score_line,
    scores_json,
    summarise_by_modality,
    table_text,
)
from georeg.evaluation.benchmark import matrix_from_centres, matrix_to_centres
from georeg.evaluation.metrics import auc, corner_error_px, project, score, summarise

SHIFT = np.array([[1.0, 0, 7], [0, 1, -3], [0, 0, 1]])


def shifted(by_px, matrix=SHIFT):
    return np.array([[1.0, 0, by_px], [0, 1, 0], [0, 0, 1]]) @ matrix


def case(name="a", truth=SHIFT, scale=1.0, landmarks=None, pair="sar-optical"):
    marks = np.zeros((0, 4)) if landmarks is None else landmarks
    return Case(name, pair, f"{name}_moving", f"{name}_reference", (100, 80), truth, marks, scale)


def answer(matrix, points=0, **changes):
    moving_xy = np.random.default_rng(0).uniform(0, 80, (points, 2))
    return Estimate(matrix, moving_xy, project(SHIFT, moving_xy) if points else moving_xy, **changes)


class TestCornerError:
    def test_truth_is_zero_and_a_shift_is_its_length(self):
        assert corner_error_px(SHIFT, SHIFT, (100, 80)) == 0
        assert corner_error_px(shifted(4), SHIFT, (100, 80)) == pytest.approx(4)

    def test_a_rotation_about_the_first_corner_moves_the_others(self):
        turn = np.radians(1)
        matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        arm = np.hypot([0.5, 99.5, 99.5, 0.5], [0.5, 0.5, 79.5, 79.5])
        expected = (2 * np.sin(turn / 2) * arm).mean()
        assert corner_error_px(matrix, np.eye(3), (100, 80)) == pytest.approx(expected)

    def test_nothing_and_a_horizon_through_the_image_are_infinite(self):
        assert corner_error_px(None, SHIFT, (100, 80)) == np.inf
        folded = np.array([[1.0, 0, 0], [0, 1, 0], [-0.02, 0, 1]])
        assert corner_error_px(folded, SHIFT, (100, 80)) == np.inf


class TestScore:
    def test_errors_are_scaled_to_the_long_side(self):
        assert score(case(scale=0.5), answer(shifted(4)), 1.0).corner_px == pytest.approx(2)

    @pytest.mark.parametrize("bad", [np.full((3, 3), np.nan), np.zeros((3, 3)), np.eye(2), None])
    def test_unusable_matrices_are_failures(self, bad):
        assert score(case(), answer(bad), 1.0).corner_px == np.inf

    def test_a_refusal_is_a_failure_but_its_error_is_kept(self):
        got = score(case(), answer(shifted(4), verdict="fail"), 1.0)
        assert got.corner_px == np.inf
        assert got.unjudged_px == pytest.approx(4)
        assert not got.false_confidence

    @pytest.mark.parametrize(("off", "verdict", "false"), [(11, "pass", 1), (11, "warn", 0), (9, "pass", 0)])
    def test_false_confidence_is_a_pass_beyond_ten_pixels(self, off, verdict, false):
        assert score(case(), answer(shifted(off), verdict=verdict), 1.0).false_confidence == bool(false)

    def test_matches_count_when_they_are_off_by_less_than_three_pixels(self):
        moving_xy = np.array([[10.0, 10], [20, 20], [30, 30], [40, 40]])
        off = np.array([[0.0, 0], [2.9, 0], [0, 3.1], [50, 0]])
        got = score(case(), Estimate(SHIFT, moving_xy, project(SHIFT, moving_xy) + off), 1.0)
        assert (got.correct, got.precision) == (2, 0.5)

    def test_landmark_pairs_have_an_rmse_only(self):
        moving_xy = np.array([[10.0, 10], [20, 30]])
        marks = np.hstack([moving_xy, moving_xy + np.array([3, 4])])
        got = score(case(truth=None, landmarks=marks), answer(np.eye(3)), 1.0)
        assert got.corner_px is None
        assert got.landmark_rmse_px == pytest.approx(5)


def test_auc_is_the_integral_of_the_recall_curve():
    assert auc([0, 0], 3) == 1
    assert auc([np.inf, 0], 3) == 0.5
    assert auc([1, 4, 10], 5) == pytest.approx((0.8 + 0.2 + 0) / 3)


def test_summary_counts_rates_and_medians():
    answers = [answer(shifted(by), points=5) for by in (1, 4, 20)] + [Estimate.nothing("no texture")]
    got = summarise([score(case(), given, seconds) for seconds, given in enumerate(answers)])
    assert (got["n"], got["missing"]) == (4, 1)
    assert (got["SR@3"], got["SR@5"], got["SR@10"]) == (0.25, 0.5, 0.5)
    assert got["false_confidence"] == 0.25
    assert got["seconds"] == 1.5
    assert got["NCM"] == 15 / 4


def test_a_method_that_raises_fails_its_pair_only(tmp_path, caplog):
    def estimate(moving, reference):
        if moving.startswith("a"):
            raise NotRegistrableError("no overlap")
        if moving.startswith("b"):
            raise RuntimeError("bug")
        return answer(SHIFT, points=3)

    got = evaluate([case("a"), case("b"), case("c", pair="map-optical")], estimate, predictions=tmp_path)
    assert [item.verdict for item in got] == ["fail", "error", "pass"]
    assert "bug" in got[1].reason
    assert json.loads((tmp_path / "a.json").read_text())["matrix"] is None
    stored = np.array(json.loads((tmp_path / "c.json").read_text())["matrix"])
    assert np.allclose(stored, matrix_to_centres(SHIFT))
    assert "map-optical" in table_text(got)
    assert "no overlap" in score_line(got[0])
    plain = json.loads(json.dumps(scores_json(got), allow_nan=False))
    assert plain["summary"]["all"]["n"] == 3
    assert summarise_by_modality(got)["map-optical"]["SR@3"] == 1


def test_lost_memory_ends_the_run():
    def estimate(moving, reference):
        raise ResourceError("out of memory")

    with pytest.raises(ResourceError):
        evaluate([case()], estimate)


def test_centres_and_corners_differ_by_half_a_pixel():
    scaling = np.diag(
        [2.0, 2, 1]
    )  # centre (0, 0) stays centre (0, 0): the corner (-0.5, -0.5) goes to (-1, -1)
    assert np.allclose(matrix_from_centres(scaling) @ [0, 0, 1], [-0.5, -0.5, 1])
    assert np.allclose(matrix_to_centres(matrix_from_centres(scaling)), scaling)


def test_pairs_are_read_in_corner_pixels(tiny_benchmark):
    [one] = read_benchmark(tiny_benchmark)
    assert one.scale == 10
    assert one.moving_size == (40, 30)
    assert np.allclose(one.truth, [[1, 0, 8], [0, 1, 5], [0, 0, 1]])
    assert np.allclose(one.landmarks, [[0.5, 0.5, 8.5, 5.5]])
    assert read_benchmark(tiny_benchmark, "natural") == []
    assert len(read_benchmark(tiny_benchmark, published=True)) == 1


def test_the_hard_image_has_the_recipes_size_and_truth(tiny_benchmark, tmp_path):
    [one] = hard_cases(tiny_benchmark, tmp_path)
    assert cv2.imread(one.moving, cv2.IMREAD_UNCHANGED).shape == (15, 20)
    assert np.allclose(project(one.truth, np.array([[0.5, 0.5]])), [[8.5, 5.5]])


def test_a_moved_geotiff_is_wrong_by_the_move(tiny_benchmark, tmp_path):
    [one] = geocoded_cases(tiny_benchmark, tmp_path)
    assert one.id == "geo.p0"
    with rasterio.open(one.moving) as moving, rasterio.open(one.reference) as reference:
        stated = np.array(~reference.transform @ moving.transform).reshape(3, 3)
        assert moving.crs == reference.crs
    assert corner_error_px(stated, one.truth, one.moving_size) == pytest.approx(5)


def test_a_folder_that_is_no_benchmark_says_so(tmp_path):
    with pytest.raises(InputError, match="is not a benchmark folder"):
        read_benchmark(tmp_path)
    with pytest.raises(InputError, match="no geocoded pairs"):
        geocoded_cases(tmp_path, tmp_path)
