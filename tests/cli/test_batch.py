"""`georeg batch` as a shell sees it; the pairs fail at once, for their files are not there."""

import csv
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from georeg_cli.batch import make_executor
from georeg_cli.main import cli

from georeg.archive import machine
from georeg.registration.options import MatchOptions


def run(*arguments, stdin=""):
    return CliRunner().invoke(cli, ["batch", *map(str, arguments)], input=stdin)


@pytest.fixture
def missing(tmp_path):
    """A list of two pairs whose images are missing."""
    table = tmp_path / "pairs.csv"
    table.write_text("moving,reference\na.tif,r.tif\nb.tif,r.tif\n")
    return table


def test_failures_are_told_counted_and_exit_6(missing, tmp_path):
    result = run(
        missing, "-o", tmp_path / "out", "-j", 1, "--matcher", "structural", "--json", "--progress", "json"
    )
    assert result.exit_code == 6
    found = json.loads(result.stdout)
    assert found["counts"] == {"pass": 0, "warn": 0, "fail": 0, "error": 2}
    assert [failure["exit_code"] for failure in found["failed"]] == [4, 4]
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert [(line["stage"], line["done"], line["total"]) for line in lines] == [
        ("pairs", n, 2) for n in range(3)
    ]
    assert lines[1]["message"] == "a: error 4"
    assert "2 of 2 pairs failed" in result.stderr
    with open(tmp_path / "out" / "summary.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["error", "error"]


def test_dry_run_lists_and_writes_nothing(missing, tmp_path):
    result = run(missing, "-o", tmp_path / "out", "--dry-run", "--shard", "2/2")
    assert result.exit_code == 0
    assert result.stdout.split() == ["to", "do", "b", str(tmp_path / "b.tif"), str(tmp_path / "r.tif")]
    assert not (tmp_path / "out").exists()


def test_standard_input_and_shards_of_an_array_job(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    paths = "".join(f"s{number}.tif\n" for number in range(7))
    result = run("-", "--reference", "r.tif", "-o", tmp_path, "--shard", "/3", "--dry-run", stdin=paths)
    assert result.exit_code == 0, result.output
    assert [line.split()[2] for line in result.stdout.splitlines()] == ["s2", "s5"]


def test_series_lists_the_registrations_it_would_make(tmp_path):
    names = [line.split()[2] for line in run("-", "-o", tmp_path, "--dry-run", "--series", "joint", "--neighbours", 2,
                                             stdin="a.tif\nb.tif\nc.tif\n").stdout.splitlines()]  # fmt: skip
    assert names == ["b--a", "c--a", "c--b"]
    chain = run(
        "-", "-o", tmp_path, "--dry-run", "--series", "chain", "--reference", "r.tif", stdin="a.tif\nb.tif\n"
    )
    assert [line.split()[2] for line in chain.stdout.splitlines()] == ["a--r", "b--a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give either a list"),
        (("pairs.csv", "--moving", "*.tif"), "Give either a list"),
        (("--moving", "*.tif"), "--moving needs --reference"),
        (("none.csv",), "cannot be read"),
        (("pairs.csv", "--write", "raster,film"), "is not a list of raster"),
        (("pairs.csv", "--series", "chain"), "takes a list of images only"),
        (("pairs.csv", "--shard", "4/3"), "There is no shard 4 of 3"),
    ],
)
def test_wrong_use_is_explained(arguments, message, missing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments, "-o", tmp_path / "out")
    assert result.exit_code in (2, 4)
    assert message in result.stderr


def test_help_has_examples():
    result = run("--help")
    assert "--moving 'sar/*.tif'" in result.stdout
    assert "--shard I/N" in result.stdout


def test_workers_on_gpus_are_as_many_as_these_bear(monkeypatch):
    monkeypatch.setattr(machine, "gpu_count", lambda device: 2)
    for jobs, per_gpu, workers in ((None, 1, 2), (8, 3, 6), (3, 3, 3)):
        monkeypatch.setattr(machine, "worker_count", lambda memory: 40)
        with make_executor(None, jobs, per_gpu, MatchOptions()) as pool:
            assert pool.room == workers
    with make_executor(None, 5, 1, MatchOptions(matcher="structural")) as pool:
        assert pool.room == 5, "the structural matcher needs no GPU"


def test_the_process_that_hands_out_work_does_not_hold_torch(missing, tmp_path):
    code = (
        "import sys; from georeg_cli.main import cli\n"
        "try: cli(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "batch", missing, "-o", tmp_path / "out", "-q"]
    for more in ([], ["--resume"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
        assert done.stdout.splitlines()[-1] == "6 False", done.stdout + done.stderr
