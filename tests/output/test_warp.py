"""Registered rasters: coordinate images land where the mapping says, and everything else of the file is kept."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from georeg.errors import NotRegistrableError, ResourceError, UsageError
from georeg.output.convert import convert
from georeg.output.options import OutputOptions
from georeg.output.warp import write_warped
from georeg.raster import Geocoding, open_scene
from georeg.raster.atomic import atomic_output
from georeg.raster.files import open_dataset
from georeg.raster.geocoding import transform_map

from ..conftest import full_disk
from ..rasters import UTM, coordinates, write
from .conftest import Affine2D, Bent, reference_scene, rotation

PLAIN = OutputOptions(driver="GTiff", num_threads=1)
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "complex64")
HOMOGRAPHY = Affine2D(np.array([[0.95, 0.1, 20], [-0.08, 1.0, 60], [8e-5, -5e-5, 1]]), "homography")
MAPPINGS = {
    "shift": rotation(x=30.3, y=40.6), "rotated": rotation(0.3, 0.9, 150, 20), "bent": Bent(), "homography": HOMOGRAPHY,
}  # fmt: skip


def read(path):
    with open_dataset(path) as dataset:
        return dataset.read(), dataset.dataset_mask() > 0, dataset.profile


def wanted_px(path, mapping, reference):
    """(H, W, 2): the moving pixel each output pixel must show, by the file's own georeferencing."""
    with open_dataset(path) as dataset:
        ys, xs = np.mgrid[: dataset.height, : dataset.width] + 0.5
        scene = open_scene(path, modality="optical")
    out = np.stack([xs.ravel(), ys.ravel()], 1)
    there, here = Geocoding.of(reference), Geocoding.of(scene)
    reference_px = out if here is None else there.to_px(transform_map(here.crs, there.crs, here.to_map(out)))
    return mapping.inverse(reference_px).reshape(*xs.shape, 2)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "lanczos"])
@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
def test_each_pixel_shows_its_place(moving, tmp_path, mapping, resampling):
    reference, scene = reference_scene(), moving()
    options = OutputOptions(driver="GTiff", resampling=resampling, num_threads=2)
    write_warped(scene, mapping, reference, tmp_path / "out.tif", options)
    pixels, valid, _ = read(tmp_path / "out.tif")
    wanted = wanted_px(tmp_path / "out.tif", mapping, reference)
    inside = (wanted > 0.02).all(-1) & (wanted < [599.98, 559.98]).all(-1)
    outside = (wanted < -0.02).any(-1) | (wanted > [600.02, 560.02]).any(-1)
    assert valid[inside].all()
    assert not valid[outside].any()
    deep = (wanted > 6).all(-1) & (wanted < [594, 554]).all(-1)
    error = np.abs(np.moveaxis(pixels, 0, -1) - wanted)[deep]
    assert error.max() < (0.53 if resampling == "nearest" else 0.06)
    assert valid.mean() > 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"grid": "moving"},
        {"dst_crs": "EPSG:4326"},
        {"dst_crs": "EPSG:32634", "resolution": 12.0},
        {"resolution": 7.5},
        {"bbox": (501000.0, 4996000.0, 503000.0, 4999000.0)},
        {"dst_crs": "EPSG:3857", "bbox": (1671200.0, 5637000.0, 1678200.0, 5642600.0), "resolution": 14.0},
    ],
    ids=["moving", "degrees", "zone", "resolution", "bbox", "mercator"],
)
def test_other_grids_show_the_same_places(moving, tmp_path, options):
    reference, scene, mapping = reference_scene(), moving(), rotation(0.2, 1.1, 60, 15)
    write_warped(
        scene, mapping, reference, tmp_path / "o.tif", OutputOptions(driver="GTiff", num_threads=1, **options)
    )
    pixels, valid, profile = read(tmp_path / "o.tif")
    wanted = wanted_px(tmp_path / "o.tif", mapping, reference)
    deep = valid & (wanted > 3).all(-1) & (wanted < [597, 557]).all(-1)
    assert deep.sum() > 20000
    assert np.abs(np.moveaxis(pixels, 0, -1) - wanted)[deep].max() < 0.3
    if "dst_crs" in options:
        assert profile["crs"] == rasterio.crs.CRS.from_user_input(options["dst_crs"])
    if "resolution" in options:
        assert profile["transform"].a == options["resolution"]
    if "bbox" in options:
        with rasterio.open(tmp_path / "o.tif") as dataset:
            assert tuple(dataset.bounds) == pytest.approx(options["bbox"], abs=14)


def test_default_grid_is_the_references_pixels_within_the_footprint(moving, tmp_path):
    write_warped(moving(), rotation(x=100.4, y=200.4), reference_scene(), tmp_path / "o.tif", PLAIN)
    _, _, profile = read(tmp_path / "o.tif")
    assert (profile["width"], profile["height"]) == (
        600,
        440,
    )  # 100..700 of 700 columns, 200..640 of 640 rows
    assert tuple(profile["transform"])[:6] == (10, 0, 501000, 0, -10, 4998000)
    assert profile["crs"] == UTM


def test_without_georeferencing_the_output_is_the_references_pixel_frame(moving, tmp_path):
    mapping, reference = rotation(x=30, y=20), reference_scene(crs=None)
    write_warped(moving(), mapping, reference, tmp_path / "o.tif", PLAIN)
    pixels, valid, profile = read(tmp_path / "o.tif")
    assert (profile["width"], profile["height"]) == (700, 640)
    assert valid[20:580, 30:630].all()
    assert valid.sum() == 600 * 560
    np.testing.assert_allclose(
        pixels[0][100], np.where(valid[100], np.arange(700) + 0.5 - 30, np.nan), atol=0.01
    )
    with pytest.raises(UsageError, match="has no georeferencing"):
        write_warped(moving(), mapping, reference, tmp_path / "p.tif", OutputOptions(dst_crs="EPSG:4326"))
    write_warped(moving(), rotation(scale=0.5), reference, tmp_path / "q.tif", OutputOptions(grid="moving"))
    assert read(tmp_path / "q.tif")[0].shape == (2, 1280, 1400)


@pytest.fixture
def reference_by_control_points():
    """The reference scene, placed by GCPs at its four corners instead of a geotransform."""
    points = np.array(
        [[0, 0, 5e5, 5e6], [700, 0, 507000, 5e6], [0, 640, 5e5, 4993600], [700, 640, 507000, 4993600.0]]
    )
    plain = reference_scene()
    return replace(plain, grid=replace(plain.grid, geotransform=None), geocoding="gcps", gcps=points)


def test_reference_placed_by_control_points_hands_them_on(moving, reference_by_control_points, tmp_path):
    write_warped(moving(), rotation(x=5), reference_by_control_points, tmp_path / "o.tif", PLAIN)
    with open_dataset(tmp_path / "o.tif") as dataset:
        gcps, crs = dataset.gcps
    assert [(g.col, g.row, g.x, g.y) for g in gcps] == [tuple(p) for p in reference_by_control_points.gcps]
    assert crs == UTM


def test_an_extent_is_obeyed_where_the_reference_has_control_points_only(
    moving, reference_by_control_points, tmp_path
):
    options = replace(PLAIN, bbox=(501000.0, 4997000.0, 503000.0, 4999000.0))
    write_warped(moving(), rotation(), reference_by_control_points, tmp_path / "o.tif", options)
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert tuple(dataset.bounds) == options.bbox
        assert dataset.read()[:, 0, 0] == pytest.approx([100.5, 100.5], abs=0.01)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "complex64"]
)
@pytest.mark.parametrize("driver", ["COG", "GTiff"])
def test_every_dtype_is_kept(moving, tmp_path, dtype, driver):
    data = (np.arange(90 * 80).reshape(1, 90, 80) % 100 + 1).astype(dtype)
    options = OutputOptions(driver=driver, resampling="nearest", num_threads=1)
    write_warped(moving(data), rotation(x=3, y=2), reference_scene(100, 100), tmp_path / "o.tif", options)
    pixels, valid, profile = read(tmp_path / "o.tif")
    assert profile["dtype"] == dtype
    assert valid.all()
    np.testing.assert_array_equal(pixels, data)


def test_everything_but_pixels_is_kept(moving, tmp_path):
    scene = moving(np.full((3, 60, 50), 7, np.int16), nodata=-9)
    with open_dataset(scene.path, mode="r+") as dataset:
        dataset.descriptions = ("blue", "green", "nir")
        dataset.scales, dataset.offsets, dataset.units = (0.1, 0.2, 0.3), (1, 2, 3), ("K", "m", "s")
        dataset.update_tags(ACQUIRED="2020-01-01")
        dataset.update_tags(2, WAVELENGTH="560")
        dataset.update_tags(1, STATISTICS_MEAN="3")
    scene = open_scene(scene.path)
    for driver in ("COG", "GTiff"):
        options = OutputOptions(driver=driver, overwrite=True)
        write_warped(scene, rotation(x=3.5, y=2), reference_scene(80, 70), tmp_path / "o.tif", options)
        with open_dataset(tmp_path / "o.tif") as dataset:
            assert dataset.descriptions == ("blue", "green", "nir")
            assert (dataset.scales, dataset.offsets, dataset.units) == (
                (0.1, 0.2, 0.3),
                (1, 2, 3),
                ("K", "m", "s"),
            )
            assert dataset.nodata == -9
            assert dataset.tags()["ACQUIRED"] == "2020-01-01"
            assert dataset.tags(2)["WAVELENGTH"] == "560"
            assert "STATISTICS_MEAN" not in dataset.tags(1)
            assert set(np.unique(dataset.read())) == {-9, 7}


def test_tags_of_other_namespaces_are_kept(moving, tmp_path):
    scene = moving(np.ones((20, 20), np.uint8))
    with open_dataset(scene.path, mode="r+") as dataset:
        dataset.update_tags(ns="MINE", KEY="value")
    write_warped(scene, rotation(), reference_scene(30, 30), tmp_path / "o.tif")
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.tags(ns="MINE") == {"KEY": "value"}


def test_colour_table_and_nearest_are_kept(moving, tmp_path):
    data = np.kron(np.arange(1, 5, dtype=np.uint8).reshape(2, 2), np.ones((30, 30), np.uint8))
    scene = moving(data)
    with open_dataset(scene.path, mode="r+") as dataset:
        dataset.write_colormap(1, {k: (k * 20, 0, 255 - k, 255) for k in range(5)})
    write_warped(open_scene(scene.path), rotation(0.3, 1, 20, 5), reference_scene(90, 90), tmp_path / "o.tif")
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.colorinterp == (ColorInterp.palette,)
        assert dataset.colormap(1)[3] == (60, 0, 252, 255)
        valid = dataset.read_masks(1) > 0
        assert set(np.unique(dataset.read(1)[valid])) == {1, 2, 3, 4}


def test_alpha_is_kept_and_colours_do_not_darken_at_its_edge(moving, tmp_path):
    data = np.full((4, 80, 80), 200, np.uint8)
    data[:, :, :30] = 0
    scene = moving(data, photometric="RGB", alpha="yes")
    write_warped(scene, rotation(0.2, 1, 20, 5), reference_scene(110, 110), tmp_path / "o.tif", PLAIN)
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
        pixels = dataset.read()
    opaque = pixels[3] > 128
    assert 1000 < opaque.sum() < 5000
    assert (pixels[:3, opaque] == 200).all()
    assert (pixels[3][:3] == 0).all()


@pytest.mark.parametrize("kind", ["nodata", "mask", "none", "nan"])
def test_invalid_pixels_stay_out(moving, tmp_path, kind):
    data = np.full((100, 100), 50, np.float32 if kind == "nan" else np.uint16)
    hole = np.zeros(data.shape, bool)
    hole[30:60, 40:70] = kind != "none"
    data[hole] = np.nan if kind == "nan" else 60000
    scene = moving(data, nodata=60000 if kind == "nodata" else None, mask=~hole if kind == "mask" else None)
    for resampling in ("bilinear", "cubic", "lanczos"):
        options = OutputOptions(resampling=resampling, num_threads=1, overwrite=True)
        write_warped(
            scene, rotation(0.3, 1.3, 60, 10), reference_scene(200, 200), tmp_path / "o.tif", options
        )
        pixels, valid, profile = read(tmp_path / "o.tif")
        assert valid.sum() == pytest.approx((100 * 100 - hole.sum()) * 1.3**2, rel=0.02)
        np.testing.assert_allclose(pixels[0][valid], 50, rtol=1e-6)
        if kind == "nan":
            assert np.isnan(profile["nodata"])


def test_good_values_never_turn_into_nodata(moving, tmp_path):
    data = np.tile(np.array([1, 0, 2], np.uint8), (60, 20))
    scene = moving(data)
    write_warped(scene, rotation(), reference_scene(60, 60), tmp_path / "o.tif", OutputOptions(dst_nodata=0))
    assert read(tmp_path / "o.tif")[1].all()
    with pytest.raises(UsageError, match="does not fit into uint8"):
        write_warped(
            scene, rotation(), reference_scene(60, 60), tmp_path / "p.tif", OutputOptions(dst_nodata=-1)
        )
    assert not (tmp_path / "p.tif").exists()


def test_reduction_averages_instead_of_skipping(moving, tmp_path):
    stripes = np.tile(np.array([0, 200], np.uint8), (400, 200))
    scene = moving(stripes, nodata=255)
    write_warped(scene, rotation(scale=1 / 5), reference_scene(80, 80), tmp_path / "o.tif", PLAIN)
    pixels, valid, _ = read(tmp_path / "o.tif")
    assert pixels[0][3:-3, 3:-3].std() < 12
    assert pixels[0][valid].mean() == pytest.approx(100, abs=4)


def test_cog_is_tiled_with_overviews_and_obeys_creation_options(moving, tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (1200, 1300)).astype(np.uint8)
    options = OutputOptions(creation_options={"compress": "ZSTD", "BLOCKSIZE": "256"})
    write_warped(moving(data), rotation(x=1.5), reference_scene(1400, 1400), tmp_path / "o.tif", options)
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.profile["compress"] == "zstd"
        assert dataset.block_shapes == [(256, 256)]
        assert dataset.overviews(1) == [2, 4, 8]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_formats_and_unknown_drivers(moving, tmp_path):
    scene = moving(np.full((50, 60), 9, np.uint8))
    write_warped(
        scene, rotation(), reference_scene(60, 50, crs=None), tmp_path / "o.png", OutputOptions(driver="PNG")
    )
    assert (read(tmp_path / "o.png")[0] == 9).all()
    with pytest.raises(UsageError, match="no GDAL driver 'GTIF'"):
        write_warped(
            scene, rotation(), reference_scene(60, 50), tmp_path / "o.tif", OutputOptions(driver="GTIF")
        )
    assert not (tmp_path / "o.tif").exists()


def test_nothing_on_the_reference_is_refused(moving, tmp_path):
    with pytest.raises(NotRegistrableError, match="lies outside"):
        write_warped(moving(), rotation(x=5000), reference_scene(), tmp_path / "o.tif")
    nowhere = Affine2D(np.diag([np.nan, 1, 1]))
    with pytest.raises(NotRegistrableError, match="No part of"):
        write_warped(moving(), nowhere, reference_scene(), tmp_path / "o.tif")


def test_progress_and_threads_give_the_same_file(moving, tmp_path):
    scene, seen = moving(coordinates(1300, 1100)), []
    for threads in (1, 3):
        options = OutputOptions(driver="GTiff", num_threads=threads)
        write_warped(scene, Bent(), reference_scene(1400, 1200), tmp_path / f"{threads}.tif", options,
                     lambda *event: seen.append(event))  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path / "1.tif")[0], read(tmp_path / "3.tif")[0])
    blocks = [event for event in seen if event[3] == "resampling"]
    assert [event[1] for event in blocks] == [*range(1, 10), *range(1, 10)]
    assert all(event[0] == "write" and event[2] == 9 for event in blocks)


def test_interrupt_and_full_disk_leave_what_was_there(moving, tmp_path):
    (tmp_path / "o.tif").write_text("old")
    scene = moving()

    def interrupted(*_):
        raise KeyboardInterrupt

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for progress, error in ((interrupted, KeyboardInterrupt), (full, ResourceError)):
        options = OutputOptions(driver="GTiff", num_threads=1, overwrite=True)
        with pytest.raises(error):
            write_warped(scene, rotation(), reference_scene(), tmp_path / "o.tif", options, progress)
        assert (tmp_path / "o.tif").read_text() == "old"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["moving.tif", "o.tif"]


def test_a_disk_that_fills_up_while_gdal_writes(moving, tmp_path):
    scene = moving(np.random.default_rng(0).integers(0, 255, (560, 600)).astype(np.uint8))
    options = OutputOptions(bbox=(490000, 4990000, 510000, 5010000), dst_nodata=0)
    for most in (100_000, 800_000):  # the working file, then the COG
        with full_disk(most), pytest.raises(ResourceError, match="disk is full"):
            write_warped(scene, rotation(), reference_scene(4000, 4000), tmp_path / "o.tif", options)
    assert [p.name for p in tmp_path.iterdir()] == ["moving.tif"]


@pytest.mark.parametrize("driver", ["COG", "GTiff"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_disk_that_fills_up_just_before_the_end(tmp_path, driver, threads):
    """GDAL returns as if all were well where it compresses in threads, or has only the file's end left to write."""
    noise = np.random.default_rng(0).integers(0, 255, (2, 1100, 1200)).astype(np.uint8)
    source = str(write(tmp_path / "noise.tif", noise, tiled=True))
    options, target = OutputOptions(driver=driver), tmp_path / "o.tif"
    convert(source, str(target), options, threads)
    before = target.read_bytes()
    for share in (0.02, 0.5, 0.9, 0.9999):
        with (
            full_disk(int(share * len(before))), pytest.raises(ResourceError, match="disk is full"),
            atomic_output(target, overwrite=True) as final,
        ):  # fmt: skip
            convert(source, str(final), options, threads)
        assert target.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["noise.tif", "o.tif"]


def test_a_format_that_cannot_hold_the_image_is_named(moving, tmp_path):
    scene = moving()
    with pytest.raises(UsageError, match="JPEG driver cannot hold this image"):
        write_warped(scene, rotation(), reference_scene(), tmp_path / "o.jpg", OutputOptions(driver="JPEG"))
    with pytest.raises(UsageError, match="--output-mode vrt"):
        write_warped(scene, rotation(), reference_scene(), tmp_path / "o.vrt", OutputOptions(driver="VRT"))
    assert [p.name for p in tmp_path.iterdir()] == ["moving.tif"]


@pytest.mark.parametrize(
    "options",
    [
        {"bbox": (700000.0, 4996000.0, 703000.0, 4999000.0)},
        {"bbox": (15.0, 45.0, 15.1, 45.1)},  # degrees, though the output's CRS is in metres
        {"bbox": (500000.0, 4996000.0, 503000.0, 4999000.0), "dst_crs": "EPSG:4326", "resolution": 100.0},
        {"bbox": (510000.0, 4996000.0, 512000.0, 4999000.0), "grid": "moving"},
    ],
    ids=["elsewhere", "degrees", "metres", "moving"],
)
def test_a_bbox_that_misses_the_image_is_refused(moving, tmp_path, options):
    with pytest.raises(
        UsageError, match=r"^--bbox .* lies outside the registered moving.tif, which covers [-\d. ]+:"
    ):
        write_warped(moving(), rotation(), reference_scene(), tmp_path / "o.tif", OutputOptions(**options))
    assert [p.name for p in tmp_path.iterdir()] == ["moving.tif"]


def test_many_bands_and_complex_integers(moving, tmp_path):
    data = np.stack([np.full((150, 140), band, np.float64) for band in range(60)])
    write_warped(moving(data), rotation(x=9), reference_scene(300, 300), tmp_path / "o.tif", PLAIN)
    pixels, valid, _ = read(tmp_path / "o.tif")
    np.testing.assert_array_equal(pixels[:, 50, 50], np.arange(60))
    assert valid.sum() == 150 * 140
    scene = moving(np.full((1, 50, 50), 3 + 4j, np.complex64), dtype="complex_int16")
    options = OutputOptions(bbox=(500000, 4980000, 515000, 5000000), num_threads=1)
    write_warped(scene, rotation(x=9), reference_scene(3000, 3000), tmp_path / "c.tif", options)
    pixels, valid, _ = read(tmp_path / "c.tif")
    assert (pixels[0][valid] == 3 + 4j).all()


def test_inputs_and_existing_outputs_are_safe(moving, tmp_path):
    scene = moving()
    (tmp_path / "o.tif").write_text("old")
    with pytest.raises(UsageError, match="--overwrite"):
        write_warped(scene, rotation(), reference_scene(), tmp_path / "o.tif", PLAIN)
    with pytest.raises(UsageError, match="also an input"):
        write_warped(scene, rotation(), reference_scene(), scene.path, OutputOptions(overwrite=True))


def test_virtual_files_can_be_written(moving):
    write_warped(moving(), rotation(), reference_scene(), "/vsimem/o.tif", PLAIN)
    assert read("/vsimem/o.tif")[0].shape == (2, 560, 600)


def test_antimeridian(tmp_path):
    place = rasterio.transform.from_origin(179.99, 10.0, 1e-4, 1e-4)
    scene = open_scene(write(tmp_path / "m.tif", coordinates(300, 200), crs="EPSG:4326", transform=place))
    reference = open_scene(
        write(tmp_path / "r.tif", coordinates(300, 200), crs="EPSG:4326",
              transform=rasterio.transform.from_origin(-179.995, 10.0, 1e-4, 1e-4))
    )  # fmt: skip
    from georeg.raster import GeocodingPrior

    prior = GeocodingPrior.between(scene, reference)
    write_warped(scene, prior, reference, tmp_path / "o.tif", PLAIN)
    pixels, valid, _ = read(tmp_path / "o.tif")
    assert valid.sum() == 150 * 200
    np.testing.assert_allclose(pixels[0][5][:5], np.arange(150, 155) + 0.5, atol=0.05)
    options = OutputOptions(driver="GTiff", dst_crs="EPSG:4326", num_threads=1)
    write_warped(scene, prior, reference, tmp_path / "p.tif", options)
    assert read(tmp_path / "p.tif")[0].shape[2] == pytest.approx(300, abs=2)
