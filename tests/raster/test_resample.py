"""Resampled windows show what their transform says; invalid pixels never bleed; nothing aliases."""

import numpy as np
import pytest

from georeg.raster import SceneReader, open_scene, resample_window
from georeg.raster.lattice import Lattice

from ..rasters import coordinates, write


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("resample") / "xy.tif", coordinates(600, 500), tiled=True)
    with (
        SceneReader(open_scene(path, bands=(1,), modality="optical")) as x,
        SceneReader(open_scene(path, bands=(2,), modality="optical")) as y,
    ):
        yield x, y


def rotation(angle, scale, shift):
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return lambda p: p @ matrix.T + shift


def bent(p):
    return np.stack([p[:, 0] + 8 * np.sin(p[:, 1] / 40) + 150, p[:, 1] + 8 * np.cos(p[:, 0] / 30) + 150], 1)


def homography(p):
    w = 1 + 4e-4 * p[:, 0] - 3e-4 * p[:, 1]
    return np.stack([(0.9 * p[:, 0] + 0.1 * p[:, 1] + 100) / w, (p[:, 1] - 0.1 * p[:, 0] + 120) / w], 1)


@pytest.mark.parametrize("interpolation", ["linear", "lanczos"])
@pytest.mark.parametrize(
    "out_to_scene",
    [
        rotation(0, 1, [100.3, 50.6]),
        rotation(0.5, 1, [200, 60]),
        rotation(-1, 0.4, [50, 300]),
        bent,
        homography,
    ],
    ids=["shift", "rotated", "enlarged", "bent", "homography"],
)
def test_each_pixel_shows_its_place(readers, out_to_scene, interpolation):
    shape = (180, 220)
    (x, valid), (y, _) = (resample_window(r, out_to_scene, shape, interpolation) for r in readers)
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    wanted = out_to_scene(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(*shape, 2)
    inside = (wanted > 5).all(-1) & (wanted < [595, 495]).all(-1)
    assert inside.mean() > 0.5
    assert valid[inside].all()
    error = np.abs(np.stack([x, y], -1) - wanted)[inside]
    assert error.max() < 0.05


def test_decimation_keeps_the_place(readers):
    out_to_scene = rotation(0.3, 5.3, [20, 10])
    (x, valid), (y, _) = (resample_window(r, out_to_scene, (60, 60)) for r in readers)
    ys, xs = np.mgrid[:60, :60] + 0.5
    wanted = out_to_scene(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(60, 60, 2)
    assert valid.sum() > 1000
    assert (
        np.abs(np.stack([x, y], -1) - wanted)[valid].max() < 0.3
    )  # of a scene pixel, an output pixel being 5.3


def test_decimation_does_not_alias(tmp_path):
    stripes = np.tile(np.array([1, 200], np.uint8), (300, 150))
    with SceneReader(open_scene(write(tmp_path / "s.tif", stripes), modality="optical")) as reader:
        for scale in (3.7, 4.0, 2.3):
            pixels, valid = resample_window(reader, lambda p, s=scale: p * s + 20, (40, 40))
            assert valid.all()
            assert pixels[2:-2, 2:-2].std() < 12


@pytest.mark.parametrize("interpolation", ["linear", "lanczos"])
def test_nodata_never_bleeds(tmp_path, interpolation):
    data = np.full((100, 100), 50, np.uint16)
    data[30:60, 40:70] = 60000
    with SceneReader(open_scene(write(tmp_path / "n.tif", data, nodata=60000), modality="optical")) as reader:
        for out_to_scene in (
            rotation(0.4, 1, [30.4, -5]),
            rotation(0.1, 2.7, [1, 1]),
            rotation(0, 0.5, [20, 20]),
        ):
            pixels, valid = resample_window(reader, out_to_scene, (90, 90), interpolation)
            assert 0 < valid.sum() < valid.size
            np.testing.assert_allclose(pixels[valid], 50, atol=1e-3)
            assert (pixels[~valid] == 0).all()


def test_window_beyond_the_scene_or_without_numbers_is_invalid(readers):
    for out_to_scene in (rotation(0, 1, [5000, 0]), lambda p: np.full_like(p, np.nan)):
        pixels, valid = resample_window(readers[0], out_to_scene, (32, 48))
        assert pixels.shape == valid.shape == (32, 48)
        assert not valid.any()


def test_partly_undefined_transform_fills_the_rest(readers):
    def half(p):
        return np.where(p[:, :1] < 30, np.nan, p + 100)

    pixels, valid = resample_window(readers[0], half, (64, 64))
    assert not valid[:, :30].any()
    np.testing.assert_allclose(pixels[:, 32:], np.tile(np.arange(132, 164) + 0.5, (64, 1)), atol=0.05)


def test_lattice_is_right_between_its_nodes_for_a_conformal_bend():
    def conformal(p):  # z + z^2 / 4000: its second derivatives along x and y cancel at cell centres
        return np.stack(
            [p[:, 0] + (p[:, 0] ** 2 - p[:, 1] ** 2) / 4000, p[:, 1] + p[:, 0] * p[:, 1] / 2000], 1
        )

    x, y = Lattice.of(conformal, (300, 300)).maps((0.0, 0.0), 1)
    ys, xs = np.mgrid[:300, :300] + 0.5
    wanted = conformal(np.stack([xs.ravel(), ys.ravel()], 1)).reshape(300, 300, 2) - 0.5
    assert np.abs(np.stack([x, y], -1) - wanted).max() < 0.03
