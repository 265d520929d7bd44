"""A web map as reference: refused with a remedy, saved by the panel, and used; with a small tile server of the test's."""

from __future__ import annotations

import struct
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import wait_for
from osgeo import gdal
from qgis.core import QgsRasterLayer

from georeg_qgis.gui.dock import GeoregDock

GREEN = bytes((10, 200, 30))
SIDE = 256


class Tiles(BaseHTTPRequestHandler):
    """Every tile is green."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(TILE)))
        self.end_headers()
        self.wfile.write(TILE)

    def log_message(self, *arguments) -> None:
        """Quiet."""


def png() -> bytes:
    """A tile of one colour."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + GREEN * SIDE for _ in range(SIDE)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


TILE = png()


@pytest.fixture
def web(project):
    """A layer of XYZ tiles from this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tiles)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{{z}}/{{x}}/{{y}}.png"
    layer = QgsRasterLayer(f"type=xyz&url={address}&zmax=19&zmin=0", "Streets", "wms")
    assert layer.isValid()
    project.addMapLayer(layer)
    yield layer
    server.shutdown()
    server.server_close()


def test_the_panel_saves_the_needed_part_of_a_web_map_and_uses_it(
    web, pair, qgis_iface, provider, fake_georeg, logged
):
    dock = GeoregDock(qgis_iface)
    dock.form.set_pair(pair[0], web)
    assert not dock.run_button.isEnabled()
    dock.form.export.click()
    assert not dock.form.export.isEnabled()
    wait_for(lambda: dock.form.layers[1] is not web, "the saved layer", 60)
    saved = dock.form.layers[1]
    assert saved.name() == "Streets (saved part)"
    raster = gdal.Open(saved.source())
    assert raster.GetSpatialRef().GetAuthorityCode(None) == "3857"
    assert bytes(raster.ReadAsArray()[:3, raster.RasterYSize // 2, raster.RasterXSize // 2]) == GREEN
    dock.run_button.click()
    wait_for(lambda: not dock.job.running, "the end of the run", 30)
    assert logged()["arguments"][-2] == saved.source()
    assert "Aligned" in dock.card.headline.text()
    dock.close_down()
    dock.deleteLater()
