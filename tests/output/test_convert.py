"""COGs carry overviews that show the same image at half the size, a quarter, ..."""

import numpy as np
import pytest
import rasterio

from georeg.output.options import OutputOptions
from georeg.output.warp import write_warped

from .conftest import reference_scene, rotation


def written(scene, path, **creation):
    options = OutputOptions(creation_options=creation, resampling="nearest", num_threads=1)
    write_warped(scene, rotation(), reference_scene(1600, 1200), path, options)
    return path


def overview(path, level):
    with rasterio.open(path, overview_level=level) as dataset:
        return dataset.read(1), dataset.dataset_mask() > 0


@pytest.fixture
def gradient():
    return np.add.outer(2 * np.arange(1200), np.arange(1600)).astype(np.uint16)


def test_overviews_are_averages_of_the_image(moving, tmp_path, gradient):
    path = written(moving(gradient), tmp_path / "o.tif")
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2, 4]
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        full = dataset.read(1).astype(float)
    half, valid = overview(path, 0)
    assert valid.all()
    np.testing.assert_allclose(half, full.reshape(600, 2, 800, 2).mean((1, 3)), atol=0.51)
    assert overview(path, 1)[0].shape == (300, 400)


def test_overviews_leave_invalid_pixels_out(moving, tmp_path, gradient):
    gradient[:, 800:] = 60000
    half, valid = overview(written(moving(gradient, nodata=60000), tmp_path / "o.tif"), 0)
    assert valid[:, :400].all()
    assert not valid[:, 400:].any()
    assert half[:, :400].max() < 5000


def test_overviews_as_the_creation_options_have_them(moving, tmp_path, gradient):
    with rasterio.open(written(moving(gradient), tmp_path / "none.tif", OVERVIEWS="NONE")) as dataset:
        assert dataset.overviews(1) == []
    with rasterio.open(written(moving(gradient), tmp_path / "small.tif", BLOCKSIZE="256")) as dataset:
        assert dataset.overviews(1) == [2, 4, 8]
        assert dataset.block_shapes == [(256, 256)]
    path = written(moving(gradient), tmp_path / "nearest.tif", OVERVIEW_RESAMPLING="NEAREST")
    assert np.isin(overview(path, 0)[0], gradient).all()


def test_small_images_have_none(moving, tmp_path, gradient):
    with rasterio.open(written(moving(gradient[:500, :512]), tmp_path / "o.tif")) as dataset:
        assert dataset.overviews(1) == []
