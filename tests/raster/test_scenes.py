"""Scenes of every kind of file, and every bad one with its cause and remedy."""

import zipfile

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from georeg.errors import InputError, UsageError
from georeg.raster import Geocoding, SceneReader, open_scene
from georeg.raster.files import open_dataset
from georeg.scene import Modality

from ..rasters import UTM, coordinates, write
from .conftest import identity_gcps
from .test_geocoding import RPCS

PLACE = from_origin(500000, 5000000, 10, 10)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(1, 255, (64, 80)).astype(np.uint8)


def centre_map(scene):
    return Geocoding.of(scene).to_map(np.array([[scene.grid.width / 2, scene.grid.height / 2]]))[0]


def test_geotiff(tmp_path, noise):
    scene = open_scene(write(tmp_path / "a.tif", noise.astype(np.uint16), crs=UTM, transform=PLACE, nodata=0))
    assert (scene.grid.width, scene.grid.height, scene.grid.shape) == (80, 64, (64, 80))
    assert scene.grid.geotransform == (10, 0, 500000, 0, -10, 5000000)
    assert "UTM zone 33N" in scene.grid.crs_wkt
    assert (scene.geocoding, scene.dtype, scene.nodata, scene.band_count) == ("geotransform", "uint16", 0, 1)
    assert scene.gsd_m == pytest.approx(10, rel=1e-3)
    assert scene.name == "a.tif"


@pytest.mark.parametrize(
    ("driver", "ending"), [("COG", "tif"), ("JP2OpenJPEG", "jp2"), ("PNG", "png"), ("JPEG", "jpg")]
)
def test_formats(tmp_path, noise, driver, ending):
    source = write(tmp_path / "source.tif", np.repeat(noise, 3, 0), crs=UTM, transform=PLACE)
    copy(source, tmp_path / f"a.{ending}", driver=driver)
    scene = open_scene(tmp_path / f"a.{ending}")
    assert scene.grid.shape == (192, 80)
    assert scene.geocoding == "geotransform"
    with SceneReader(scene) as reader:
        assert reader.read_window(0, 0, 80, 192)[1].all()


@pytest.mark.parametrize(("driver", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("GTiff", "tif")])
def test_no_georeferencing_is_no_error(tmp_path, noise, driver, ending):
    scene = open_scene(write(tmp_path / f"a.{ending}", noise, driver=driver))
    assert scene.geocoding == "none"
    assert scene.grid.geotransform is None
    assert scene.gsd_m is None
    assert Geocoding.of(scene) is None


def test_vrt_and_zip(tmp_path, noise):
    path = write(tmp_path / "a.tif", noise, crs=UTM, transform=PLACE)
    copy(path, tmp_path / "a.vrt", driver="VRT")
    assert open_scene(tmp_path / "a.vrt").grid == open_scene(path).grid
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "inner/a.tif")
    assert open_scene(f"/vsizip/{tmp_path}/a.zip/inner/a.tif").grid == open_scene(path).grid


def test_subdatasets_must_be_named(tmp_path, noise):
    for number in (0, 1):
        write(tmp_path / "a.gpkg", noise + number, driver="GPKG", crs="EPSG:3857", transform=PLACE,
              RASTER_TABLE=f"t{number}", APPEND_SUBDATASET="YES" if number else "NO")  # fmt: skip
    with pytest.raises(InputError, match=r"holds 2 images: name one of them, for instance GPKG:"):
        open_scene(tmp_path / "a.gpkg")
    assert open_scene(f"GPKG:{tmp_path}/a.gpkg:t1").grid.shape == (64, 80)


def test_control_points_only(tmp_path, noise):
    path = write(tmp_path / "a.tif", noise, gcps=identity_gcps(PLACE, 80, 64), crs=UTM)
    scene = open_scene(path)
    assert scene.geocoding == "gcps"
    assert scene.gcps.shape == (25, 4)
    np.testing.assert_allclose(centre_map(scene), [500400, 4999680], atol=1e-6)
    assert scene.gsd_m == pytest.approx(10, rel=1e-3)


@pytest.mark.parametrize("line", ["in the image", "on the map"])
def test_control_points_on_a_line_place_nothing(tmp_path, noise, line):
    points = [
        rasterio.control.GroundControlPoint(
            row=0.0 if line == "in the image" else float(y),
            col=float(x),
            x=5e5 + 10 * x,
            y=5e6 if line == "on the map" else 5e6 - 10 * y,
        )
        for x, y in [(0, 0), (20, 30), (40, 10), (79, 60), (10, 50), (60, 5), (33, 33)]
    ]
    scene = open_scene(write(tmp_path / "a.tif", noise, gcps=points, crs=UTM))
    assert (scene.geocoding, scene.gcps, scene.gsd_m) == ("none", None, None)


def test_rational_polynomials_only(tmp_path, noise):
    scene = open_scene(write(tmp_path / "a.tif", noise, rpcs=rasterio.rpc.RPC.from_gdal(RPCS)))
    assert scene.geocoding == "rpcs"
    assert Geocoding.of(scene).to_map(np.array([[500.5, 400.5]]))[0] == pytest.approx([11.0, 48.0], abs=1e-3)
    assert scene.gsd_m is not None


def test_rotated_and_south_up_transforms_are_kept(tmp_path, noise):
    for place in (rasterio.Affine(7, 7, 5e5, 7, -7, 5e6), rasterio.Affine(10, 0, 5e5, 0, 10, 5e6)):
        scene = open_scene(write(tmp_path / "a.tif", noise, crs=UTM, transform=place))
        assert scene.grid.geotransform == tuple(place)[:6]


def test_world_file_without_crs(tmp_path, noise):
    path = write(tmp_path / "a.png", noise, driver="PNG")
    (tmp_path / "a.pgw").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    scene = open_scene(path)
    assert (scene.geocoding, scene.grid.crs_wkt, scene.gsd_m) == ("geotransform", None, None)
    np.testing.assert_allclose(centre_map(scene), [500400, 4999680])


def test_default_bands(tmp_path, noise):
    rgba = np.stack([noise, noise, noise, np.full_like(noise, 255)])
    assert open_scene(write(tmp_path / "rgba.tif", rgba, photometric="RGB", alpha="yes")).bands == (1, 2, 3)
    many = write(tmp_path / "many.tif", np.repeat(noise[None], 6, 0), photometric="MINISBLACK")
    assert open_scene(many).bands == (1,)
    with open_dataset(write(tmp_path / "s2.tif", np.repeat(noise[None], 4, 0)), mode="r+") as dataset:
        dataset.descriptions = ("B2", "B3", "B4", "B8")
        dataset.colorinterp = [rasterio.enums.ColorInterp.gray] + [rasterio.enums.ColorInterp.undefined] * 3
    assert open_scene(tmp_path / "s2.tif").bands == (3,)
    grey_alpha = write(tmp_path / "ga.tif", rgba[2:], alpha="yes")
    assert open_scene(grey_alpha).bands == (1,)


def test_several_bands_are_averaged_with_equal_spread(tmp_path, noise):
    path = write(tmp_path / "a.tif", np.stack([noise.astype(np.float32), noise.astype(np.float32) * 1000]))
    scene = open_scene(path, bands=(1, 2))
    assert scene.tags["weights"] == pytest.approx((1000 / 1001, 1 / 1001), rel=1e-3)


@pytest.mark.parametrize("bands", [(0,), (2,), (1, -1)])
def test_wrong_band_is_a_usage_error(tmp_path, noise, bands):
    with pytest.raises(UsageError, match=r"a.png has 1 band, but band"):
        open_scene(write(tmp_path / "a.png", noise, driver="PNG"), bands=bands)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("S1A_IW_GRDH_vv.tif", Modality.SAR),
        ("scene_thermal.tif", Modality.INFRARED), ("dem_30m.tif", Modality.ELEVATION),
        ("osm_map.tif", Modality.MAP), ("ortho.tif", Modality.OPTICAL),
    ],
)  # fmt: skip
def test_modality_from_the_name(tmp_path, noise, name, modality):
    scene = open_scene(write(tmp_path / name, noise))
    assert (scene.modality, scene.modality_given, scene.tags["modality_from"]) == (
        modality,
        False,
        "file name",
    )
    given = open_scene(tmp_path / name, modality="infrared")
    assert (given.modality, given.modality_given) == (Modality.INFRARED, True)


def test_modality_from_the_pixels(tmp_path):
    rng = np.random.default_rng(3)
    ys, xs = np.mgrid[:256, :256] / 256
    smooth = np.sin(4 * xs) + np.cos(5 * ys)
    speckle = (100 + 40 * smooth) * np.sqrt(rng.gamma(1, 1, smooth.shape))
    blocks = np.kron(rng.integers(1, 6, (16, 16)), np.ones((16, 16))) * 40
    texture = 120 + 40 * smooth + rng.normal(0, 4, smooth.shape)
    made = {
        Modality.SAR: speckle.astype(np.uint16), Modality.ELEVATION: (700 + 300 * smooth).astype(np.float32),
        Modality.MAP: blocks.astype(np.uint8), Modality.OPTICAL: texture.astype(np.uint8),
    }  # fmt: skip
    for modality, data in made.items():
        scene = open_scene(write(tmp_path / "x.tif", data))
        assert (scene.modality, scene.tags["modality_from"]) == (modality, "pixels")


def test_unknown_modality_lists_the_known_ones(tmp_path, noise):
    with pytest.raises(UsageError, match="auto, optical, sar"):
        open_scene(write(tmp_path / "a.tif", noise), modality="lidar")


def test_three_pixels_and_constant_images_open(tmp_path):
    scene = open_scene(write(tmp_path / "tiny.tif", np.array([[1, 2, 3]], np.uint8)))
    assert scene.grid.shape == (1, 3)
    assert open_scene(write(tmp_path / "flat.tif", np.zeros((50, 50), np.uint8))).grid.shape == (50, 50)
    assert open_scene(write(tmp_path / "nan.tif", np.full((50, 50), np.nan, np.float32))).dtype == "float32"


def test_missing_empty_damaged_and_folder(tmp_path, noise):
    with pytest.raises(InputError, match=r"none.tif does not exist"):
        open_scene(tmp_path / "none.tif")
    with pytest.raises(InputError, match=r"nothing.tif does not exist"):
        open_scene("nothing.tif")
    (tmp_path / "empty.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.tif is empty"):
        open_scene(tmp_path / "empty.tif")
    (tmp_path / "text.tif").write_text("this is no image")
    with pytest.raises(InputError, match=r"text.tif cannot be read as an image"):
        open_scene(tmp_path / "text.tif")
    with pytest.raises(InputError, match="is a folder"):
        open_scene(tmp_path)
    path = write(tmp_path / "cut.tif", noise)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cut\.tif"):
        open_scene(path)
    with pytest.raises(InputError, match=r"mask .* does not exist"):
        open_scene(write(tmp_path / "a.tif", noise), mask=tmp_path / "m.tif")


def test_truncated_cog_is_found_at_once(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (900, 900)).astype(np.uint8)
    copy(write(tmp_path / "a.tif", noise), tmp_path / "cog.tif", driver="COG")
    whole = (tmp_path / "cog.tif").read_bytes()
    (tmp_path / "cog.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cog.tif.*truncated"):
        open_scene(tmp_path / "cog.tif")


def test_warped_vrt_and_nodata_are_read(tmp_path):
    path = write(tmp_path / "a.tif", coordinates(60, 50), crs=UTM, transform=PLACE)
    with rasterio.open(path) as dataset, WarpedVRT(dataset, crs="EPSG:4326", nodata=-1) as vrt:
        copy(vrt, tmp_path / "w.vrt", driver="VRT")
    scene = open_scene(tmp_path / "w.vrt")
    assert scene.nodata == -1
    assert scene.gsd_m == pytest.approx(10, rel=0.1)
