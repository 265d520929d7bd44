"""The figures of `georeg.evaluation` agree with the benchmark's own scoring script."""

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from georeg.evaluation import (
    Case,
    Estimate,
    evaluate,
    geocoded_cases,
    hard_cases,
    read_benchmark,
    summarise_by_modality,
)
from georeg.evaluation.metrics import corner_error_px, project

FOLDER = os.environ.get("GEOREG_BENCHMARK")
SAME_NAME = {"n": "n", "missing": "missing", "median_px": "medCE", "NCM": "NCM", "precision": "prec",
             "landmark_n": "n_lm", "landmark_rmse_px": "lmRMSE"}  # fmt: skip
SAME_NAME |= {f"{m}@{t}": f"{m}@{t}" for m in ("SR", "AUC") for t in (3, 5, 10)}

pytestmark = [
    pytest.mark.skipif(
        not FOLDER or not (Path(FOLDER) / "score.py").exists(),
        reason="GEOREG_BENCHMARK does not name a benchmark folder with score.py",
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the scripts leave their files to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def script(name):
    spec = importlib.util.spec_from_file_location(name, Path(FOLDER) / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def score_py():
    return script("score")


class Guesser:
    """Answers with the truth moved a little, a lot, or not at all; looks cases up by the moving path."""

    def __init__(self, cases: list[Case]):
        self.cases = {case.moving: case for case in cases}
        self.rng = np.random.default_rng(4)

    def __call__(self, moving: str, reference: str) -> Estimate:
        case = self.cases[moving]
        draw = self.rng.uniform()
        if draw < 0.15:
            return Estimate.nothing("not found")
        truth = np.eye(3) if case.truth is None else case.truth
        shift = np.eye(3)
        shift[:2, 2] = self.rng.normal(0, 6 * draw, 2)
        moving_xy = self.rng.uniform(0, 1, (60, 2)) * case.moving_size
        reference_xy = project(truth, moving_xy) + self.rng.normal(0, 2, (60, 2))
        return Estimate(shift @ truth, moving_xy, reference_xy)


@pytest.mark.parametrize("group", ["remote-sensing", "natural", "all"])
def test_same_figures_on_the_pairs_as_they_are(score_py, tmp_path, group):
    cases = read_benchmark(FOLDER, group)
    compare(score_py, tmp_path, cases, score_py.load_pairs("all", group, False))


def test_same_figures_on_the_hard_track(score_py, tmp_path):
    (tmp_path / "images").mkdir()
    cases = hard_cases(FOLDER, tmp_path / "images")[:6]
    pairs = score_py.load_pairs("all", "remote-sensing", True)
    compare(score_py, tmp_path, cases, {case.id: pairs[case.id] for case in cases})


def compare(score_py, folder, cases, pairs):
    ours = summarise_by_modality(evaluate(cases, Guesser(cases), predictions=folder / "predictions"))
    theirs = score_py.report(
        pairs, lambda name: score_py.read_prediction(folder / "predictions", name), quiet=True
    )
    assert {case.id for case in cases} == set(pairs)
    for name, row in theirs.items():
        mine = ours["all" if name == "OVERALL" else name]
        for key, other in SAME_NAME.items():
            assert mine.get(key) == pytest.approx(row.get(other), abs=1e-6), (name, key)


def test_the_hard_images_are_those_of_the_benchmarks_own_script(tmp_path):
    script("make_hard").materialise(tmp_path / "theirs", "all")
    (tmp_path / "ours").mkdir()
    for case in hard_cases(FOLDER, tmp_path / "ours"):
        other = cv2.imread(str(tmp_path / "theirs" / case.id / "target.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(cv2.imread(case.moving, cv2.IMREAD_UNCHANGED), other), case.id


def test_the_geocoded_errors_are_those_of_the_benchmarks_own_script(tmp_path, capsys):
    perturb = script("perturb")
    for case in geocoded_cases(FOLDER, tmp_path)[:6]:
        name, move = case.id.split(".")
        perturb.apply(name, move, tmp_path / "theirs.tif")
        with rasterio.open(case.moving) as mine, rasterio.open(tmp_path / "theirs.tif") as other:
            assert mine.transform.almost_equals(other.transform, 1e-9)
            assert np.array_equal(mine.read(), other.read())
            with rasterio.open(case.reference) as reference:
                matrix = np.array(~reference.transform @ mine.transform).reshape(3, 3)
        perturb.check(name, case.moving)
        theirs = float(capsys.readouterr().out.split(":")[1].split("px")[0])
        assert corner_error_px(matrix, case.truth, case.moving_size) == pytest.approx(theirs, abs=0.006)
