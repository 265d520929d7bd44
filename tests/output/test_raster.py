"""The registered raster in each of its modes, from a Registration."""

import numpy as np
import pytest

from georeg.errors import UsageError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import MatrixTransform
from georeg.output import check_options, write_raster
from georeg.output.options import OutputOptions
from georeg.raster import Geocoding, open_scene
from georeg.raster.files import open_dataset
from georeg.result import Quality, Registration, Tie

from .conftest import reference_scene, rotation


@pytest.fixture
def registration(moving):
    scene, none = moving(), np.zeros((0, 2))
    transform = PixelMap(MatrixTransform("similarity", rotation(0.1, 1.05, 30, 12).matrix), None, scene.grid)
    tie = Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)
    quality = Quality("pass", (), 1.0, 0.1, 0.1, 0.2, 2.0, 1.0, 0, 0)
    return Registration(scene, reference_scene(), transform, tie, quality)


@pytest.mark.parametrize(
    ("mode", "name"), [("resample", "o.tif"), ("georeference", "o.tif"), ("vrt", "o.vrt")]
)
def test_every_mode_puts_the_image_on_the_same_ground(registration, tmp_path, mode, name):
    write_raster(registration, tmp_path / name, OutputOptions(mode=mode, driver="GTiff"))
    geocoding = Geocoding.of(open_scene(tmp_path / name, modality="optical"))
    ground = Geocoding.of(registration.reference).to_map(registration.transform(np.array([[300.5, 200.5]])))
    col, row = np.floor(geocoding.to_px(ground)[0]).astype(int)
    with open_dataset(tmp_path / name) as dataset:
        assert dataset.read()[:, row, col] == pytest.approx([300.5, 200.5], abs=1.0)


@pytest.mark.parametrize(
    ("mode", "name"), [("resample", "o.tif"), ("georeference", "o.tif"), ("vrt", "o.vrt")]
)
def test_existing_files_and_inputs_stay(registration, tmp_path, mode, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(UsageError, match="--overwrite"):
        write_raster(registration, tmp_path / name, OutputOptions(mode=mode))
    assert (tmp_path / name).read_text() == "old"
    if mode != "vrt":
        with pytest.raises(UsageError, match="also an input"):
            write_raster(registration, registration.moving.path, OutputOptions(mode=mode, overwrite=True))


@pytest.mark.parametrize(
    ("driver", "wrong"),
    [("COG", {"COMPRES": "ZSTD"}), ("GTiff", {"COMPRESS": "ZIP"}), ("PNG", {"TILED": "YES"})],
)
def test_creation_options_that_gdal_would_only_warn_of(driver, wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(UsageError, match=f"--co {key}={value}: .*creation option.*{driver.lower()}.html"):
        check_options("o.tif", OutputOptions(driver=driver, creation_options=wrong))


@pytest.mark.parametrize(
    ("driver", "right"),
    [
        ("COG", {"COMPRESS": "ZSTD", "LEVEL": "3"}), ("GTiff", {"TILED": "YES", "PREDICTOR": "2"}),
        ("JPEG", {"QUALITY": "80"}), ("JP2OpenJPEG", {"REVERSIBLE": "YES"}),
    ],
)  # fmt: skip
def test_creation_options_that_gdal_knows(driver, right):
    check_options("o.tif", OutputOptions(driver=driver, creation_options=right))
