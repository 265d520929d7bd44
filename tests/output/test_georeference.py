"""Georeferencing without resampling: the pixels stay bit for bit, the place is the registered one."""

import numpy as np
import pytest
import rasterio.shutil
import rasterio.warp
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer, from_origin
from rasterio.vrt import WarpedVRT

from georeg.errors import UsageError
from georeg.output.georeference import write_georeferenced, write_vrt
from georeg.output.options import OutputOptions
from georeg.raster import Geocoding, GeocodingPrior, open_scene
from georeg.raster.files import open_dataset
from georeg.raster.geocoding import transform_map

from ..rasters import UTM, coordinates
from .conftest import Bent, reference_scene, rotation

OPTIONS = OutputOptions(mode="georeference", driver="GTiff", num_threads=1)
POINTS = np.array([[0.0, 0.0], [600.0, 0.0], [123.4, 456.7], [600.0, 560.0]])


class Shifted:
    """The files' own geocoding, then a shift in reference pixels."""

    kind = "shift"

    def __init__(self, prior, shift):
        self.prior, self.shift = prior, np.array(shift)

    def __call__(self, points_xy):
        return self.prior(points_xy) + self.shift

    def inverse(self, points_xy):
        return self.prior.inverse(points_xy - self.shift)


def placed(path):
    return Geocoding.of(open_scene(path, modality="optical")).to_map(POINTS)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize(
    "mapping", [rotation(x=3.25, y=-7), rotation(0.4, 1.3, 50, 20)], ids=["shift", "rotated"]
)
def test_affine_result_becomes_a_geotransform(moving, tmp_path, mapping, driver):
    data = np.random.default_rng(0).integers(0, 60000, (2, 560, 600)).astype(np.uint16)
    scene, reference = moving(data, nodata=7), reference_scene()
    write_georeferenced(scene, mapping, reference, tmp_path / "o.tif", OutputOptions(driver=driver))
    wanted = Geocoding.of(reference).to_map(mapping(POINTS))
    np.testing.assert_allclose(placed(tmp_path / "o.tif"), wanted, atol=1e-6)
    with open_dataset(tmp_path / "o.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), data)
        assert dataset.crs == UTM
        assert dataset.nodata == 7


def test_the_moving_files_own_crs_is_kept(moving, tmp_path):
    x, y = rasterio.warp.transform(UTM, "EPSG:32634", [500500], [4999800])
    scene = moving(crs="EPSG:32634", transform=from_origin(x[0], y[0], 10, 10))
    reference = reference_scene()
    mapping = Shifted(GeocodingPrior.between(scene, reference), [4.0, -2.5])
    write_georeferenced(scene, mapping, reference, tmp_path / "o.tif", OPTIONS)
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.crs == "EPSG:32634"
    wanted = transform_map(
        CRS.from_user_input(UTM), CRS.from_epsg(32634), Geocoding.of(reference).to_map(mapping(POINTS))
    )
    assert np.abs(placed(tmp_path / "o.tif") - wanted).max() < 0.5  # a twentieth of a pixel


def test_control_points_and_rational_polynomials_give_way(moving, tmp_path):
    gcps = [
        rasterio.control.GroundControlPoint(r, c, 5e5 + 9 * c, 5e6 - 9 * r)
        for r in (0, 560)
        for c in (0, 600)
    ]
    scene = moving(gcps=gcps, crs=UTM)
    write_georeferenced(scene, rotation(x=5), reference_scene(), tmp_path / "o.tif", OPTIONS)
    with open_dataset(tmp_path / "o.tif") as dataset:
        assert dataset.gcps[0] == []
        assert tuple(dataset.transform)[:6] == pytest.approx((10, 0, 500050, 0, -10, 5e6))


def test_bent_results_name_the_alternative(moving, tmp_path):
    with pytest.raises(UsageError, match="--output-mode vrt"):
        write_georeferenced(moving(), Bent(), reference_scene(), tmp_path / "o.tif", OPTIONS)
    with pytest.raises(UsageError, match="--output-mode resample"):
        write_georeferenced(moving(), rotation(), reference_scene(crs=None), tmp_path / "o.tif", OPTIONS)
    assert not (tmp_path / "o.tif").exists()


def test_vrt_of_an_affine_result_is_exact(moving, tmp_path):
    scene, reference, mapping = moving(), reference_scene(), rotation(0.4, 1.3, 50, 20)
    (tmp_path / "sub").mkdir()
    write_vrt(scene, mapping, reference, tmp_path / "sub" / "o.vrt")
    np.testing.assert_allclose(
        placed(tmp_path / "sub" / "o.vrt"), Geocoding.of(reference).to_map(mapping(POINTS)), atol=1e-6
    )
    with open_dataset(tmp_path / "sub" / "o.vrt") as dataset:
        np.testing.assert_array_equal(dataset.read(), coordinates(600, 560))
        assert dataset.crs == UTM
    assert 'relativeToVRT="1">../moving.tif' in (tmp_path / "sub" / "o.vrt").read_text()


@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_vrt_of_a_bent_result_has_control_points_that_gdal_warps_by(moving, tmp_path, crs):
    reference = reference_scene(crs=crs, pixel=10.0 if crs == UTM else 1e-4)
    if crs != UTM:
        from dataclasses import replace

        reference = replace(
            reference, grid=replace(reference.grid, geotransform=(1e-4, 0, 15.0, 0, -1e-4, 45.0))
        )
    write_vrt(moving(), Bent(), reference, tmp_path / "o.vrt")
    geocoding = Geocoding.of(reference)
    with open_dataset(tmp_path / "o.vrt") as dataset:
        gcps, gcp_crs = dataset.gcps
        assert gcp_crs == crs
        assert len(gcps) == 225
        px = np.array([[g.col, g.row] for g in gcps])
        np.testing.assert_allclose([[g.x, g.y] for g in gcps], geocoding.to_map(Bent()(px)), rtol=1e-12)
        with GCPTransformer(gcps, tps=True) as transformer:
            middle = np.array(transformer.xy([223.4], [345.6], offset="ul")).T
        np.testing.assert_allclose(geocoding.to_px(middle), Bent()(np.array([[345.6, 223.4]])), atol=0.2)
        with WarpedVRT(dataset, crs=crs) as warped:
            assert warped.read(1, masked=True).count() > 200_000


def test_vrt_without_georeferencing_lies_in_the_references_pixels(moving, tmp_path):
    write_vrt(moving(), rotation(x=30, y=20), reference_scene(crs=None), tmp_path / "o.vrt")
    np.testing.assert_allclose(placed(tmp_path / "o.vrt"), (POINTS + np.array([30, 20])) * [1, -1], atol=1e-6)


def test_vrt_of_a_vrt_points_at_the_same_pixels(moving, tmp_path):
    scene = moving(crs=UTM, transform=from_origin(5e5, 5e6, 10, 10))
    with open_dataset(scene.path) as dataset:
        rasterio.shutil.copy(dataset, tmp_path / "first.vrt", driver="VRT")
    write_vrt(open_scene(tmp_path / "first.vrt"), rotation(x=1), reference_scene(), tmp_path / "o.vrt")
    with open_dataset(tmp_path / "o.vrt") as dataset:
        np.testing.assert_array_equal(dataset.read(), coordinates(600, 560))


def test_vrt_needs_its_ending(moving, tmp_path):
    with pytest.raises(UsageError, match=r"end in \.vrt"):
        write_vrt(moving(), rotation(), reference_scene(), tmp_path / "o.tif")
