"""Bad input: one clear sentence with the remedy, the right exit code, and nothing lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from georeg_cli.main import cli

from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.raster import open_scene
from georeg.result import Quality, Registration, Tie

from ..rasters import UTM, write

PLACE = Affine(5, 0, 343_100, 0, -5, 5_611_900)


def match(*arguments):
    return CliRunner().invoke(cli, ["match", *map(str, arguments)])


def refused(done, code, *words):
    """The run ended with `code` and one line on standard error that holds all the words."""
    assert done.exit_code == code, done.stderr or done.exception
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("georeg: error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def write_image(path, pixels, transform=PLACE, crs=UTM, **more):
    return write(path, pixels, transform=transform, crs=crs, **more)


@pytest.fixture
def texture():
    return np.random.default_rng(3).integers(1, 255, (200, 200), dtype=np.uint8)


class TestInputs:
    def test_a_missing_file(self, small_pair, tmp_path):
        refused(
            match(tmp_path / "no.tif", small_pair.reference), 4, "no.tif does not exist", "check the path"
        )
        refused(match(small_pair.moving, tmp_path / "no.tif"), 4, "no.tif does not exist")

    def test_a_file_that_is_no_image(self, small_pair, tmp_path):
        (tmp_path / "text.tif").write_text("this is not an image")
        refused(match(tmp_path / "text.tif", small_pair.reference), 4, "text.tif cannot be read as an image")

    def test_an_empty_file(self, small_pair, tmp_path):
        (tmp_path / "empty.tif").touch()
        refused(match(tmp_path / "empty.tif", small_pair.reference), 4, "empty.tif is empty")

    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_a_truncated_file(self, small_pair, tmp_path, share):
        whole = Path(small_pair.moving).read_bytes()
        (tmp_path / "half.tif").write_bytes(whole[: int(len(whole) * share)])
        done = match(tmp_path / "half.tif", small_pair.reference, tmp_path / "out.tif")
        refused(done, 4, "half.tif")
        assert not (tmp_path / "out.tif").exists()

    def test_a_band_of_nothing_but_nodata(self, small_pair, tmp_path):
        image = write_image(tmp_path / "void.tif", np.zeros((200, 200), np.uint8), nodata=0)
        refused(match(image, small_pair.reference), 4, "void.tif", "valid pixel")

    def test_a_band_of_nan(self, small_pair, tmp_path):
        image = write_image(tmp_path / "nan.tif", np.full((200, 200), np.nan, np.float32))
        refused(match(image, small_pair.reference), 4, "nan.tif", "valid pixel")

    def test_a_constant_image(self, small_pair, tmp_path):
        image = write_image(tmp_path / "flat.tif", np.full((200, 200), 7, np.uint8))
        refused(match(image, small_pair.reference, tmp_path / "out.tif"), 3, "flat.tif")
        assert not (tmp_path / "out.tif").exists()

    @pytest.mark.parametrize("shape", [(3, 3), (1, 3), (1, 1)])
    def test_an_image_of_a_few_pixels(self, small_pair, tmp_path, shape):
        pixels = np.arange(1, 1 + np.prod(shape), dtype=np.uint8).reshape(shape)
        refused(match(write_image(tmp_path / "tiny.tif", pixels), small_pair.reference), 3, "tiny.tif")

    def test_images_of_different_places(self, small_pair, tmp_path, texture):
        image = write_image(tmp_path / "far.tif", texture, Affine(5, 0, 700_000, 0, -5, 5_000_000))
        done = match(image, small_pair.reference, "--prior", "geocoding")
        refused(done, 3, "far.tif", "overlap", "--prior none")

    @pytest.mark.parametrize(("option", "name"), [("--band", "moving"), ("--reference-band", "reference")])
    def test_a_band_that_is_not_there(self, small_pair, option, name):
        path = Path(getattr(small_pair, name)).name
        refused(match(small_pair.moving, small_pair.reference, option, "7"), 2, path, "band 7")

    def test_a_mask_of_another_size(self, small_pair, tmp_path):
        mask = write_image(tmp_path / "mask.tif", np.ones((10, 12), np.uint8))
        refused(match(small_pair.moving, small_pair.reference, "--mask", mask), 4, "mask.tif", "12 x 10")

    def test_a_mask_that_hides_everything(self, small_pair, tmp_path):
        with rasterio.open(small_pair.moving) as moving:
            mask = write_image(
                tmp_path / "mask.tif", np.zeros(moving.shape, np.uint8), moving.transform, moving.crs
            )
        done = match(small_pair.moving, small_pair.reference, "--mask", mask)
        refused(done, 4, "valid pixel")

    def test_a_missing_mask(self, small_pair):
        refused(
            match(small_pair.moving, small_pair.reference, "--mask", "no.gpkg"), 4, "no.gpkg does not exist"
        )

    def test_weights_that_are_not_there(self, small_pair):
        done = match(small_pair.moving, small_pair.reference, "--matcher", "network", "--weights", "no-such")
        refused(done, 2, "no-such")

    def test_a_device_that_is_not_there(self, small_pair):
        done = match(small_pair.moving, small_pair.reference, "--device", "cuda:7")
        refused(done, 2, "cuda:7")


@pytest.fixture
def refusing(monkeypatch):
    """Makes every registration fail its judgement, with a transform all the same."""

    def register(moving, reference, options, progress):
        scenes = open_scene(moving), open_scene(reference)
        points = np.zeros((0, 2))
        tie = Tie(points, points, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), points)
        pixel_map = PixelMap(MatrixTransform("shift", np.eye(3)), None, scenes[0].grid)
        quality = Quality("fail", ("only 4 matches agree",), 0.1, None, None, None, None, 0.0, 30, 4)
        return Registration(*scenes, pixel_map, tie, quality, (), {"seed": 0})

    monkeypatch.setattr("georeg.registration.deliver.register", register)


class TestRefusal:
    def test_no_raster_but_the_rest_and_the_reason(self, small_pair, tmp_path, refusing):
        done = match(
            small_pair.moving,
            small_pair.reference,
            tmp_path / "out.tif",
            "--registration",
            tmp_path / "r.json",
        )
        refused(done, 3, "only 4 matches agree", "No raster was written", "--keep-failed")
        assert os.listdir(tmp_path) == ["r.json"]
        assert "verdict    fail" in done.stdout
        assert "out.tif" not in done.stdout

    def test_the_figures_as_json(self, small_pair, refusing):
        done = match(small_pair.moving, small_pair.reference, "--json")
        assert done.exit_code == 3
        assert json.loads(done.stdout)["quality"]["reasons"] == ["only 4 matches agree"]

    def test_keep_failed_writes_the_raster_all_the_same(self, small_pair, tmp_path, refusing):
        done = match(
            small_pair.moving, small_pair.reference, tmp_path / "out.tif", "--keep-failed", "-f", "GTiff"
        )
        assert done.exit_code == 3
        assert "No raster was written" not in done.stderr
        with rasterio.open(tmp_path / "out.tif") as out:
            assert out.count == 1


class TestOutputs:
    def test_an_output_that_is_an_input(self, small_pair, tmp_path):
        image = tmp_path / "sar.tif"
        shutil.copy(small_pair.moving, image)
        before = image.read_bytes()
        refused(match(image, small_pair.reference, image, "--overwrite"), 2, "also an input", "another name")
        assert image.read_bytes() == before

    def test_an_output_that_exists(self, small_pair, tmp_path):
        (tmp_path / "out.tif").write_text("precious")
        refused(match(small_pair.moving, small_pair.reference, tmp_path / "out.tif"), 2, "add --overwrite")
        assert (tmp_path / "out.tif").read_text() == "precious"

    @pytest.mark.parametrize("folder", ["/proc", "{here}/file.txt", "{here}/missing"])
    def test_a_folder_that_takes_no_files(self, small_pair, tmp_path, folder, monkeypatch):
        monkeypatch.setattr(
            "georeg.registration.deliver.register", lambda *work: pytest.fail("found out too late")
        )
        (tmp_path / "file.txt").touch()
        output = Path(folder.format(here=tmp_path)) / "out.tif"
        refused(match(small_pair.moving, small_pair.reference, output), 4, str(output.parent))

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (("-f", "NoSuch"), "NoSuch"),
            (("--dst-crs", "EPSG:0"), "EPSG:0"),
            (("--bbox", "3", "0", "1", "2"), "XMIN YMIN XMAX YMAX"),
            (("--output-mode", "vrt"), ".vrt"),
        ],
    )
    def test_options_that_no_output_can_have(self, small_pair, tmp_path, options, word):
        refused(match(small_pair.moving, small_pair.reference, tmp_path / "out.tif", *options), 2, word)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "stage"), [(signal.SIGINT, "overview"), (signal.SIGTERM, "overview"), (signal.SIGINT, "write")]
)
def test_ctrl_c_in_the_middle_loses_nothing(small_pair, tmp_path, number, stage):
    """Interrupted as soon as the stage begins; the fine resolution makes the writing long enough to be interrupted."""
    (tmp_path / "out.tif").write_text("precious")
    arguments = [small_pair.moving, small_pair.reference, tmp_path / "out.tif", "--overwrite", "--resolution", "0.6",
                 "-j", "1", "--progress", "json"]  # fmt: skip
    command = [sys.executable, "-m", "georeg_cli", "match", *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert any(json.loads(line)["stage"] == stage for line in iter(child.stderr.readline, ""))
    child.send_signal(number)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130, said
    assert said.splitlines()[-1] == "georeg: interrupted; no file was left half written"
    assert (tmp_path / "out.tif").read_text() == "precious"
    assert os.listdir(tmp_path) == ["out.tif"]
