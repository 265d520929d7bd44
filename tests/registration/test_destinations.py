"""Outputs are refused before any work if they cannot be written or would destroy something."""

import os

import pytest

from georeg.errors import InputError, UsageError
from georeg.registration.destinations import Destinations


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moving.tif").write_text("precious")
    (tmp_path / "there.tif").write_text("precious")
    os.symlink("moving.tif", tmp_path / "link.tif")
    return tmp_path


def check(overwrite=False, **outputs):
    Destinations(**outputs).check(["moving.tif", "/vsizip/a.zip/reference.tif"], overwrite)


def test_good_places_pass_and_nothing_is_made(folder):
    check(raster="out.tif", registration="r.json", points="p.gpkg", report="sub.html")
    check(raster="there.tif", overwrite=True)
    check(raster="/vsimem/out.tif")
    check()
    assert sorted(os.listdir(folder)) == ["link.tif", "moving.tif", "there.tif"]


@pytest.mark.parametrize(
    ("outputs", "error", "words"),
    [
        ({"raster": "there.tif"}, UsageError, "add --overwrite"),
        ({"raster": "moving.tif", "overwrite": True}, UsageError, "also an input"),
        ({"raster": "link.tif", "overwrite": True}, UsageError, "also an input"),
        ({"report": "./../{folder}/moving.html", "raster": "./moving.tif"}, UsageError, "also an input"),
        ({"raster": "."}, UsageError, "is a folder"),
        ({"raster": "no/such/out.tif"}, InputError, "does not exist"),
        ({"raster": "moving.tif/out.tif"}, InputError, "does not exist"),
        ({"raster": "/proc/out.tif"}, InputError, "may not be written|Nothing can be written"),
        ({"points": "ties.shp"}, UsageError, ".gpkg"),
        ({"points": ("ties.gpkg", "ties.shp")}, UsageError, "ties.shp"),
        ({"points": ("ties.gpkg", "./ties.gpkg")}, UsageError, "Two outputs"),
        ({"report": "report.pdf"}, UsageError, ".html"),
        ({"raster": "a.json", "registration": "./a.json"}, UsageError, "Two outputs"),
    ],
)
def test_bad_places_are_named_with_the_remedy(folder, outputs, error, words):
    outputs = {
        key: text.format(folder=folder.name) if isinstance(text, str) else text
        for key, text in outputs.items()
    }
    with pytest.raises(error, match=words):
        check(**outputs)
    assert (folder / "moving.tif").read_text() == "precious"
    assert (folder / "there.tif").read_text() == "precious"


def test_what_was_written_leaves_the_raster_out_of_a_refusal():
    places = Destinations(raster="a.tif", points=("a.gpkg", "a.points"), report="a.html")
    assert places.written(with_raster=True) == ["a.tif", "a.gpkg", "a.points", "a.html"]
    assert places.written(with_raster=False) == ["a.gpkg", "a.points", "a.html"]
