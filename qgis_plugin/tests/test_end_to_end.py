"""The plugin, qgis_process and the real georeg on the sample pair: the raster on disk against the truth."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_data"
GEOREG = os.environ.get("GEOREG_EXECUTABLE", "")
TOLERANCE_PX = 1.0

pytestmark = pytest.mark.skipif(
    not os.access(GEOREG, os.X_OK), reason="GEOREG_EXECUTABLE names no georeg program (make test-qgis does)"
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """A profile of QGIS with the packed plugin installed, as a user installs it."""
    home = tmp_path_factory.mktemp("home")
    plugins = home / ".local/share/QGIS/QGIS3/profiles/default/python/plugins"
    plugins.mkdir(parents=True)
    package = subprocess.run(
        [shutil.which("python3.11") or sys.executable, str(ROOT / "qgis_plugin/package.py"), str(home)],
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.unpack_archive(package.stdout.strip(), plugins)
    (home / "run").mkdir(mode=0o700)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("QGIS_", "PYTHON"))},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "QT_QPA_PLATFORM": "offscreen",
        "PATH": os.pathsep.join([str(beside_no_python(home)), os.environ["PATH"]]),
    }
    qgis_process(environment, "plugins", "enable", "georeg_qgis")
    return environment


def beside_no_python(folder):
    """A folder for PATH that holds georeg alone: a python3 found there would become the home of QGIS's own Python."""
    alone = folder / "bin"
    alone.mkdir()
    (alone / "georeg").symlink_to(GEOREG)
    return alone


def qgis_process(environment, *arguments, timeout=1200):
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    return subprocess.run(
        [program, *arguments], env=environment, capture_output=True, text=True, timeout=timeout
    )


@pytest.fixture(scope="module")
def matched(profile, tmp_path_factory):
    """One run of georeg:match; its folder and what qgis_process said."""
    folder = tmp_path_factory.mktemp("matched")
    names = {
        "OUTPUT": "out.tif",
        "POINTS": "ties.gpkg",
        "REGISTRATION": "r.json",
        "REPORT": "report.html",
        "GCP_FILE": "ties.points",
    }
    answer = qgis_process(
        profile, "run", "georeg:match", "--json", "--",
        f"MOVING={SAMPLE / 'sar.tif'}", f"REFERENCE={SAMPLE / 'optical.tif'}", "MOVING_MODALITY=2",
        *(f"{name}={folder / path}" for name, path in names.items()),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder, json.loads(answer.stdout[answer.stdout.index("{") :])


@pytest.fixture(scope="module")
def truth():
    return json.loads((SAMPLE / "truth.json").read_text())


def test_the_provider_is_listed(profile):
    listed = qgis_process(profile, "list").stdout
    for name in ("georeg:match", "georeg:warp", "georeg:batch", "georeg:evaluate"):
        assert name in listed


def test_the_raster_lies_where_the_truth_says(matched, truth):
    """The output is compared with the moving image warped by the true transform, at offsets of up to 8 pixels."""
    folder, _ = matched
    output, reference = gdal.Open(str(folder / "out.tif")), gdal.Open(str(SAMPLE / "optical.tif"))
    found, wanted = _on_reference_grid(output, reference), _warped_by_truth(truth, reference)
    shift = _shift_px(found, wanted)
    assert np.hypot(*shift) < TOLERANCE_PX, shift
    assert output.GetSpatialRef().IsSame(reference.GetSpatialRef())
    assert output.RasterCount >= 1
    sar = gdal.Open(str(SAMPLE / "sar.tif"))
    assert output.GetRasterBand(1).DataType == sar.GetRasterBand(1).DataType


def test_the_registration_and_the_figures_agree(matched, truth):
    folder, answer = matched
    registration = json.loads((folder / "r.json").read_text())
    assert answer["results"]["VERDICT"] == registration["quality"]["verdict"] == "pass"
    assert answer["results"]["CE90_M"] == pytest.approx(registration["quality"]["ce90_m"])
    points = np.c_[np.array(truth["moving_xy"]), np.ones(len(truth["moving_xy"]))]
    mapped = points @ np.array(registration["transform"]["matrix"]).T
    error = mapped[:, :2] / mapped[:, 2:] - np.array(truth["reference_xy"])
    assert np.sqrt((error**2).sum(1)).mean() < TOLERANCE_PX


def test_the_other_files_are_there(matched):
    folder, _ = matched
    points = ogr.Open(str(folder / "ties.gpkg"))  # a layer lives no longer than its data source
    layer = points.GetLayerByName("tie_points")
    definition = layer.GetLayerDefn()
    fields = {definition.GetFieldDefn(index).GetName() for index in range(definition.GetFieldCount())}
    assert layer.GetFeatureCount() > 20
    assert fields >= {
        "map_x",
        "map_y",
        "moved_map_x",
        "moved_map_y",
        "residual_x_px",
        "residual_y_px",
        "inlier",
    }
    assert (folder / "ties.points").read_text().startswith("#CRS: ")
    assert "<html" in (folder / "report.html").read_text()[:500].lower()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_another_file_is_warped_the_same_way(profile, matched, tmp_path):
    folder, _ = matched
    answer = qgis_process(
        profile, "run", "georeg:warp", "--",
        f"INPUT={SAMPLE / 'sar.tif'}", f"REGISTRATION={folder / 'r.json'}", f"OUTPUT={tmp_path / 'w.tif'}",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    again, first = gdal.Open(str(tmp_path / "w.tif")), gdal.Open(str(folder / "out.tif"))
    assert again.GetGeoTransform() == pytest.approx(first.GetGeoTransform())
    assert np.array_equal(again.ReadAsArray(), first.ReadAsArray())


def test_a_batch_goes_on_after_a_failure(profile, tmp_path):
    table = tmp_path / "pairs.csv"
    table.write_text(
        f"moving,reference\n{SAMPLE / 'sar.tif'},{SAMPLE / 'optical.tif'}\n/no/such.tif,{SAMPLE / 'optical.tif'}\n"
    )
    answer = qgis_process(
        profile, "run", "georeg:batch", "--json", "--", f"PAIRS={table}", f"FOLDER={tmp_path / 'many'}", "JOBS=1",
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    results = json.loads(answer.stdout[answer.stdout.index("{") :])["results"]
    assert (results["DONE"], results["FAILED"]) == (1, 1)
    assert "does not exist" in answer.stdout + answer.stderr
    assert os.path.isfile(results["FOOTPRINTS"])
    assert gdal.Open(str(tmp_path / "many" / "sar" / "sar.tif")) is not None


def test_a_pair_that_cannot_be_registered_ends_in_words_and_without_a_raster(profile, tmp_path):
    flat = gdal.GetDriverByName("GTiff").Create(str(tmp_path / "flat.tif"), 300, 300, 1)
    flat.GetRasterBand(1).Fill(7)
    flat = None
    answer = qgis_process(
        profile, "run", "georeg:match", "--",
        f"MOVING={tmp_path / 'flat.tif'}", f"REFERENCE={SAMPLE / 'optical.tif'}", f"OUTPUT={tmp_path / 'out.tif'}",
    )  # fmt: skip
    assert answer.returncode != 0
    assert "Traceback" not in answer.stdout + answer.stderr
    assert "flat" in answer.stdout + answer.stderr
    assert not (tmp_path / "out.tif").exists()


def _on_reference_grid(dataset, reference):
    """Band 1 of a raster on the reference's grid, as the file places itself."""
    left, x_size, _, top, _, y_size = reference.GetGeoTransform()
    bounds = (left, top + y_size * reference.RasterYSize, left + x_size * reference.RasterXSize, top)
    options = {
        "format": "MEM",
        "outputBounds": bounds,
        "xRes": x_size,
        "yRes": -y_size,
        "resampleAlg": "bilinear",
    }
    warped = gdal.Warp("", dataset, dstSRS=reference.GetProjection(), **options)
    return warped.GetRasterBand(1).ReadAsArray().astype(float)


def _warped_by_truth(truth, reference):
    """The moving image on the reference's grid by the true transform, nearest neighbour."""
    sar = gdal.Open(str(SAMPLE / "sar.tif"))
    moving = sar.GetRasterBand(1).ReadAsArray().astype(float)
    columns, rows = np.meshgrid(
        np.arange(reference.RasterXSize) + 0.5, np.arange(reference.RasterYSize) + 0.5
    )
    points = np.stack([columns, rows, np.ones_like(rows)]).reshape(3, -1)
    x, y, w = np.linalg.inv(np.array(truth["matrix"])) @ points
    x, y = np.floor(x / w).astype(int), np.floor(y / w).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < moving.shape[1]) & (y < moving.shape[0])
    warped = np.zeros(x.shape)
    warped[inside] = moving[y[inside], x[inside]]
    return warped.reshape(columns.shape)


def _shift_px(found, wanted, reach=8):
    """The offset (columns, rows) at which two images agree best, to a fraction of a pixel."""
    scores = np.array(
        [
            [_agreement(found, wanted, dx, dy, reach) for dx in range(-reach, reach + 1)]
            for dy in range(-reach, reach + 1)
        ]
    )
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    return column - reach + _vertex(scores[row], column), row - reach + _vertex(scores[:, column], row)


def _agreement(found, wanted, dx, dy, reach):
    inner = wanted[reach:-reach, reach:-reach]
    moved = found[reach + dy : found.shape[0] - reach + dy, reach + dx : found.shape[1] - reach + dx]
    both = (inner > 0) & (moved > 0)
    return np.corrcoef(np.log(inner[both]), np.log(moved[both]))[0, 1]


def _vertex(values, index):
    """Sub-pixel place of a peak, by a parabola."""
    if not 0 < index < len(values) - 1:
        return 0.0
    before, peak, after = values[index - 1 : index + 2]
    return 0.5 * (before - after) / (before - 2 * peak + after)
