"""STAC items as inputs: assets resolved, hrefs made what GDAL opens, plain refusals."""

import json

import pytest
import rasterio
from fake_delivery import write_raster

from georeg.archive.stac import acquisition, asset_path, gdal_path
from georeg.errors import InputError, UsageError


@pytest.fixture
def item(tmp_path):
    """An item with a relative, an absolute and a remote asset."""
    assets = {
        "B04": {"href": "./bands/B04.tif"},
        "full": {"href": "/data/full.tif"},
        "cloud": {"href": "s3://bucket/key.tif"},
    }
    path = tmp_path / "items" / "S2.json"
    path.parent.mkdir()
    properties = {
        "datetime": None,
        "start_datetime": "2024-06-10T10:00:00Z",
        "end_datetime": "2024-06-10T11:00:00Z",
    }
    path.write_text(json.dumps({"type": "Feature", "properties": properties, "assets": assets}))
    return path


def test_assets_become_what_gdal_opens(item):
    assert asset_path(f"{item}#B04") == str(item.parent / "bands" / "B04.tif")
    assert asset_path(f"{item}#full") == "/data/full.tif"
    assert asset_path(f"{item}#cloud") == "/vsis3/bucket/key.tif"


@pytest.mark.parametrize("path", ["image.tif", "/data/a#b.tif", "/vsizip/a.zip/b.tif", "item.json"])
def test_other_paths_stay_as_they_are(path):
    assert asset_path(path) == path


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("https://host/a.tif", "/vsicurl/https://host/a.tif"),
        ("gs://b/a.tif", "/vsigs/b/a.tif"),
        ("az://b/a.tif", "/vsiaz/b/a.tif"),
        ("file:///data/a.tif", "/data/a.tif"),
        ("/vsizip/x.zip/a.tif", "/vsizip/x.zip/a.tif"),
    ],
)
def test_urls_by_scheme(href, path):
    assert gdal_path(href) == path


def test_what_is_no_item_is_refused(item, tmp_path):
    with pytest.raises(UsageError, match="no asset 'B99': it has B04, full, cloud"):
        asset_path(f"{item}#B99")
    with pytest.raises(InputError, match="cannot be read"):
        asset_path(str(tmp_path / "none.json#B04"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="no STAC item"):
        asset_path(str(tmp_path / "other.json#B04"))
    (tmp_path / "torn.json").write_text('{"assets": {')
    with pytest.raises(InputError, match="cannot be read"):
        asset_path(str(tmp_path / "torn.json#B04"))


def test_time_comes_from_the_item_the_image_or_the_clock(item, tmp_path):
    assert acquisition(f"{item}#B04", "now")["start_datetime"] == "2024-06-10T10:00:00Z"
    image = tmp_path / "image.tif"
    write_raster(image)
    assert acquisition(str(image), "now") == {"datetime": "now", "georeg:datetime_source": "processing"}
    with rasterio.open(image, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2024:06:12 05:31:07")
    assert acquisition(str(image), "now")["datetime"] == "2024-06-12T05:31:07Z"
