"""What of an input's STAC item goes into the output's."""

import json

import pytest
import rasterio
from fake_delivery import write_raster

from georeg.archive.stac import acquisition


@pytest.fixture
def item(tmp_path):
    """An item with one asset, taken over an hour."""
    path = tmp_path / "S2.json"
    properties = {
        "datetime": None,
        "start_datetime": "2024-06-10T10:00:00Z",
        "end_datetime": "2024-06-10T11:00:00Z",
    }
    path.write_text(
        json.dumps(
            {
                "type": "Feature",
                "properties": properties,
                "assets": {"B04": {"href": "./B04.tif", "roles": ["data"]}},
            }
        )
    )
    return path


def test_time_comes_from_the_item_the_image_or_the_clock(item, tmp_path):
    assert acquisition(f"{item}#B04", "now")["start_datetime"] == "2024-06-10T10:00:00Z"
    assert acquisition(str(item), "now")["end_datetime"] == "2024-06-10T11:00:00Z"
    image = tmp_path / "image.tif"
    write_raster(image)
    assert acquisition(str(image), "now") == {"datetime": "now", "georeg:datetime_source": "processing"}
    with rasterio.open(image, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2024:06:12 05:31:07")
    assert acquisition(str(image), "now")["datetime"] == "2024-06-12T05:31:07Z"
