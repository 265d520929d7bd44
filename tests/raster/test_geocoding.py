"""Geocoding: known places, inverse after forward, across CRSs and round the antimeridian."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import rasterio.warp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator

from georeg.raster.geocoding import Geocoding, GeocodingPrior, ground_distance_m
from georeg.scene import Grid, Scene

UTM33, UTM34 = (rasterio.crs.CRS.from_epsg(code).to_wkt() for code in (32633, 32634))
WGS84 = rasterio.crs.CRS.from_epsg(4326).to_wkt()
POINTS = np.array([[0.0, 0.0], [1000.0, 0.0], [333.3, 777.7], [1000.0, 800.0]])
RPCS = {
    "HEIGHT_OFF": "100", "HEIGHT_SCALE": "500", "LAT_OFF": "48.0", "LAT_SCALE": "0.05", "LONG_OFF": "11.0",
    "LONG_SCALE": "0.05", "LINE_OFF": "400", "LINE_SCALE": "400", "SAMP_OFF": "500", "SAMP_SCALE": "500",
    "LINE_NUM_COEFF": "0 0.02 -1 0.1 0.001 0 0 0.002 0 0 0 0 0 0 0 0 0 0 0 0",
    "LINE_DEN_COEFF": "1 0.001 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
    "SAMP_NUM_COEFF": "0 1 0.03 0.05 0.002 0 0 0.001 0 0 0 0 0 0 0 0 0 0 0 0",
    "SAMP_DEN_COEFF": "1 0 0.001 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
}  # fmt: skip


def scene(geotransform=None, crs=UTM33, width=1000, height=800, **fields) -> Scene:
    kind = fields.pop("geocoding", "geotransform" if geotransform else "none")
    return Scene("x.tif", Grid(width, height, geotransform, crs), 1, "uint8", geocoding=kind, **fields)


def gcp_scene(function, crs=UTM33, count=6) -> Scene:
    xs, ys = np.meshgrid(np.linspace(0, 1000, count), np.linspace(0, 800, count))
    px = np.stack([xs.ravel(), ys.ravel()], 1)
    return scene(None, crs, geocoding="gcps", gcps=np.hstack([px, function(px)]))


def bent(px: np.ndarray) -> np.ndarray:
    """A smooth map that is no polynomial of low order."""
    x, y = px.T / 1000
    return np.stack([5e5 + 1e4 * x + 300 * np.sin(2 * x + y), 5e6 - 1e4 * y + 200 * np.cos(3 * y)], 1)


def test_north_up_pixel_lies_where_the_geotransform_says():
    place = Geocoding.of(scene((10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0)))
    np.testing.assert_allclose(place.to_map(np.array([[3.0, 4.0]])), [[500030.0, 4999960.0]])
    np.testing.assert_allclose(place.to_px(np.array([[500030.0, 4999960.0]])), [[3.0, 4.0]], atol=1e-9)


@pytest.mark.parametrize(
    "geotransform",
    [(10.0, 0.0, 5e5, 0.0, 10.0, 5e6), (7.0, 7.0, 5e5, 7.0, -7.0, 5e6), (10.0, 0.0, 5e5, 0.0, -20.0, 5e6)],
    ids=["south-up", "rotated", "oblong"],
)
def test_inverse_after_forward_is_identity(geotransform):
    place = Geocoding.of(scene(geotransform))
    np.testing.assert_allclose(place.to_px(place.to_map(POINTS)), POINTS, atol=1e-8)


@pytest.mark.parametrize("count", [2, 3, 6, 15])
def test_control_points_of_an_affine_map_give_that_map(count):
    place = Geocoding.of(gcp_scene(lambda px: px * [10.0, -10.0] + [5e5, 5e6], count=count))
    np.testing.assert_allclose(place.to_map(POINTS), POINTS * [10, -10] + [5e5, 5e6], atol=1e-6)
    np.testing.assert_allclose(place.to_px(place.to_map(POINTS)), POINTS, atol=1e-6)


def test_bent_control_points_are_met_and_inverted():
    made = gcp_scene(bent, count=12)
    place = Geocoding.of(made)
    np.testing.assert_allclose(place.to_map(made.gcps[:, :2]), made.gcps[:, 2:], atol=1e-3)
    assert np.abs(place.to_map(POINTS) - bent(POINTS)).max() < 0.5  # a twentieth of a pixel
    np.testing.assert_allclose(place.to_px(place.to_map(POINTS)), POINTS, atol=1e-5)


def test_bent_control_points_give_the_spline_that_scipy_makes():
    made = gcp_scene(bent, count=12)
    scipys = RBFInterpolator(made.gcps[:, :2] / 1000, made.gcps[:, 2:])
    place = Geocoding.of(replace(made, gcps=np.vstack([made.gcps, made.gcps[:5]])))  # some points given twice
    np.testing.assert_allclose(place.to_map(POINTS), scipys(POINTS / 1000), rtol=0, atol=1e-5)
    assert np.isnan(place.to_map(np.array([[np.nan, 3.0]]))).all()


def test_rational_polynomials_invert_and_survive_pickling():
    place = Geocoding.of(scene(None, WGS84, geocoding="rpcs", tags={"rpcs": RPCS}))
    place = pickle.loads(pickle.dumps(place))
    lon_lat = place.to_map(POINTS)
    assert np.abs(lon_lat - [11.0, 48.0]).max() < 0.2
    np.testing.assert_allclose(place.to_px(lon_lat), POINTS, atol=1e-3)


def test_same_crs_prior_is_an_exact_matrix():
    moving = scene((20.0, 0.0, 500100.0, 0.0, -20.0, 5000000.0))
    reference = scene((10.0, 0.0, 500000.0, 0.0, -10.0, 5000050.0))
    prior = GeocodingPrior.between(moving, reference)
    np.testing.assert_allclose(prior.matrix, [[2, 0, 10], [0, 2, 5], [0, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(prior(POINTS), POINTS * 2 + [10, 5], atol=1e-8)
    assert prior.overlap(moving, reference) == pytest.approx(0.99 * 0.795 / 4, abs=0.1)


def test_prior_across_zones_agrees_with_proj_and_has_no_matrix():
    moving = scene((10.0, 0.0, 700000.0, 0.0, -10.0, 5000000.0))
    x, y = rasterio.warp.transform(UTM33, UTM34, [700000.0], [5000000.0])
    reference = scene((10.0, 0.0, x[0], 0.0, -10.0, y[0]), UTM34)
    prior = GeocodingPrior.between(moving, reference)
    assert prior.matrix is None
    np.testing.assert_allclose(prior(np.array([[0.0, 0.0]])), [[0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(prior.inverse(prior(POINTS)), POINTS, atol=1e-4)


@pytest.mark.parametrize("turn", [0.0, 360.0, -360.0])
def test_scenes_meet_at_the_antimeridian(turn):
    moving = scene((1e-4, 0.0, 179.99, 0.0, -1e-4, 10.0), WGS84)
    reference = scene((1e-4, 0.0, -179.99 + turn, 0.0, -1e-4, 10.0), WGS84)
    prior = GeocodingPrior.between(moving, reference)
    np.testing.assert_allclose(prior(np.array([[200.0, 5.0]])), [[0.0, 5.0]], atol=1e-6)
    np.testing.assert_allclose(prior.matrix, [[1, 0, -200], [0, 1, 0], [0, 0, 1]], atol=1e-6)
    assert prior.overlap(moving, reference) == pytest.approx(0.8, abs=1e-6)


def test_mercator_scenes_meet_at_the_antimeridian():
    mercator = rasterio.crs.CRS.from_epsg(3857).to_wkt()
    edge = np.pi * 6378137
    moving = scene((10.0, 0.0, edge - 1000, 0.0, -10.0, 0.0), mercator)
    reference = scene((10.0, 0.0, -edge, 0.0, -10.0, 0.0), mercator)
    np.testing.assert_allclose(
        GeocodingPrior.between(moving, reference)(np.array([[100.0, 7.0]])), [[0, 7]], atol=1e-5
    )


def test_prior_between_utm_and_degrees_crosses_the_antimeridian():
    utm1 = rasterio.crs.CRS.from_epsg(32601).to_wkt()
    x, y = rasterio.warp.transform(WGS84, utm1, [-180.0], [10.0])
    moving = scene((10.0, 0.0, x[0] - 5000, 0.0, -10.0, y[0]), utm1)
    reference = scene((1e-4, 0.0, 179.95, 0.0, -1e-4, 10.02), WGS84)
    prior = GeocodingPrior.between(moving, reference)
    np.testing.assert_allclose(prior(np.array([[500.0, 0.0]])), [[500.0, 200.0]], atol=1e-4)
    np.testing.assert_allclose(prior.inverse(prior(POINTS)), POINTS, atol=1e-4)


def test_no_prior_without_georeferencing():
    placed = scene((10.0, 0.0, 5e5, 0.0, -10.0, 5e6))
    assert GeocodingPrior.between(placed, scene(None, None)) is None
    assert GeocodingPrior.between(scene(None, None), placed) is None


def test_scene_without_crs_is_taken_to_share_the_others():
    first, second = scene((10.0, 0.0, 5e5, 0.0, -10.0, 5e6)), scene((10.0, 0.0, 5e5, 0.0, -10.0, 5e6), None)
    np.testing.assert_allclose(GeocodingPrior.between(first, second).matrix, np.eye(3), atol=1e-9)


def test_distances_on_the_ground():
    assert ground_distance_m(Geocoding.of(scene((10.0, 0.0, 5e5, 0.0, -10.0, 5e6)))) == pytest.approx(
        10, rel=1e-3
    )
    mercator = rasterio.crs.CRS.from_epsg(3857).to_wkt()
    north = scene((10.0, 0.0, 0.0, 0.0, -10.0, 8399737.9), mercator)  # 60 degrees north: half of 10 m
    assert ground_distance_m(Geocoding.of(north)) == pytest.approx(5, rel=0.01)
    degrees = scene((1e-4, 0.0, 179.95, 0.0, -1e-4, 0.04), WGS84)
    assert ground_distance_m(Geocoding.of(degrees)) == pytest.approx(11.1, rel=0.01)
    assert ground_distance_m(Geocoding.of(scene((1.0, 0.0, 9.0, 0.0, -1.0, 9.0), None))) is None


def test_footprint_is_the_moved_outline():
    moving = scene((10.0, 0.0, 500100.0, 0.0, -10.0, 5e6))
    reference = scene((10.0, 0.0, 500000.0, 0.0, -10.0, 5e6))
    prior = GeocodingPrior.between(moving, reference)
    assert prior.footprint(moving).bounds == pytest.approx((10.0, 0.0, 1010.0, 800.0))
    assert prior.overlap(moving, replace(reference, grid=Grid(10, 800))) == 0


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(-3.1, 3.1), x=st.floats(-1e6, 1e6), y=st.floats(-1e6, 1e6))
def test_any_rotated_geotransform_inverts(angle, x, y):
    cos, sin = 10 * np.cos(angle), 10 * np.sin(angle)
    place = Geocoding.of(scene((cos, sin, x, sin, -cos, y)))
    np.testing.assert_allclose(place.to_px(place.to_map(POINTS)), POINTS, atol=1e-6)
