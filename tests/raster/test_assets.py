"""STAC items as inputs: which asset is meant, hrefs made what GDAL opens, plain refusals."""

import json
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

from georeg.errors import InputError
from georeg.raster.assets import asset_path, gdal_path, split_asset

TIFF = "image/tiff; application=geotiff"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Nothing is said."""


@pytest.fixture
def web(tmp_path):
    """The URL under which `tmp_path` is served."""
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def make_item(tmp_path):
    """Writes an item with these assets and gives its path."""

    def make(name="item.json", **assets):
        path = tmp_path / "items" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"type": "Feature", "properties": {}, "assets": assets}))
        return path

    return make


def test_assets_become_what_gdal_opens(make_item):
    item = make_item(
        B04={"href": "./bands/B04.tif"},
        full={"href": "/data/full.tif"},
        cloud={"href": "s3://bucket/key.tif"},
    )
    assert asset_path(f"{item}#B04") == str(item.parent / "bands" / "B04.tif")
    assert asset_path(f"{item}#full") == "/data/full.tif"
    assert asset_path(f"{item}#cloud") == "/vsis3/bucket/key.tif"


@pytest.mark.parametrize("path", ["image.tif", "/data/a#b.tif", "/vsizip/a.zip/b.tif", "none.json"])
def test_other_paths_stay_as_they_are(path):
    assert asset_path(path) == path


def test_an_asset_is_what_follows_the_last_hash_of_an_item():
    assert split_asset("a#1/item.json#B04") == ("a#1/item.json", "B04")
    assert split_asset("a#1/image.tif") == ("a#1/image.tif", "")
    assert split_asset("https://host/items/S2A?sig=1#B04") == ("https://host/items/S2A?sig=1", "B04")


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


@pytest.mark.parametrize(
    "assets",
    [
        {"meant": {"href": "m.h5", "roles": ["data"]}, "browse": {"href": "b.jpg", "type": "image/jpeg"}},
        {"meant": {"href": "m.tif", "type": TIFF}, "meta": {"href": "m.xml", "type": "application/xml"}},
        {"meant": {"href": "m.tif"}, "tiny": {"href": "t.png", "roles": ["thumbnail"]}},
        {
            "meant": {"href": "m.tif", "type": TIFF, "roles": ["data"]},
            "table": {"href": "t.csv", "type": "text/csv", "roles": ["data"]},
        },
    ],
)
def test_the_only_asset_that_can_be_meant_need_not_be_named(make_item, assets):
    item = make_item(**assets)
    assert asset_path(item) == asset_path(f"{item}#meant")


def test_several_images_are_a_question_for_the_user(make_item):
    item = make_item(
        **{name: {"href": f"{name}.tif", "type": TIFF, "roles": ["data"]} for name in ("B04", "B08")}
    )
    with pytest.raises(
        InputError, match=r"which of its assets is meant: write .*item\.json#NAME .* B04, B08\.$"
    ):
        asset_path(item)


def test_other_json_is_left_to_gdal(tmp_path):
    for name, text in (("other.json", '{"type": "FeatureCollection"}'), ("torn.json", '{"assets": {')):
        (tmp_path / name).write_text(text)
        assert asset_path(tmp_path / name) == str(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"cannot be read \(No such file or directory\)"),
        ('{"assets": {', "cannot be read"),
        ("{}", "no STAC item"),
        ('{"assets": {}}', "no STAC item"),
        ('{"assets": {"B04": {}}}', "has no href"),
        ('{"assets": {"B08": {"href": "a.tif"}}}', "no asset 'B04': write .* with one of B08"),
    ],
)
def test_what_is_no_item_is_refused(tmp_path, text, said):
    item = tmp_path / "item.json"
    if text is not None:
        item.write_text(text)
    with pytest.raises(InputError, match=said):
        asset_path(f"{item}#B04")


def test_an_item_behind_http_with_a_relative_href(web, make_item):
    make_item(B04={"href": "../B04.tif"})
    expected = f"/vsicurl/{web}/B04.tif"
    assert asset_path(f"{web}/items/item.json?signature=a/b#B04") == expected
    assert asset_path(f"{web}/items/item.json") == expected
    with pytest.raises(InputError, match="404"):
        asset_path(f"{web}/items/none#B04")
