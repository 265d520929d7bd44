"""Tie points, read back by other programs' rules."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyogrio
import pytest
import rasterio.warp
import shapely

from georeg.errors import UsageError
from georeg.output.points import write_points
from georeg.raster import Geocoding
from georeg.raster.files import open_dataset
from georeg.result import Quality, Registration, Tie
from georeg.scene import Grid, Scene

from ..rasters import UTM
from .conftest import reference_scene, rotation

MAPPING = rotation(0.1, 1.1, 40, 30)


@pytest.fixture
def registration():
    rng = np.random.default_rng(0)
    moving_xy = rng.uniform(0, 500, (12, 2))
    residual = rng.normal(0, 0.5, (12, 2))
    tie = Tie(
        moving_xy=moving_xy,
        reference_xy=MAPPING(moving_xy) + residual,
        confidence=rng.uniform(size=12),
        inlier=np.arange(12) % 4 > 0,
        check=np.arange(12) % 5 == 0,
        residual_px=residual,
    )
    quality = Quality("pass", (), 0.99, 0.5, 0.5, 0.8, 8.0, 0.9, 12, 9)
    moving = Scene("moving.tif", Grid(600, 560), 1, "uint8")
    return Registration(moving, reference_scene(), MAPPING, tie, quality)


def test_geopackage_has_points_and_residual_lines(registration, tmp_path):
    write_points(registration, tmp_path / "t.gpkg")
    assert set(pyogrio.list_layers(tmp_path / "t.gpkg")[:, 0]) == {"tie_points", "moving_points", "residuals"}
    tie, geocoding = registration.tie, Geocoding.of(registration.reference)
    meta, _, wkb, fields = pyogrio.raw.read(tmp_path / "t.gpkg", layer="tie_points")
    assert "32633" in meta["crs"]
    table = dict(zip(meta["fields"], fields, strict=True))
    np.testing.assert_allclose(
        shapely.get_coordinates(shapely.from_wkb(wkb)), geocoding.to_map(tie.reference_xy)
    )
    np.testing.assert_allclose(table["moving_x"], tie.moving_xy[:, 0])
    np.testing.assert_allclose(table["residual_px"], np.hypot(*tie.residual_px.T))
    np.testing.assert_array_equal(table["inlier"].astype(bool), tie.inlier)
    np.testing.assert_array_equal(table["check"].astype(bool), tie.check)
    _, _, wkb, _ = pyogrio.raw.read(tmp_path / "t.gpkg", layer="residuals")
    lines = shapely.from_wkb(wkb)
    np.testing.assert_allclose(shapely.length(lines), 10 * np.hypot(*tie.residual_px.T), rtol=1e-6)
    np.testing.assert_allclose(shapely.get_coordinates(lines)[::2], geocoding.to_map(MAPPING(tie.moving_xy)))


def test_geojson_is_in_degrees(registration, tmp_path):
    write_points(registration, tmp_path / "t.geojson")
    content = json.loads((tmp_path / "t.geojson").read_text())
    first = content["features"][0]["geometry"]["coordinates"]
    wanted = Geocoding.of(registration.reference).to_map(registration.tie.reference_xy[:1])
    lon, lat = rasterio.warp.transform(UTM, "EPSG:4326", *wanted.T)
    assert first == pytest.approx([lon[0], lat[0]], abs=1e-8)
    assert len(content["features"]) == 12


def test_csv_holds_every_column(registration, tmp_path):
    write_points(registration, tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert float(rows[3]["reference_y"]) == pytest.approx(registration.tie.reference_xy[3, 1])
    assert [row["inlier"] for row in rows[:5]] == ["0", "1", "1", "1", "0"]


def test_gcp_csv_places_the_image_for_gdal(registration, tmp_path):
    write_points(registration, tmp_path / "t_gcp.csv")
    with open(tmp_path / "t_gcp.csv", newline="") as file:
        rows = [[float(row[k]) for k in ("pixel", "line", "x", "y")] for row in csv.DictReader(file)]
    assert len(rows) == registration.tie.inlier.sum()
    points = [rasterio.control.GroundControlPoint(row=r, col=c, x=x, y=y) for c, r, x, y in rows]
    place = rasterio.transform.from_gcps(points)
    wanted = Geocoding.of(registration.reference).to_map(MAPPING(np.array([[100.0, 200.0]])))[0]
    x = place.a * 100 + place.b * 200 + place.c
    y = place.d * 100 + place.e * 200 + place.f
    assert np.hypot(x - wanted[0], y - wanted[1]) < 10


def qgis_rows(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#CRS: ")
    assert lines[1] == "mapX,mapY,sourceX,sourceY,enable,dX,dY,residual"
    return lines[0][6:], np.array([[float(v) for v in line.split(",")] for line in lines[2:]])


def test_qgis_points_of_an_unplaced_image_are_pixels(registration, tmp_path):
    write_points(registration, tmp_path / "t.points")
    crs, rows = qgis_rows(tmp_path / "t.points")
    assert rasterio.crs.CRS.from_wkt(crs) == UTM
    tie = registration.tie
    np.testing.assert_allclose(
        rows[:, :2], Geocoding.of(registration.reference).to_map(tie.reference_xy), rtol=1e-9
    )
    np.testing.assert_allclose(rows[:, 2:4], tie.moving_xy * [1, -1], rtol=1e-9)
    np.testing.assert_array_equal(rows[:, 4], tie.inlier)
    np.testing.assert_allclose(rows[:, 7], np.hypot(*tie.residual_px.T) / 1.1, rtol=1e-4)


def test_qgis_points_of_a_placed_image_are_its_coordinates(registration, tmp_path):
    placed = replace(reference_scene(600, 560, crs="EPSG:32634"), path="moving.tif")
    write_points(replace(registration, moving=placed), tmp_path / "t.points")
    _, rows = qgis_rows(tmp_path / "t.points")
    np.testing.assert_allclose(
        rows[:, 2:4], Geocoding.of(placed).to_map(registration.tie.moving_xy), rtol=1e-9
    )


@pytest.mark.parametrize("ending", ["t.gpkg", "t.geojson", "t.csv", "t.points", "t_gcp.csv"])
def test_without_georeferencing_and_without_points(registration, tmp_path, ending):
    unplaced = replace(registration, reference=reference_scene(crs=None))
    write_points(unplaced, tmp_path / ending)
    if ending == "t.gpkg":
        _, _, wkb, _ = pyogrio.raw.read(tmp_path / ending, layer="tie_points")
        drawn = shapely.get_coordinates(shapely.from_wkb(wkb))
        np.testing.assert_allclose(drawn, registration.tie.reference_xy * [1, -1])
    none = np.zeros((0, 2))
    empty = Tie(none, none, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), none)
    write_points(replace(registration, tie=empty), tmp_path / ending)
    assert (tmp_path / ending).exists()


def test_unknown_ending_is_refused(registration, tmp_path):
    with pytest.raises(UsageError, match=r"end in \.gpkg"):
        write_points(registration, tmp_path / "t.xlsx")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_old_file(registration, tmp_path):
    (tmp_path / "t.csv").write_text("old")
    broken = replace(registration, tie=replace(registration.tie, confidence=np.zeros(3)))
    with pytest.raises(ValueError, match="zip"):
        write_points(broken, tmp_path / "t.csv")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"t.csv": "old"}


def test_points_of_a_control_point_reference(registration, tmp_path):
    with open_dataset(tmp_path / "r.tif", mode="w", driver="GTiff", width=700, height=640, count=1, dtype="uint8",
                      crs=UTM, gcps=[rasterio.control.GroundControlPoint(r, c, 5e5 + 10 * c, 5e6 - 10 * r)
                                     for r in (0, 640) for c in (0, 700)]):  # fmt: skip
        pass
    from georeg.raster import open_scene

    write_points(replace(registration, reference=open_scene(tmp_path / "r.tif")), tmp_path / "t.gpkg")
    _, _, wkb, _ = pyogrio.raw.read(tmp_path / "t.gpkg", layer="tie_points")
    wanted = Geocoding.of(registration.reference).to_map(registration.tie.reference_xy)
    np.testing.assert_allclose(shapely.get_coordinates(shapely.from_wkb(wkb)), wanted, atol=1e-4)
