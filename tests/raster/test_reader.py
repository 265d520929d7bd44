"""Windows: coordinate images read back, nodata of every kind, decimation, and what must fail."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from georeg.errors import InputError
from georeg.raster import SceneReader, open_scene
from georeg.raster.files import CACHE_BYTES, CACHED_PX, cache_for, open_dataset
from georeg.scene import Modality

from ..rasters import UTM, coordinates, write


@pytest.fixture(scope="module")
def scene_xy(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("reader") / "xy.tif", coordinates(200, 160), tiled=True)
    return open_scene(path, bands=(1,), modality="optical"), open_scene(path, bands=(2,), modality="optical")


def read(path, window, out_shape=None, **options):
    with SceneReader(open_scene(path, **options)) as reader:
        return reader.read_window(*window, out_shape)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    col=st.integers(-250, 250),
    row=st.integers(-250, 250),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
)
def test_any_window_holds_its_own_coordinates_and_nothing_else(scene_xy, col, row, width, height):
    with SceneReader(scene_xy[0]) as x_reader, SceneReader(scene_xy[1]) as y_reader:
        x, valid = x_reader.read_window(col, row, width, height)
        y, _ = y_reader.read_window(col, row, width, height)
    ys, xs = np.mgrid[row : row + height, col : col + width] + 0.5
    inside = (xs > 0) & (xs < 200) & (ys > 0) & (ys < 160)
    np.testing.assert_array_equal(valid, inside)
    np.testing.assert_array_equal(x, np.where(inside, xs, 0))
    np.testing.assert_array_equal(y, np.where(inside, ys, 0))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(col=st.integers(-100, 150), cells=st.integers(1, 40), factor=st.integers(2, 7))
def test_decimated_cells_are_the_means_of_what_they_cover(scene_xy, col, cells, factor):
    with SceneReader(scene_xy[0]) as reader:
        pixels, valid = reader.read_window(col, 0, cells * factor, 4 * factor, (4, cells))
    left = col + factor * np.arange(cells)
    inside = (left >= 0) & (left + factor <= 200)
    np.testing.assert_array_equal(valid, np.tile(inside, (4, 1)))
    np.testing.assert_allclose(pixels[0], np.where(inside, left + factor / 2, 0), atol=1e-3)


def test_strips_without_overviews_are_not_all_read(tmp_path):
    xy = coordinates(1200, 1600)
    xy[1, :800, 600:] = -9999
    path = write(tmp_path / "strips.tif", xy, tiled=False, blockysize=1, nodata=-9999, interleave="band")
    for band in (1, 2):
        with SceneReader(open_scene(path, bands=(band,), modality="optical")) as reader:
            before = _bytes_read()
            pixels, valid = reader.read_window(0, 0, 1200, 1600, (50, 60))
            assert _bytes_read() - before < 0.3 * 1200 * 1600 * 4
        if band == 1:
            assert valid.all()
            np.testing.assert_allclose(pixels, np.tile(20 * np.arange(60) + 10, (50, 1)), atol=0.1)
        else:
            np.testing.assert_array_equal(valid[:25], np.arange(60) < np.full((25, 1), 30))
            wanted = np.tile(32 * np.arange(50)[:, None] + 16, (1, 60))
            np.testing.assert_allclose(pixels[valid], wanted[valid], atol=0.6)


def test_a_large_scene_is_reduced_once(tmp_path):
    path = write(tmp_path / "large.tif", np.ones((4100, 4100), np.uint8), tiled=True)
    with SceneReader(open_scene(path, modality="optical")) as reader:
        first, _ = reader.read_window(0, 0, 4100, 4100, (205, 205))
        with pytest.raises(ValueError, match="read-only"):  # it is kept
            first[:] = 7
        before = _bytes_read()
        again, valid = reader.read_window(0, 0, 4100, 4100, (205, 205))
        assert _bytes_read() - before < 100_000
        assert (again == 1).all()
        assert valid.all()
        assert reader.read_window(0, 0, 4100, 4100, (410, 410))[0].shape == (410, 410)


@pytest.mark.parametrize(
    ("count", "dtype", "bytes_a_px"), [(1, "uint16", 2), (3, "uint8", 3), (4, "float32", None)]
)
def test_the_block_cache_fits_what_is_stored_together(tmp_path, count, dtype, bytes_a_px):
    path = write(tmp_path / "a.tif", np.zeros((count, 32, 32), dtype))
    with open_dataset(path) as dataset:
        assert cache_for(dataset) == (CACHE_BYTES if bytes_a_px is None else CACHED_PX * bytes_a_px)


@pytest.mark.parametrize(("block_px", "share"), [(256, 0.5), (512, 0.5), (1024, 1.0), (None, 1.0)], ids=str)
def test_small_blocks_ask_for_half_the_cache(tmp_path, block_px, share):
    tiles = {} if block_px is None else {"tiled": True, "blockxsize": block_px, "blockysize": block_px}
    path = write(tmp_path / "a.tif", np.zeros((1100, 1100), np.uint8), **tiles)
    with open_dataset(path) as dataset:
        assert cache_for(dataset) == share * CACHED_PX


def _bytes_read():
    with open("/proc/self/io") as file:
        return int(next(line for line in file if line.startswith("rchar")).split()[1])


def test_overviews_agree_with_full_resolution(tmp_path):
    path = write(tmp_path / "xy.tif", coordinates(1000, 600), tiled=True, blockxsize=128, blockysize=128)
    plain = read(path, (0, 0, 1000, 600), (75, 125), bands=(1,), modality="optical")
    with open_dataset(path, mode="r+") as dataset:
        dataset.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    quick = read(path, (0, 0, 1000, 600), (75, 125), bands=(1,), modality="optical")
    np.testing.assert_allclose(quick[0], plain[0], atol=0.01)
    assert quick[1].all()


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]
)
def test_every_dtype_is_read(tmp_path, dtype):
    data = np.arange(30 * 40).reshape(30, 40).astype(np.int64) % 100
    pixels, valid = read(write(tmp_path / "a.tif", data.astype(dtype)), (0, 0, 40, 30), modality="optical")
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, data)
    assert valid.all()


def test_complex_is_amplitude_and_averages_as_amplitude(tmp_path):
    phase = np.exp(1j * np.random.default_rng(0).uniform(0, 6.28, (64, 64)))
    path = write(tmp_path / "slc.tif", (5 * phase).astype(np.complex64))
    assert open_scene(path).modality == Modality.SAR
    pixels, valid = read(path, (0, 0, 64, 64))
    np.testing.assert_allclose(pixels, 5, rtol=1e-5)
    pixels, valid = read(path, (0, 0, 64, 64), (8, 8))
    np.testing.assert_allclose(pixels, 5, rtol=1e-5)
    assert valid.all()


def test_complex_zero_is_no_echo(tmp_path):
    data = np.ones((40, 40), np.complex64)
    data[:, :10] = 0
    _, valid = read(write(tmp_path / "slc.tif", data), (0, 0, 40, 40))
    assert not valid[:, :10].any()
    assert valid[:, 10:].all()


def make_nodata(kind, path, data, hole):
    """Writes `data` with the pixels of `hole` declared invalid in one of the ways there are."""
    if kind == "value":
        return write(path, np.where(hole, 7777, data).astype(np.uint16), nodata=7777)
    if kind == "nan":
        return write(path, np.where(hole, np.nan, data).astype(np.float32))
    if kind == "nan nodata":
        return write(path, np.where(hole, np.nan, data).astype(np.float32), nodata=np.nan)
    if kind == "odd float":
        return write(
            path,
            np.where(hole, -3.4028234663852886e38, data).astype(np.float32),
            nodata=-3.4028234663852886e38,
        )
    if kind == "mask":
        return write(path, data.astype(np.uint16), mask=~hole)
    alpha = np.where(hole, 0, 255)
    return write(
        path,
        np.stack([data % 256, data % 256, data % 256, alpha]).astype(np.uint8),
        photometric="RGB",
        alpha="yes",
    )


@pytest.mark.parametrize("kind", ["value", "nan", "nan nodata", "odd float", "mask", "alpha"])
@pytest.mark.parametrize("factor", [1, 4])
def test_nodata_of_every_kind(tmp_path, kind, factor):
    data = np.full((64, 80), 100)
    hole = np.zeros(data.shape, bool)
    hole[8:24, 16:48] = True
    path = make_nodata(kind, tmp_path / "a.tif", data, hole)
    pixels, valid = read(path, (0, 0, 80, 64), (64 // factor, 80 // factor), modality="optical")
    np.testing.assert_array_equal(valid, ~hole[::factor, ::factor])
    np.testing.assert_allclose(pixels[valid], 100, rtol=1e-5)
    assert (pixels[~valid] == 0).all()


def test_undeclared_black_border_is_invalid_but_dark_pixels_stay(tmp_path):
    data = np.random.default_rng(1).integers(1, 255, (200, 200)).astype(np.uint8)
    data[:, :40] = 0
    data[100, 100] = 0
    _, valid = read(write(tmp_path / "a.tif", data), (0, 0, 200, 200), modality="optical")
    assert not valid[:, :40].any()
    assert valid[:, 40:].all()


def test_rgb_is_luminance_and_palette_is_its_colours(tmp_path):
    rgb = np.stack([np.full((20, 20), v, np.uint8) for v in (200, 100, 50)])
    pixels, _ = read(write(tmp_path / "rgb.tif", rgb, photometric="RGB"), (0, 0, 20, 20))
    np.testing.assert_allclose(pixels, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, rtol=1e-5)
    path = write(tmp_path / "map.tif", np.tile(np.array([3, 9], np.uint8), (16, 8)))
    with open_dataset(path, mode="r+") as dataset:
        dataset.write_colormap(1, {3: (10, 10, 10, 255), 9: (90, 90, 90, 255)})
    scene = open_scene(path)
    assert scene.modality == Modality.MAP
    with SceneReader(scene) as reader:
        np.testing.assert_allclose(reader.read_window(0, 0, 2, 1)[0], [[10, 90]], rtol=1e-5)
        np.testing.assert_allclose(reader.read_window(0, 0, 16, 16, (8, 8))[0], 50, rtol=1e-5)


def test_raster_mask_on_the_same_grid(tmp_path):
    image = write(tmp_path / "a.tif", np.full((30, 40), 9, np.uint8))
    keep = np.zeros((30, 40), np.uint8)
    keep[5:20, 10:30] = 1
    mask = write(tmp_path / "m.tif", keep)
    _, valid = read(image, (-2, -2, 44, 34), mask=mask)
    np.testing.assert_array_equal(valid, np.pad(keep, 2).astype(bool))


def test_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    image = write(tmp_path / "a.tif", np.full((30, 40), 9, np.uint8))
    mask = write(tmp_path / "m.tif", np.ones((31, 40), np.uint8))
    with pytest.raises(InputError, match=r"40 x 31 pixels, but a.tif has 40 x 30"):
        read(image, (0, 0, 4, 4), mask=mask)


def square(points, crs=None):
    member = {"crs": {"type": "name", "properties": {"name": crs}}} if crs else {}
    ring = [[float(x), float(y)] for x, y in [*points, points[0]]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    return json.dumps({"type": "FeatureCollection", "features": [feature], **member})


def test_polygons_in_degrees_mask_a_utm_image(tmp_path, coordinate_scene):
    image = coordinate_scene()
    corners = np.array([[20, 30], [120, 30], [120, 90], [20, 90]]) * [10, -10] + [500000, 5000000]
    lon, lat = rasterio.warp.transform(UTM, "EPSG:4326", *corners.T)
    (tmp_path / "m.geojson").write_text(square(list(zip(lon, lat, strict=True))))
    _, valid = read(image, (0, 0, 200, 160), mask=tmp_path / "m.geojson", modality="optical")
    wanted = np.zeros((160, 200), bool)
    wanted[30:90, 20:120] = True
    assert (valid != wanted).mean() < 0.002
    _, coarse = read(image, (0, 0, 200, 160), (16, 20), mask=tmp_path / "m.geojson", modality="optical")
    np.testing.assert_array_equal(coarse, wanted[5::10, 5::10])


@pytest.mark.parametrize("sign", [1, -1])
def test_polygons_in_pixels_mask_an_unplaced_image(tmp_path, sign):
    image = write(tmp_path / "a.png", np.full((60, 50), 9, np.uint8), driver="PNG")
    (tmp_path / "m.geojson").write_text(
        square([(10, sign * 20), (30, sign * 20), (30, sign * 50), (10, sign * 50)])
    )
    _, valid = read(image, (0, 0, 50, 60), mask=tmp_path / "m.geojson")
    assert valid[20:50, 10:30].all()
    assert valid.sum() == 600


def test_mask_without_polygons_is_refused(tmp_path):
    image = write(tmp_path / "a.png", np.full((60, 50), 9, np.uint8), driver="PNG")
    (tmp_path / "m.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    with pytest.raises(InputError, match="no polygons"):
        read(image, (0, 0, 5, 5), mask=tmp_path / "m.geojson")
    (tmp_path / "broken.geojson").write_text("{")
    with pytest.raises(InputError, match="cannot be read as polygons"):
        read(image, (0, 0, 5, 5), mask=tmp_path / "broken.geojson")


def test_one_reader_serves_many_threads(tmp_path):
    path = write(tmp_path / "xy.tif", coordinates(512, 512), tiled=True, blockxsize=64, blockysize=64)
    with (
        SceneReader(open_scene(path, bands=(1,), modality="optical")) as reader,
        ThreadPoolExecutor(4) as pool,
    ):
        tiles = list(pool.map(lambda col: reader.read_window(col, 0, 50, 512)[0], range(0, 400, 10)))
    for col, tile in zip(range(0, 400, 10), tiles, strict=True):
        np.testing.assert_array_equal(tile[7], np.arange(col, col + 50) + 0.5)


def test_truncated_pixels_name_the_file_and_the_remedy(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (600, 600)).astype(np.uint8)
    path = write(tmp_path / "cut.tif", noise)
    scene = open_scene(path)
    path.write_bytes(path.read_bytes()[: 600 * 300])
    with SceneReader(scene) as reader, pytest.raises(InputError, match=r"cut.tif .*truncated or damaged"):
        reader.read_window(0, 0, 600, 600)
    with pytest.raises(InputError, match=r"cut.tif .*truncated"):
        open_scene(path)
