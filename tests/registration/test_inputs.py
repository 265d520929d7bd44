"""Every kind of input a user may bring, registered: what counts is how near the answer is to the truth.

The moving image is looked up in the reference through a known map, with another sensor's contrast, and its file says
that it lies MOVED_M away from where it does.
"""

import zipfile
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.shutil import copy
from rasterio.warp import transform as reproject

from georeg.registration import MatchOptions, register

from ..rasters import UTM, write

OPTIONS = MatchOptions(num_threads=1)
PLACE = Affine(5, 0, 343_000, 0, -5, 5_612_000)
"""Of the reference, in UTM."""
MOVED_M = np.array([30.0, -20.0])
SIZE, REFERENCE_SIZE = 288, 400
GOOD_PX = 0.3
LEFT_PX = 135
WGS84 = "EPSG:4326"


@pytest.fixture(scope="module")
def ground(small_pair):
    """(REFERENCE_SIZE, REFERENCE_SIZE) uint8: the ground as the reference sees it."""
    with rasterio.open(small_pair.reference) as source:
        return source.read(2)[:REFERENCE_SIZE, :REFERENCE_SIZE]


@pytest.fixture(scope="module")
def reference(ground, tmp_path_factory):
    """The reference as a plain GeoTIFF."""
    return write(tmp_path_factory.mktemp("reference") / "reference.tif", ground, crs=UTM, transform=PLACE)


@dataclass(frozen=True)
class Moving:
    """A moving image not yet in a file.

    Attributes:
        pixels: (SIZE, SIZE) uint8, 1..255.
        transform, crs: how a file would place it: MOVED_M from where it lies.
        centres_xy: (N, 2) some of its pixels, corner-based.
        truth_xy: where these lie on the reference, reference px.
    """

    pixels: np.ndarray
    transform: Affine
    crs: str
    centres_xy: np.ndarray
    truth_xy: np.ndarray

    def error_px(self, moving, reference, verdicts=("pass",), **options):
        """Mean distance between where the registration puts the moving image's pixels and where they lie."""
        found = register(str(moving), str(reference), replace(OPTIONS, **options))
        assert found.quality.verdict in verdicts, found.quality
        return np.linalg.norm(found.transform(self.centres_xy) - self.truth_xy, axis=1).mean()


def seen_through(ground, to_reference, transform, crs=UTM):
    """The moving image that shows at pixel p the ground at `to_reference(p)`."""
    ys, xs = np.mgrid[:SIZE, :SIZE] + 0.5
    at = to_reference(np.column_stack([xs.ravel(), ys.ravel()]))
    where = at.reshape(SIZE, SIZE, 2).astype(np.float32) - 0.5
    pixels = cv2.remap(ground, where[..., 0], where[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    other_sensor = np.clip(270 - 1.2 * pixels.astype(float), 1, 255).astype(np.uint8)
    inner = slice(0, None, 997)
    return Moving(other_sensor, transform, crs, np.column_stack([xs.ravel(), ys.ravel()])[inner], at[inner])


def to_reference(transform, crs=UTM):
    """Moving px -> reference px for an image that truly lies at `transform` in `crs`."""

    def function(points_xy):
        x, y = transform @ (points_xy[:, 0], points_xy[:, 1])
        x, y = (x, y) if crs == UTM else map(np.array, reproject(crs, UTM, x, y))
        return np.column_stack(~PLACE @ (x, y))

    return function


def lying(ground, transform, crs=UTM):
    """The moving image that truly lies at `transform` in `crs`, and says it lies MOVED_M away."""
    shift = MOVED_M if CRS.from_user_input(crs).is_projected else MOVED_M / [71_000, 111_000]
    return seen_through(
        ground, to_reference(transform, crs), Affine.translation(*shift) @ transform, str(crs)
    )


@pytest.fixture(scope="module")
def plain(ground):
    """5.5 m pixels, turned by 3 degrees: the moving image of most tests."""
    turned = PLACE @ Affine.translation(25, 50) @ Affine.rotation(-3) @ Affine.scale(1.1)
    return lying(ground, turned)


@pytest.fixture
def placed(plain):
    """What rasterio needs to place the plain moving image."""
    return {"transform": plain.transform, "crs": plain.crs}


KINDS_OF_NUMBERS = {
    "uint8": lambda p: p,
    "int8": lambda p: (p / 2).astype(np.int8),
    "uint16": lambda p: p.astype(np.uint16) * 40,
    "int16 below zero": lambda p: p.astype(np.int16) * 9 - 2500,
    "uint32": lambda p: p.astype(np.uint32) * 1_000_003,
    "int32": lambda p: p.astype(np.int32) - 100_000,
    "float32": lambda p: p.astype(np.float32) / 4000,
    "float64": lambda p: p.astype(np.float64) * 1e-9,
    "complex64": lambda p: (p * np.exp(1j * np.random.default_rng(0).uniform(0, 6.3, p.shape))).astype("c8"),
}


@pytest.mark.parametrize("kind", KINDS_OF_NUMBERS)
def test_dtypes(plain, placed, reference, tmp_path, kind):
    path = write(tmp_path / "moving.tif", KINDS_OF_NUMBERS[kind](plain.pixels), **placed)
    assert plain.error_px(path, reference) < GOOD_PX


def test_complex_integers(plain, placed, reference, tmp_path):
    turned = plain.pixels * np.exp(1j * np.random.default_rng(0).uniform(0, 6.3, plain.pixels.shape))
    path = write(
        tmp_path / "slc.tif", (20 * turned).astype(np.complex64), **placed | {"dtype": "complex_int16"}
    )
    assert plain.error_px(path, reference) < GOOD_PX


@pytest.mark.parametrize("bands", [None, (4,), (2, 4, 6)])
def test_many_bands(plain, placed, reference, tmp_path, bands):
    noise = np.random.default_rng(0).integers(0, 30, (9, SIZE, SIZE), np.uint16)
    data = noise + plain.pixels * np.arange(1, 10, dtype=np.uint16)[:, None, None]
    path = write(tmp_path / "cube.tif", data, **placed)
    assert plain.error_px(path, reference, bands=bands) < GOOD_PX


def test_a_colour_table(plain, placed, reference, tmp_path):
    """The palette's order has nothing to do with its brightness."""
    order = np.random.default_rng(0).permutation(256)
    path = write(tmp_path / "map.tif", order.astype(np.uint8)[plain.pixels], **placed, photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {int(order[grey]): (grey, grey, grey, 255) for grey in range(256)})
    assert plain.error_px(path, reference) < GOOD_PX


def hole():
    """A frame and a diagonal stripe without data, a quarter of the image."""
    rows, cols = np.indices((SIZE, SIZE))
    missing = (rows < 24) | (cols > SIZE - 18) | (abs(rows - cols) < 16)
    assert 0.2 < missing.mean() < 0.3
    return missing


def without_data(kind, path, pixels, missing, placed):
    """Write the pixels with the missing ones declared so in one of the ways there are."""
    if kind == "alpha":
        alpha = np.where(missing, 0, 255).astype(np.uint8)
        return write(path, np.stack([*[np.where(missing, 0, pixels)] * 3, alpha]), **placed, photometric="RGB",
                     alpha="yes")  # fmt: skip
    if kind == "mask":
        return write(path, np.where(missing, 255, pixels), mask=~missing, **placed)
    if kind == "nan":
        return write(path, np.where(missing, np.nan, pixels).astype(np.float32), **placed)
    if kind == "value":
        return write(path, np.where(missing, -9999, pixels).astype(np.int16), nodata=-9999, **placed)
    return write(path, np.where(missing, 0, pixels), **placed)


@pytest.mark.parametrize("kind", ["value", "mask", "alpha", "nan", "undeclared"])
@pytest.mark.parametrize("side", ["moving", "reference"])
def test_nodata(plain, placed, ground, reference, tmp_path, kind, side):
    """Its edges run differently through both images: whoever matched them would be led astray."""
    if side == "moving":
        moving = without_data(kind, tmp_path / "moving.tif", plain.pixels, hole(), placed)
        assert plain.error_px(moving, reference) < GOOD_PX
        return
    moving = write(tmp_path / "moving.tif", plain.pixels, **placed)
    missing = cv2.resize(hole().astype(np.uint8)[:, ::-1], ground.shape, interpolation=cv2.INTER_NEAREST) > 0
    gappy = without_data(
        kind, tmp_path / "reference.tif", np.maximum(ground, 1), missing, {"transform": PLACE, "crs": UTM}
    )
    assert plain.error_px(moving, gappy) < GOOD_PX


def amid(crs, pixel_x, pixel_y):
    """A north-up geotransform in `crs` that puts the middle of the moving image near the middle of the reference."""
    middle = PLACE @ (REFERENCE_SIZE / 2 + 7, REFERENCE_SIZE / 2 - 5)
    (x,), (y,) = reproject(UTM, crs, *([value] for value in middle))
    return Affine(pixel_x, 0, x - pixel_x * SIZE / 2, 0, -pixel_y, y + pixel_y * SIZE / 2), crs


PLACES = {
    "rotated": (PLACE @ Affine.translation(200, 10) @ Affine.rotation(40), UTM),
    "south-up": (PLACE @ Affine.translation(30, 330) @ Affine.scale(1, -1), UTM),
    "mirrored and turned": (PLACE @ Affine.translation(40, 40) @ Affine.rotation(90) @ Affine.scale(1, -1), UTM),
    "oblong pixels": (PLACE @ Affine.translation(30, 60) @ Affine.scale(1.2, 0.8), UTM),
    "finer pixels": (PLACE @ Affine.translation(70, 90) @ Affine.scale(0.8), UTM),
    "the next zone": amid("EPSG:32632", 5.0, 5.0),
    "degrees": amid(WGS84, 7e-5, 4.5e-5),
    "Mercator": amid("EPSG:3857", 8.0, 8.0),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_geotransforms_and_crs(ground, reference, tmp_path, name):
    made = lying(ground, *PLACES[name])
    path = write(tmp_path / "moving.tif", made.pixels, transform=made.transform, crs=made.crs)
    assert made.error_px(path, reference) < GOOD_PX


def test_coarser_pixels(plain, placed, ground, tmp_path):
    """The reference has four times the moving image's pixels to the metre."""
    fine = cv2.resize(ground, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    reference = write(tmp_path / "fine.tif", fine, crs=UTM, transform=PLACE @ Affine.scale(0.25))
    finer = replace(plain, truth_xy=4 * plain.truth_xy)
    assert finer.error_px(write(tmp_path / "moving.tif", plain.pixels, **placed), reference) < 4 * GOOD_PX


def control_points(transform):
    """A grid of 5 x 5 GCPs that obey a geotransform."""
    side = np.linspace(0, SIZE, 5)
    return [GroundControlPoint(row, col, *(transform @ (col, row))) for row in side for col in side]


def rational_polynomials(transform):
    """RPCs in degrees that obey a geotransform in UTM to some centimetres."""
    cols, rows = (side.ravel() for side in np.meshgrid(np.linspace(0, SIZE, 9), np.linspace(0, SIZE, 9)))
    lon, lat = map(np.array, reproject(UTM, WGS84, *(transform @ (cols, rows))))
    offset = {"long": lon.mean(), "lat": lat.mean(), "height": 0.0, "line": SIZE / 2, "samp": SIZE / 2}
    scale = {"long": np.ptp(lon), "lat": np.ptp(lat), "height": 500.0, "line": SIZE / 2, "samp": SIZE / 2}
    design = np.column_stack(
        [np.ones_like(lon), (lon - offset["long"]) / scale["long"], (lat - offset["lat"]) / scale["lat"]]
    )
    one, none = [1.0], [0.0]
    terms = {"line_den_coeff": one + 19 * none, "samp_den_coeff": one + 19 * none}
    for name, pixel in (("line", rows), ("samp", cols)):
        normalised = (pixel - 0.5 - offset[name]) / scale[name]
        terms[f"{name}_num_coeff"] = [*np.linalg.lstsq(design, normalised, rcond=None)[0], *(17 * none)]
    return RPC(
        **{f"{name}_off": value for name, value in offset.items()},
        **{f"{name}_scale": value for name, value in scale.items()},
        **terms,
    )


@pytest.mark.parametrize("kind", ["gcps", "rpcs"])
@pytest.mark.parametrize("side", ["moving", "reference"])
def test_control_points_or_rational_polynomials_only(plain, placed, ground, reference, tmp_path, kind, side):
    def place(transform):
        if kind == "gcps":
            return {"gcps": control_points(transform), "crs": UTM}
        return {"rpcs": rational_polynomials(transform)}

    if side == "moving":
        moving = write(tmp_path / "moving.tif", plain.pixels, **place(plain.transform))
    else:
        moving = write(tmp_path / "moving.tif", plain.pixels, **placed)
        reference = write(tmp_path / "reference.tif", ground, **place(PLACE))
    assert plain.error_px(moving, reference, prior="geocoding") < GOOD_PX


@pytest.mark.parametrize("crs", [WGS84, "EPSG:32601"])
def test_the_antimeridian(ground, tmp_path, crs):
    """The reference in degrees runs beyond 180 east, the moving image speaks of degrees west, or of UTM zone 1."""
    step, north = 5e-5, 10.0
    place = Affine(step, 0, 179.993, 0, -step, north)
    reference = write(tmp_path / "reference.tif", ground, crs=WGS84, transform=place)
    if crs == WGS84:
        moving = Affine(step, 0, 179.993 + 50 * step - 360, 0, -step, north - 40 * step)
        points = lambda xy: xy + [50, 40]  # noqa: E731
        said = Affine.translation(6 * step, -4 * step) @ moving
    else:
        left, top = (value[0] for value in reproject(WGS84, crs, [179.993 + 50 * step], [north - 40 * step]))
        moving = Affine(5.5, 0, left, 0, -5.5, top)
        said = Affine.translation(*MOVED_M) @ moving

        def points(xy):
            lon, lat = map(np.array, reproject(crs, WGS84, *(moving @ (xy[:, 0], xy[:, 1]))))
            return np.column_stack(~place @ (lon % 360, lat))

    made = seen_through(ground, points, said, crs)
    path = write(tmp_path / "moving.tif", made.pixels, transform=said, crs=crs)
    assert made.error_px(path, reference, prior="geocoding") < GOOD_PX


CONTAINERS = {
    "COG": ("COG", "tif", {}),
    "JPEG 2000": ("JP2OpenJPEG", "jp2", {}),
    "VRT": ("VRT", "vrt", {}),
    "PNG": ("PNG", "png", {"WORLDFILE": "YES"}),
    "JPEG": ("JPEG", "jpg", {"QUALITY": "90"}),
    "ENVI": ("ENVI", "img", {}),
    "HFA": ("HFA", "img", {}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(plain, placed, reference, tmp_path, name):
    driver, ending, creation = CONTAINERS[name]
    source = write(tmp_path / "source.tif", plain.pixels, **placed)
    copy(source, tmp_path / f"moving.{ending}", driver=driver, **creation)
    assert plain.error_px(tmp_path / f"moving.{ending}", reference) < GOOD_PX


def test_zipped_images(plain, placed, reference, tmp_path):
    source = write(tmp_path / "source.tif", plain.pixels, **placed)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        archive.write(source, "in/moving.tif")
        archive.write(reference, "in/reference.tif")
    inside = f"/vsizip/{tmp_path}/both.zip/in"
    assert plain.error_px(f"{inside}/moving.tif", f"{inside}/reference.tif") < GOOD_PX


@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_pictures_without_georeferencing(plain, ground, reference, tmp_path, driver):
    """One unplaced image, or two: the answer is in the reference's pixels either way."""
    moving = write(tmp_path / "moving.img", plain.pixels, driver=driver)
    assert plain.error_px(moving, reference) < GOOD_PX
    assert plain.error_px(moving, write(tmp_path / "reference.img", ground, driver=driver)) < GOOD_PX


@pytest.fixture
def half_wrong(plain, ground):
    """The plain moving image with a larger part from 14 px away, and where it is right: (pixels, (H, W) bool)."""
    elsewhere = seen_through(ground, lambda xy: to_reference_of(plain)(xy) + [14.0, -9.0], plain.transform)
    right = np.indices((SIZE, SIZE))[1] < LEFT_PX
    return np.where(right, plain.pixels, elsewhere.pixels), right


def to_reference_of(made):
    """The moving px -> reference px map that an affine `Moving` was made with."""
    lifted = np.column_stack([made.centres_xy, np.ones(len(made.centres_xy))])
    matrix = np.linalg.lstsq(lifted, made.truth_xy, rcond=None)[0]
    return lambda points_xy: np.column_stack([points_xy, np.ones(len(points_xy))]) @ matrix


def outline(transform, crs, path):
    """A GeoPackage with the polygon around the left LEFT_PX columns of the moving image."""
    corners = [(0, 0), (LEFT_PX, 0), (LEFT_PX, SIZE), (0, SIZE)]
    polygon = shapely.Polygon([transform @ corner for corner in corners])
    pyogrio.raw.write(
        path, np.array([shapely.to_wkb(polygon)], object), [], [], geometry_type="Polygon", crs=crs
    )
    return str(path)


@pytest.mark.parametrize("kind", ["raster", "vector"])
def test_masks_say_what_counts(plain, placed, half_wrong, reference, tmp_path, kind):
    pixels, right = half_wrong
    moving = write(tmp_path / "moving.tif", pixels, **placed)
    if kind == "raster":
        mask = str(write(tmp_path / "mask.tif", right.astype(np.uint8), **placed))
    else:
        mask = outline(plain.transform, plain.crs, tmp_path / "mask.gpkg")
    unmasked = register(str(moving), str(reference), OPTIONS).transform(plain.centres_xy) - plain.truth_xy
    assert np.linalg.norm(unmasked, axis=1).mean() > 5, "the wrong part is the larger one"
    assert plain.error_px(moving, reference, ("pass", "warn"), mask=mask) < 2 * GOOD_PX
