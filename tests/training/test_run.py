"""Training through its real entry point."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from georeg.errors import InputError, ResourceError, UsageError
from georeg.network.state import load_network, load_state
from georeg.network.weights import find_weights
from georeg.training import Stage, TrainingConfig, TrainOptions, train
from georeg.training.run import network_of

from ..conftest import full_disk
from ..rasters import write

ROOT = Path(__file__).parents[2]


def log_of(run, kind="train"):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def losses(run):
    return [line["coarse"] for line in log_of(run)]


def options(config_file, **more):
    return TrainOptions(config=config_file, device="cpu", **more)


def test_a_run_leaves_weights_log_and_curves(scenes, config_file, tmp_path):
    outcome = train(scenes, tmp_path / "run", options(config_file))
    assert (outcome.reason, outcome.steps) == ("finished", 8)
    assert [line["stage"] for line in log_of(tmp_path / "run")] == ["pretrain"] * 4 + ["finetune"] * 4
    assert log_of(tmp_path / "run", "validation")[0]["coarse"] > 0
    weights = find_weights(tmp_path / "run" / "weights.safetensors")
    assert weights.notes["pairs"] == "16"
    load_network(weights)
    assert (tmp_path / "run" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_resuming_gives_the_same_numbers(scenes, config_file, tmp_path):
    train(scenes, tmp_path / "whole", options(config_file))
    first = train(scenes, tmp_path / "parts", options(config_file, max_steps=3))
    assert (first.reason, first.steps) == ("limit", 3)
    for steps in (2, 10):
        train(scenes, tmp_path / "parts", TrainOptions(resume=True, device="cpu", max_steps=steps))
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    whole, parts = (
        load_state(find_weights(tmp_path / r / "weights.safetensors")) for r in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_loss_falls(scenes, tmp_path):
    stage = Stage("pretrain", 40, batch=4, crop_px=96, warmup=5, learning_rate=2e-3, appearance=False,
                  real_share=0.0, largest_turn_deg=5.0, far_share=0.0)  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(TrainingConfig(stages=(stage,), log_every=1, validate_every=1000).to_json())
    train(scenes, tmp_path / "run", options(path))
    found = losses(tmp_path / "run")
    assert sum(found[-5:]) < 0.85 * sum(found[:5])


def test_weights_alone_are_enough_to_go_on(scenes, config_file, tmp_path):
    train(scenes, tmp_path / "first", options(config_file, max_steps=2))
    weights = tmp_path / "first" / "weights.safetensors"
    train(scenes, tmp_path / "second", options(config_file, init=weights, max_steps=1))
    before, after = (
        load_state(find_weights(tmp_path / r / "weights.safetensors")) for r in ("first", "second")
    )
    change = max((before[n] - after[n]).abs().max() for n in before if "norm" not in n and "batches" not in n)
    assert 0 < change < 0.1


def test_a_signal_saves_and_stops(scenes, config_file, tmp_path):
    config = TrainingConfig.from_json(config_file.read_text())
    config_file.write_text(replace(config, stages=(replace(config.stages[0], steps=5000),)).to_json())
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
    outcome = train(scenes, tmp_path / "run", options(config_file))
    assert outcome.reason == "interrupted"
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert saved["step"] == outcome.steps < 5000


def run_python(start, scenes, config_file, steps, **environment):
    """`python START scenes -o run` for some steps in a process of its own, beside the config file."""
    arguments = [scenes, "-o", "run", "--config", config_file, "--device", "cpu", "--max-steps", steps]
    done = subprocess.run(
        [sys.executable, *start, *map(str, arguments)], cwd=config_file.parent, capture_output=True, text=True,
        env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_two_processes(scenes, config_file, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "georeg.training"]
    paths = os.pathsep.join([str(ROOT), *sys.path])
    run_python(torchrun, scenes, config_file, 3, OMP_NUM_THREADS="1", PYTHONPATH=paths)
    saved = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert len(saved["processes"]) == 2
    draws = [part["engine"]["draw"]["parameters"] for part in saved["processes"]]
    assert not torch.equal(*draws), "each process draws its own pairs"
    assert find_weights(tmp_path / "run" / "weights.safetensors").notes["pairs"] == "12"


BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'rasterio', 'shapely', 'cv2', 'scipy', 'pyogrio', 'click'}:
            raise ModuleNotFoundError(f'{name} is blocked', name=name)
sys.meta_path.insert(0, Blocker())
from georeg.training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_only_a_few_packages_are_needed(scenes, config_file):
    done = run_python(["-c", BLOCKER], scenes, config_file, 1, PYTHONPATH=str(ROOT))
    assert "run: 1 steps, limit" in done.stdout


def test_what_needs_rasterio_says_so(scenes, config_file, tmp_path):
    """A raster that Pillow cannot read, where rasterio is not installed."""
    for place in scenes.rglob("*.png"):
        shutil.copy(place, tmp_path)
    write(tmp_path / "bands.tif", np.ones((5, 160, 160), np.float32))
    done = run_python(["-c", BLOCKER], tmp_path, config_file, 1, PYTHONPATH=str(ROOT))
    assert "skipped 1 (needs rasterio, which is not installed): bands.tif" in done.stderr


def test_a_larger_network_begins_with_a_smaller_ones_weights(scenes, config_file, tmp_path):
    train(scenes, tmp_path / "first", options(config_file, max_steps=2))
    weights = tmp_path / "first" / "weights.safetensors"
    config_file.write_text(config_file.read_text().replace('"network": "tiny"', '"network": "small"'))
    outcome = train(scenes, tmp_path / "second", options(config_file, init=weights, max_steps=2))
    assert outcome.steps == 2
    grown = find_weights(tmp_path / "second" / "weights.safetensors")
    assert grown.config.name == "small"
    before, after = load_state(find_weights(weights)), load_state(grown)
    layer = "interaction.cross_layers.0.query.weight"
    assert torch.allclose(after[layer][:96, :96], before[layer], atol=0.02), "it went on from there"
    assert after[layer].shape == (144, 144)


def test_the_network_is_that_of_the_weights(scenes, config_file, tmp_path):
    train(scenes, tmp_path / "run", options(config_file, max_steps=1))
    assert network_of(tmp_path / "run" / "weights.safetensors") == "tiny"
    assert network_of(None) == "small"


def test_another_config_cannot_be_resumed(scenes, config_file, tmp_path):
    run = tmp_path / "run"
    train(scenes, run, options(config_file, max_steps=1))
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"weight_decay": 0.02', '"weight_decay": 0.5'))
    with pytest.raises(InputError, match="another training config"):
        train(scenes, run, TrainOptions(resume=True, device="cpu"))
    (run / "config.json").write_text(text.replace('"network": "tiny"', '"network": "base"'))
    with pytest.raises(InputError, match="another network config"):
        train(scenes, run, TrainOptions(resume=True, device="cpu"))


def test_damaged_checkpoint(scenes, config_file, tmp_path):
    run = tmp_path / "run"
    train(scenes, run, options(config_file, max_steps=1))
    (run / "checkpoint.pt").write_bytes((run / "checkpoint.pt").read_bytes()[:500])
    with pytest.raises(InputError, match="cannot be read"):
        train(scenes, run, TrainOptions(resume=True, device="cpu"))


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"stages": ("nonsense",)}, UsageError, "no stage is called nonsense"),
        ({"network": "huge"}, UsageError, "is for network 'tiny'"),
        ({"init": "a", "resume": True}, UsageError, "give one of them"),
        ({"init": "nowhere.safetensors"}, UsageError, "no weights"),
        ({"resume": True}, InputError, "holds no run to resume: .*--resume"),
        ({"manifest": "nowhere.csv"}, InputError, r"manifest nowhere.csv \(No such file.*check the path"),
    ],
)
def test_contradicting_options(scenes, config_file, tmp_path, more, error, message):
    with pytest.raises(error, match=message):
        train(scenes, tmp_path / "run", options(config_file, **more))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, InputError, r"config.json \(No such file or directory\): check the path"),
        ("no json", UsageError, "config.json is not a training config"),
        (b"\x89PNG", UsageError, "config.json is not a training config"),
        ('{"stages": [{"name": "x", "steps": "many"}]}', UsageError, "steps is 'many', no number"),
        ('{"bogus": 1}', UsageError, "bogus"),
        (
            '{"network": "huge", "stages": [{"name": "x", "steps": 1}]}',
            UsageError,
            "choose one of tiny, small, base",
        ),
        ("{}", UsageError, "has no stage"),
    ],
)
def test_a_config_that_is_none(scenes, tmp_path, content, error, message):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(error, match=message):
        train(scenes, tmp_path / "run", options(path))


@pytest.mark.parametrize("run", ["/proc/run", "{here}/file", "{here}/file/run"])
def test_a_folder_that_takes_no_run_is_found_out_before_the_archive_is_read(tmp_path, config_file, run):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be the folder of a run .*: choose another"):
        train("no archive", run.format(here=tmp_path), options(config_file))


def test_a_run_is_not_begun_in_another_ones_folder_nor_its_archive_read(tmp_path, config_file):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_text("precious")
    with pytest.raises(UsageError, match="holds a run already"):
        train("no archive", tmp_path / "run", options(config_file))
    assert (tmp_path / "run" / "checkpoint.pt").read_text() == "precious"


def test_a_full_disk_while_the_checkpoint_is_written(scenes, config_file, tmp_path):
    run = tmp_path / "run"
    train(scenes, run, options(config_file, max_steps=1))
    before = (run / "checkpoint.pt").read_bytes()
    with full_disk(len(before) // 2), pytest.raises(ResourceError, match="last good one is still there"):
        train(scenes, run, TrainOptions(resume=True, device="cpu", max_steps=1))
    assert (run / "checkpoint.pt").read_bytes() == before
    assert not list(run.glob("*.part"))


def test_no_usable_image(tmp_path, config_file):
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "broken.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no usable image"):
        train(tmp_path / "scenes", tmp_path / "new" / "run", options(config_file))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_there_stays_and_so_does_what_it_holds(tmp_path, config_file):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError):
        train("no archive", tmp_path / "run", options(config_file))
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    with pytest.raises(InputError):
        train("no archive", tmp_path, options(config_file))
    assert (tmp_path / "run").exists()


def test_useless_files_are_named(scenes, config_file, tmp_path):
    told = []
    train(scenes, tmp_path / "run", options(config_file, max_steps=1), note=told.append)
    assert "broken.png" in told[0]
