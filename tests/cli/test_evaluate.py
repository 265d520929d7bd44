"""`georeg evaluate` on a benchmark of one pair, with a method that knows the answer."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from georeg_cli.main import cli

import georeg.registration
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.raster import open_scene
from georeg.registration.options import MatchOptions
from georeg.result import Quality, Registration, Tie


@pytest.fixture
def knowing(monkeypatch):
    """Replaces `register` by one that says (8, 5); what it was called with is in the list."""
    calls = []

    def register(moving, reference, options):
        calls.append((moving, reference, options))
        scene = open_scene(moving)
        matrix = np.array([[1.0, 0, 8], [0, 1, 5], [0, 0, 1]])
        points = np.array([[1.0, 2], [3, 4], [5, 6]])
        good = np.array([True, True, False])
        tie = Tie(points, points + np.array([8, 5]), np.ones(3), good, ~good, np.zeros((3, 2)))
        quality = Quality("pass", (), 0.99, 0.1, 0.1, 0.2, None, 0.9, 3, 2)
        pixel_map = PixelMap(MatrixTransform("shift", matrix), None, scene.grid)
        return Registration(scene, open_scene(reference), pixel_map, tie, quality, (), {"seed": 0})

    monkeypatch.setattr(georeg.registration, "register", register, raising=False)
    return calls


def evaluate(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)], catch_exceptions=False)


def test_the_table_and_a_line_for_each_pair(tiny_benchmark, knowing):
    done = evaluate(tiny_benchmark)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split()[:4] == ["pair", "n", "SR@3", "SR@5"]
    assert done.stdout.splitlines()[-1].split()[:5] == ["all", "1", "1.00", "1.00", "1.00"]
    assert done.stderr.startswith("one ")
    assert evaluate(tiny_benchmark, "-q").stderr == ""


def test_json_and_predictions(tiny_benchmark, knowing, tmp_path):
    done = evaluate(tiny_benchmark, "--json", "-q", "--predictions", tmp_path / "answers")
    content = json.loads(done.stdout)
    assert content["summary"]["all"]["SR@3"] == 1
    assert content["pairs"][0]["correct"] == 2
    answer = json.loads((tmp_path / "answers" / "one.json").read_text())
    assert np.allclose(answer["matrix"], [[1, 0, 8], [0, 1, 5], [0, 0, 1]])
    assert answer["matches"][0] == [8.5, 6.5, 0.5, 1.5]
    assert answer["run"]["quality"]["verdict"] == "pass"


def test_match_options_reach_the_method(tiny_benchmark, knowing):
    evaluate(tiny_benchmark, "--matcher", "structural", "--seed", "4", "--prior", "none")
    assert knowing[0][2] == MatchOptions(matcher="structural", seed=4, prior="none")


@pytest.mark.parametrize("track", ["--hard", "--geocoded", "--published"])
def test_the_other_tracks(tiny_benchmark, knowing, track):
    content = json.loads(evaluate(tiny_benchmark, track, "--json", "-q").stdout)
    assert len(content["pairs"]) == 1
    assert (content["pairs"][0]["corner_px"] > 1) == (track != "--published")


def test_choosing_pairs(tiny_benchmark, knowing):
    assert evaluate(tiny_benchmark, "--only", "one", "--limit", "1").exit_code == 0
    done = evaluate(tiny_benchmark, "--only", "two")
    assert (done.exit_code, "two" in done.stderr) == (2, True)
    done = evaluate(tiny_benchmark, "--hard", "--geocoded")
    assert (done.exit_code, "one of them at a time" in done.stderr) == (2, True)


def test_a_folder_that_is_no_benchmark(tmp_path):
    done = evaluate(tmp_path)
    assert (done.exit_code, "not a benchmark folder" in done.stderr) == (4, True)
