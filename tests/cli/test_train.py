import json

import numpy as np
import pytest
from click.testing import CliRunner
from georeg_cli.main import cli
from PIL import Image

from georeg.network.weights import find_weights
from georeg.training import Stage, TrainingConfig


@pytest.fixture
def scenes(tmp_path):
    for source in ("a", "b"):
        (tmp_path / "scenes" / "optical" / source).mkdir(parents=True)
        for index in range(2):
            pixels = (
                np.random.default_rng(index).integers(0, 255, (16, 16), np.uint8).repeat(10, 0).repeat(10, 1)
            )
            Image.fromarray(pixels).save(tmp_path / "scenes" / "optical" / source / f"{index}.png")
    stage = Stage("finetune", 4, batch=2, crop_px=64, warmup=1)
    config = TrainingConfig(stages=(stage,), log_every=1, validate_every=100, validation_batches=1)
    (tmp_path / "config.json").write_text(config.to_json())
    return tmp_path


def georeg_train(folder, *arguments):
    return CliRunner().invoke(cli, ["train", *map(str, arguments)], standalone_mode=False)


def test_slices_of_a_run(scenes):
    run = scenes / "run"
    common = (scenes / "scenes", "-o", run, "--device", "cpu", "-j", "1")
    first = georeg_train(scenes, *common, "--config", scenes / "config.json", "--max-steps", "1")
    assert first.exception is None, first.exception
    assert "1 steps, limit" in first.stdout
    assert "--resume" in first.stderr
    second = georeg_train(scenes, *common, "--resume", "--json")
    assert json.loads(second.stdout)["reason"] == "finished"
    assert (run / "weights.safetensors").exists()


def test_contact_sheet(scenes):
    sheet = scenes / "sheet.png"
    done = georeg_train(scenes, scenes / "scenes", "--preview", sheet)
    assert done.exception is None, done.exception
    with Image.open(sheet) as picture:
        assert picture.width > 200


def test_a_contact_sheet_costs_no_file(scenes):
    sheet = scenes / "sheet.png"
    sheet.write_text("precious")
    for wrong, word in (
        (sheet, "--overwrite"),
        (scenes / "sheet.jpg", ".png"),
        (scenes / "no" / "s.png", "folder"),
    ):
        done = georeg_train(scenes, scenes / "scenes", "--preview", wrong)
        assert word in str(done.exception)
    assert sheet.read_text() == "precious"
    done = georeg_train(scenes, scenes / "scenes", "--preview", sheet, "--overwrite")
    assert done.exception is None, done.exception
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


def test_a_run_needs_a_folder(scenes):
    done = georeg_train(scenes, scenes / "scenes")
    assert "-o RUN" in str(done.exception)


def test_a_benchmark_that_is_none_is_told_at_once(scenes):
    done = georeg_train(scenes, scenes / "scenes", "-o", scenes / "run", "--benchmark", scenes)
    assert "not a benchmark folder" in str(done.exception)
    assert not (scenes / "run").exists()


def test_a_benchmark_is_scored_at_each_validation(scenes, tiny_benchmark, monkeypatch):
    config = json.loads((scenes / "config.json").read_text())
    (scenes / "config.json").write_text(json.dumps(config | {"validate_every": 1}))
    asked = []

    def figures(folder, weights):
        asked.append((folder, find_weights(weights).notes["steps"]))
        return {"SR@5": 0.25}

    monkeypatch.setattr("georeg_cli.train.benchmark_figures", figures)
    run = scenes / "run"
    common = (scenes / "scenes", "-o", run, "--device", "cpu", "-j", "1", "--config", scenes / "config.json")
    done = georeg_train(scenes, *common, "--max-steps", "2", "--benchmark", tiny_benchmark, "--json")
    assert done.exception is None, done.exception
    assert asked == [(str(tiny_benchmark), "1"), (str(tiny_benchmark), "2")]
    assert json.loads(done.stdout)["validation"]["SR@5"] == 0.25
