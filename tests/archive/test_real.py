"""A real batch through the command line: real images, the real matcher, real workers."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio


@pytest.fixture
def batch(tmp_path, simulate):
    """A batch of a pair whose images are there and one whose are not; (finished process, folder)."""
    root = tmp_path
    simulate(root / "in", seed=3, extent_m=1500, looks=4)
    truth = json.loads((root / "in" / "truth.json").read_text())
    table = root / "pairs.csv"
    table.write_text(
        "moving,reference,name,moving_modality\n"
        f"in/{truth['moving']},in/{truth['reference']},there,sar\n"
        f"in/none.tif,in/{truth['reference']},missing,\n"
    )
    command = [
        sys.executable,
        "-m",
        "georeg_cli",
        "batch",
        str(table),
        "-o",
        str(root / "out"),
        "-j",
        "1",
        "--json",
    ]
    done = subprocess.run([*command, "--matcher", "structural"], capture_output=True, text=True, timeout=600)
    return done, root / "out", truth


def test_good_pair_is_delivered_and_bad_one_told(batch):
    """One test, for the batch takes its time."""
    done, out, truth = batch
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout)["counts"]["error"] == 1
    assert "georeg: missing: " in done.stderr
    with open(out / "summary.csv", newline="") as file:
        there, missing = csv.DictReader(file)
    assert there["status"] in ("pass", "warn")
    assert missing["exit_code"] == "4"
    stored = json.loads((out / "there" / "registration.json").read_text())
    matrix = np.array(stored["transform"]["matrix"])
    points = np.column_stack([truth["moving_xy"], np.ones(len(truth["moving_xy"]))]) @ matrix.T
    error = np.linalg.norm(points[:, :2] / points[:, 2:] - truth["reference_xy"], axis=1).mean()
    assert error < 3.0
    check_every_output_opens(out)


def check_every_output_opens(out):
    with rasterio.open(out / "there" / "there.tif") as dataset:
        assert dataset.read(1).any()
    item = json.loads((out / "there" / "item.json").read_text())
    assert {"raster", "registration", "points", "report"} <= item["assets"].keys()
    assert all((out / "there" / asset["href"]).exists() for asset in item["assets"].values())
    assert "<!doctype html>" in (out / "there" / "report.html").read_text()[:100]
