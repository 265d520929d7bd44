"""The panel and the algorithms inside QGIS with the real georeg: good runs, and everything that goes wrong in them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import processing
import pytest
from conftest import alive, wait_for
from osgeo import gdal
from qgis.core import (
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
    QgsVectorLayer,
)

from georeg_qgis.executable import process
from georeg_qgis.gui.dock import GeoregDock

SAMPLE = Path(__file__).parents[2] / "sample_data"
GEOREG = os.environ.get("GEOREG_EXECUTABLE", "")
LONG_S = 300

pytestmark = pytest.mark.skipif(
    not os.access(GEOREG, os.X_OK), reason="GEOREG_EXECUTABLE names no georeg program (make test-qgis does)"
)


@pytest.fixture(autouse=True)
def _setting(provider):
    QgsSettings().setValue("georeg/executable", GEOREG)
    yield
    QgsSettings().remove("georeg")


@pytest.fixture
def sample(tmp_path, project):
    """The sample pair as layers of the project, in a folder that holds nothing else."""
    folder = tmp_path / "images"
    folder.mkdir()
    layers = []
    for name in ("sar", "optical"):
        shutil.copy(SAMPLE / f"{name}.tif", folder)
        layers.append(QgsRasterLayer(str(folder / f"{name}.tif"), name))
    project.addMapLayers(layers)
    return layers


@pytest.fixture
def dock(qgis_iface, sample):
    dock = GeoregDock(qgis_iface)
    dock.form.set_pair(*sample)
    yield dock
    dock.close_down()
    wait_for(lambda: not dock.job.running, "the end of the run", LONG_S)
    dock.deleteLater()


def images_in(layer):
    """Names of the files beside a layer's, without what GDAL writes on its own account."""
    folder = Path(layer.source()).parent
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".aux.xml"))


def finish(dock):
    wait_for(lambda: not dock.job.running, "the end of the run", LONG_S)


def test_the_panel_aligns_the_sample_pair(dock, project):
    dock.run_button.click()
    finish(dock)
    assert "Aligned" in dock.card.headline.text(), dock.card.reasons.text()
    added = {layer.name(): layer for layer in project.mapLayers().values()}
    aligned, points = added["sar (aligned)"], added["sar (tie points)"]
    assert aligned.crs() == added["optical"].crs()
    assert aligned.extent().intersects(added["optical"].extent())
    assert isinstance(points, QgsVectorLayer)
    assert points.featureCount() > 20
    assert "error ×" in points.renderer().legendSymbolItems()[0].label()
    assert images_in(aligned) == [
        "optical.tif", "sar.tif", "sar_aligned.tif", "sar_aligned_georeferencer.points",
        "sar_aligned_registration.json", "sar_aligned_report.html", "sar_aligned_tie_points.gpkg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words", ["Starting georeg", "Finding the rough position", "Matching in detail", "Writing the"]
)
def test_cancel_at_any_stage_leaves_nothing(words, dock, sample):
    pids = []

    def cancel(text):
        if text.startswith(words) and not pids:
            pids.extend(running_programs())
            dock.cancel_button.click()

    dock.job.stage.connect(cancel)
    dock.run_button.click()
    if words == "Starting georeg":
        wait_for(running_programs, "the program")
        cancel(words)
    finish(dock)
    assert pids
    assert dock.stage.text() == "Cancelled. Nothing was written."
    assert not any(map(alive, pids))
    assert images_in(sample[0]) == ["optical.tif", "sar.tif"]
    assert dock.run_button.isEnabled()


def running_programs():
    return [program.pid for program in process._live]


def test_images_that_do_not_overlap_are_told_apart(dock, sample, tmp_path):
    far = gdal.Open(str(shutil.copy(sample[0].source(), tmp_path / "far.tif")), gdal.GA_Update)
    place = list(far.GetGeoTransform())
    far.SetGeoTransform([place[0] + 40_000, *place[1:]])
    far = None
    layer = QgsRasterLayer(str(tmp_path / "far.tif"), "far")
    QgsProject.instance().addMapLayer(layer)
    dock.form.set_pair(layer, sample[1])
    dock.run_button.click()
    finish(dock)
    assert "Not aligned" in dock.card.headline.text()
    assert "do not overlap" in dock.card.reasons.text()
    assert "--" not in dock.card.reasons.text()
    assert [path.name for path in tmp_path.glob("far_aligned*.tif")] == []


def test_a_full_disk_is_told_and_nothing_half_is_left(sample, tmp_path):
    """Files that may not grow stand for a disk that is full: georeg is told so by the system in the same place."""
    cramped = tmp_path / "cramped"
    cramped.write_text(f"#!/bin/sh\ntrap '' XFSZ\nulimit -f 100\nexec '{GEOREG}' \"$@\"\n")
    cramped.chmod(0o755)
    QgsSettings().setValue("georeg/executable", str(cramped))
    with pytest.raises(QgsProcessingException, match=r"[Dd]isk is full"):
        run(
            "match",
            {"MOVING": sample[0], "REFERENCE": sample[1], "OUTPUT": str(tmp_path / "images" / "o.tif")},
        )
    assert images_in(sample[0]) == ["optical.tif", "sar.tif"]


def test_batch_aligns_layers_and_skips_what_is_done(sample, tmp_path):
    parameters = {"MOVING": [sample[0]], "REFERENCE": sample[1], "FOLDER": str(tmp_path / "many"), "JOBS": 1}
    results = run("batch", parameters)
    assert (results["DONE"], results["FAILED"]) == (1, 0)
    aligned = gdal.Open(str(tmp_path / "many" / "sar" / "sar.tif"))
    assert aligned.GetSpatialRef().IsSame(gdal.Open(sample[1].source()).GetSpatialRef())
    footprints = QgsVectorLayer(results["FOOTPRINTS"], "footprints")
    assert footprints.uniqueValues(footprints.fields().lookupField("status")) == {"pass"}
    assert footprints.renderer().type() == "categorizedSymbol"
    assert "<html" in Path(results["INDEX"]).read_text(encoding="utf-8")[:500].lower()
    written = os.path.getmtime(tmp_path / "many" / "sar" / "sar.tif")
    again = run("batch", parameters)
    assert (again["DONE"], again["FAILED"]) == (1, 0)
    assert os.path.getmtime(tmp_path / "many" / "sar" / "sar.tif") == written


def test_evaluate_scores_a_benchmark(tmp_path):
    results = run("evaluate", {"FOLDER": str(benchmark(tmp_path)), "OUTPUT": str(tmp_path / "scores.json")})
    assert (results["PAIRS"], results["RIGHT_3"]) == (1, 1.0)
    assert [pair["verdict"] for pair in json.loads(Path(results["OUTPUT"]).read_text())["pairs"]] == ["pass"]


def test_evaluate_says_that_a_folder_is_no_benchmark(tmp_path):
    with pytest.raises(QgsProcessingException, match="is not a benchmark folder"):
        run("evaluate", {"FOLDER": str(tmp_path), "OUTPUT": str(tmp_path / "scores.json")})
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("end", ["quit", "terminate", "kill"])
def test_georeg_ends_with_qgis(end, tmp_path):
    """A QGIS of its own is started, aligns, and goes: closed by the user, ended by the system, or killed."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("sar", "optical"):  # enlarged, so that georeg is still at work when QGIS goes
        gdal.Translate(str(folder / f"{name}.tif"), str(SAMPLE / f"{name}.tif"), widthPct=800, heightPct=800)
    script = Path(__file__).with_name("closing_qgis.py")
    qgis = subprocess.Popen(
        [sys.executable, str(script), str(folder), end], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    pid = int(next(line for line in qgis.stdout if line.startswith("georeg ")).split()[1])
    if end != "quit":
        getattr(qgis, end)()
    qgis.wait(60)
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(pid)
    left = [path.name for path in folder.iterdir() if not path.name.endswith(".aux.xml")]
    assert sorted(left) == ["optical.tif", "sar.tif"]


def run(name, parameters):
    return processing.run(f"georeg:{name}", parameters, feedback=QgsProcessingFeedback(False))


def benchmark(tmp_path):
    """A benchmark folder of one pair: the sample pair as pictures without a position."""
    root = tmp_path / "benchmark"
    where = root / "pairs" / "made" / "sar-optical" / "one"
    where.mkdir(parents=True)
    sizes = {}
    for picture, name in (("reference", "optical"), ("target", "sar")):
        source = gdal.Open(str(SAMPLE / f"{name}.tif"))
        pixels = np.atleast_3d(source.ReadAsArray().astype(float).T).T
        pixels = np.log1p(pixels) if name == "sar" else pixels
        low, high = np.percentile(pixels, (1, 99))
        bytes_ = np.clip((pixels - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        memory = gdal.GetDriverByName("MEM").Create("", source.RasterXSize, source.RasterYSize, len(bytes_))
        memory.WriteArray(bytes_)
        gdal.GetDriverByName("PNG").CreateCopy(str(where / f"{picture}.png"), memory)
        sizes[name] = source.RasterXSize, source.RasterYSize
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    corner_based = np.array(json.loads((SAMPLE / "truth.json").read_text())["matrix"])
    matrix = np.linalg.inv(half) @ corner_based @ half  # a benchmark counts pixel centres from 0
    (where / "truth.json").write_text(json.dumps({"kind": "homography", "matrix": matrix.tolist()}))
    row = {"id": "one", "set": "made", "modality_pair": "sar-optical"}
    row.update(zip(("width_ref", "height_ref", "width_tgt", "height_tgt"), sizes["optical"] + sizes["sar"]))
    _table(root / "manifest.csv", row)
    _table(root / "split.csv", {"id": "one", "split": "dev", "group": "remote-sensing"})
    return root


def _table(path, row):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerow(row)
