"""`georeg match` and `georeg warp` end to end on a simulated pair; what was written is opened and checked."""

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import resources

import jsonschema
import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from georeg_cli.main import cli
from georeg_cli.summary import summary_lines

from georeg.registration.stored import read_registration

SCHEMA = json.loads(resources.files("georeg").joinpath("registration.schema.json").read_text())
GOOD_PX = 1.5


def run(*arguments, **more):
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False, **more)


@pytest.fixture(scope="module")
def matched(small_pair, tmp_path_factory):
    """One run in a process of its own with every output: (finished process, folder)."""
    folder = tmp_path_factory.mktemp("matched")
    outputs = {"--registration": "r.json", "--points": "ties.gpkg", "--report": "report.html"}
    command = [
        sys.executable,
        "-m",
        "georeg_cli",
        "match",
        small_pair.moving,
        small_pair.reference,
        folder / "out.tif",
    ]
    for option, name in outputs.items():
        command += [option, folder / name]
    done = subprocess.run(
        [*map(str, command), "--json", "--progress", "json"], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    return done, folder


def test_it_finds_the_truth(matched, small_pair):
    folder = matched[1]
    assert small_pair.error_px(read_registration(folder / "r.json").transform) < GOOD_PX
    assert sorted(os.listdir(folder)) == ["out.tif", "r.json", "report.html", "ties.gpkg"]


def test_json_goes_to_standard_output_and_progress_to_standard_error(matched):
    done, folder = matched
    assert json.loads(done.stdout) == json.loads((folder / "r.json").read_text())
    progress = [json.loads(line) for line in done.stderr.splitlines()]
    assert all(set(line) == {"stage", "done", "total", "message"} for line in progress)
    assert {"overview", "tiles", "write"} <= {line["stage"] for line in progress}


def test_the_summary_for_people(matched):
    registration = read_registration(matched[1] / "r.json")
    lines = summary_lines(
        replace(registration, quality=replace(registration.quality, reasons=("few",))), ["a.tif"]
    )
    words = [line.split()[0] for line in lines]
    assert words == ["verdict", "transform", "accuracy", "support", "because", "wrote"]
    assert registration.quality.verdict in lines[0]
    assert lines[0].endswith(("> 0.99", f"{registration.quality.probability_correct:.2f}"))
    assert not lines[0].endswith("1.00"), "certainty is never claimed"
    assert registration.transform.kind in lines[1]
    assert " px RMSE" in lines[2]
    assert " m)" in lines[2]


def test_registration_json_fits_the_schema_and_the_truth(matched, small_pair):
    content = json.loads((matched[1] / "r.json").read_text())
    jsonschema.validate(content, SCHEMA)
    assert content["quality"]["verdict"] in ("pass", "warn")
    assert set(content["run"]) == set(SCHEMA["$defs"]["run"]["properties"])
    assert content["moving"]["path"] == small_pair.moving
    assert content["moving"]["modality"] == "sar"
    assert content["reference"]["modality"] == "optical"
    homogeneous = np.column_stack([small_pair.moving_xy, np.ones(len(small_pair.moving_xy))])
    mapped = homogeneous @ np.array(content["transform"]["matrix"]).T
    off = np.linalg.norm(mapped[:, :2] / mapped[:, 2:] - small_pair.reference_xy, axis=1)
    assert off.mean() < GOOD_PX


def test_the_raster_lies_on_the_reference(matched, small_pair):
    with rasterio.open(matched[1] / "out.tif") as out, rasterio.open(small_pair.reference) as reference:
        assert out.driver == "GTiff"
        assert out.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert out.crs == reference.crs
        assert (out.transform.a, out.transform.e) == (reference.transform.a, reference.transform.e)
        offset = ~reference.transform @ (out.transform.c, out.transform.f)
        assert np.allclose(offset, np.round(offset), atol=1e-6), "on the reference's pixel grid"
        with rasterio.open(small_pair.moving) as moving:
            assert (out.dtypes, out.nodata) == (moving.dtypes, moving.nodata)
            assert out.descriptions == moving.descriptions
        assert (out.read(1) > 0).mean() > 0.7


def test_the_tie_points_lie_on_the_reference(matched):
    table = pyogrio.read_info(matched[1] / "ties.gpkg", layer="tie_points")
    assert table["features"] >= 10


def test_the_report_needs_no_network(matched):
    page = (matched[1] / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


class TestWarp:
    def warp(self, matched, moving, output, *more, registration=None, **keywords):
        done = run(
            "warp", moving, output, "--registration", registration or matched[1] / "r.json", *more, **keywords
        )
        assert done.exit_code == 0, done.stderr
        return done

    def test_the_same_pixels_as_match(self, matched, small_pair, tmp_path):
        done = self.warp(matched, small_pair.moving, tmp_path / "again.tif")
        assert done.stdout == f"wrote {tmp_path / 'again.tif'}\n"
        with rasterio.open(tmp_path / "again.tif") as again, rasterio.open(matched[1] / "out.tif") as out:
            assert again.transform == out.transform
            assert np.array_equal(again.read(), out.read())

    def test_a_picture_is_a_picture(self, matched, small_pair, tmp_path):
        self.warp(matched, small_pair.moving, tmp_path / "again.png")
        with rasterio.open(tmp_path / "again.png") as again, rasterio.open(matched[1] / "out.tif") as out:
            assert again.driver == "PNG"
            assert np.array_equal(again.read(), out.read())

    def test_an_image_of_its_own_coordinates_lands_where_the_truth_says(self, matched, small_pair, tmp_path):
        with rasterio.open(small_pair.moving) as moving:
            profile = moving.profile | {"count": 2, "dtype": "float32", "nodata": -1, "predictor": 3}
            y, x = np.indices(moving.shape) + 0.5
            with rasterio.open(tmp_path / "xy.tif", "w", **profile) as sink:
                sink.write(np.stack([x, y]).astype(np.float32))
        self.warp(matched, tmp_path / "xy.tif", tmp_path / "out.tif", "-f", "GTiff")
        inner = slice(20, 61)
        with rasterio.open(tmp_path / "out.tif") as out, rasterio.open(small_pair.reference) as reference:
            shift = np.array(~reference.transform @ (out.transform.c, out.transform.f))
            cols, rows = np.floor(small_pair.reference_xy[inner] - shift).astype(int).T
            inside = (cols >= 0) & (rows >= 0) & (cols < out.width) & (rows < out.height)
            found = out.read()[:, rows[inside], cols[inside]].T
        seen = found[:, 0] >= 0
        off = found[seen] - small_pair.moving_xy[inner][inside][seen]
        assert seen.sum() > 15
        assert np.linalg.norm(off, axis=1).max() < 3

    def test_a_coarser_mask_on_the_same_ground(self, matched, small_pair, tmp_path):
        with rasterio.open(small_pair.moving) as moving, rasterio.open(
            tmp_path / "mask.tif", "w", driver="GTiff", width=moving.width // 4, height=moving.height // 4, count=1,
            dtype="uint8", crs=moving.crs, transform=moving.transform @ Affine.scale(4),
        ) as sink:  # fmt: skip
            sink.write(np.full(sink.shape, 9, np.uint8), 1)
        self.warp(matched, tmp_path / "mask.tif", tmp_path / "out.tif", "-r", "nearest")
        with rasterio.open(tmp_path / "out.tif") as out, rasterio.open(matched[1] / "out.tif") as first:
            assert out.crs == first.crs
            assert np.abs(np.subtract(out.bounds, first.bounds)).max() < 25

    def test_the_registration_from_standard_input(self, matched, small_pair, tmp_path):
        text = (matched[1] / "r.json").read_text()
        self.warp(matched, small_pair.moving, tmp_path / "out.tif", registration="-", input=text)
        assert (tmp_path / "out.tif").exists()

    def test_a_failed_registration_is_not_used_unless_told(self, matched, small_pair, tmp_path):
        content = json.loads((matched[1] / "r.json").read_text())
        content["quality"] |= {"verdict": "fail", "reasons": ["too few matches"]}
        (tmp_path / "r.json").write_text(json.dumps(content))
        done = run("warp", small_pair.moving, tmp_path / "out.tif", "--registration", tmp_path / "r.json")
        assert (done.exit_code, "too few matches" in done.stderr) == (3, True)
        assert not (tmp_path / "out.tif").exists()
        self.warp(
            matched,
            small_pair.moving,
            tmp_path / "out.tif",
            "--keep-failed",
            registration=tmp_path / "r.json",
        )

    @pytest.mark.parametrize("driver", ["COG", "GTiff"])
    def test_a_full_disk_costs_nothing_that_was_there(self, matched, small_pair, tmp_path, driver):
        """The largest file that may be written is 20 kB, as if the disk were full after that."""
        (tmp_path / "out.tif").write_text("precious")
        command = [
            sys.executable,
            "-m",
            "georeg_cli",
            "warp",
            small_pair.moving,
            tmp_path / "out.tif",
            "--overwrite",
        ]
        command += ["--registration", matched[1] / "r.json", "-f", driver]
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        )  # fmt: skip
        assert done.returncode == 5, done.stderr
        assert "disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        assert (tmp_path / "out.tif").read_text() == "precious"
        assert os.listdir(tmp_path) == ["out.tif"]

    def test_a_file_that_is_no_registration(self, small_pair, tmp_path):
        (tmp_path / "r.json").write_text("{}")
        done = run("warp", small_pair.moving, tmp_path / "out.tif", "--registration", tmp_path / "r.json")
        assert (done.exit_code, "holds no registration" in done.stderr) == (4, True)
        done = run("warp", small_pair.moving, tmp_path / "out.tif", "--registration", small_pair.moving)
        assert (done.exit_code, "holds no JSON" in done.stderr) == (4, True)
        done = run("warp", small_pair.moving, tmp_path / "out.tif", "--registration", tmp_path / "none.json")
        assert (done.exit_code, "none.json does not exist: check the path" in done.stderr) == (4, True)


def test_the_committed_pair(sample_pair, tmp_path):
    """What `make demo` runs: 37 m, 22 m and 0.8 degrees off, other CRS, other sensor."""
    done = run("match", sample_pair.moving, sample_pair.reference, "--registration", tmp_path / "r.json")
    assert done.exit_code == 0, done.stderr
    assert sample_pair.error_px(read_registration(tmp_path / "r.json").transform) < 1


def test_assets_of_stac_items(small_pair, tmp_path):
    for name, image in (("moving", small_pair.moving), ("reference", small_pair.reference)):
        assets = {"B04": {"href": os.path.relpath(image, tmp_path), "roles": ["data"]}}
        (tmp_path / f"{name}.json").write_text(json.dumps({"type": "Feature", "assets": assets}))
    moving, stored = tmp_path / "moving.json", tmp_path / "r.json"
    matched = run("match", f"{moving}#B04", tmp_path / "reference.json", tmp_path / "out.tif",
                  "--registration", stored, "--matcher", "structural", "-j", "1")  # fmt: skip
    assert matched.exit_code == 0, matched.output
    registration = read_registration(stored)
    assert registration.moving.path == small_pair.moving
    run("warp", registration.moving.path, tmp_path / "by_path.tif", "--registration", stored)
    run("warp", f"{moving}#B04", tmp_path / "by_item.tif", "--registration", stored)
    first, *others = ((tmp_path / name).read_bytes() for name in ("out.tif", "by_path.tif", "by_item.tif"))
    assert others == [first, first]


def test_an_item_is_as_safe_as_its_image(small_pair, tmp_path):
    moving = tmp_path / "moving.tif"
    shutil.copy(small_pair.moving, moving)
    item = tmp_path / "moving.json"
    item.write_text(json.dumps({"assets": {"image": {"href": "moving.tif"}, "other": {"href": "other.tif"}}}))
    for output in ([moving], ["--registration", item]):
        result = run("match", f"{item}#image", small_pair.reference, *output, "--overwrite")
        assert result.exit_code == 2
        assert "is also an input" in result.stderr
    assert run("match", item, small_pair.reference).exit_code == 4
