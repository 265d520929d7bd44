"""The plugin inside a real, windowless QGIS, with a program that stands in for georeg."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from osgeo import gdal, osr
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsSettings

gdal.UseExceptions()
TESTS = Path(__file__).parent


@pytest.fixture
def fake_georeg(tmp_path, qgis_app, monkeypatch):
    """An executable that keeps georeg's contract, chosen in the settings."""
    program = tmp_path / "bin" / "georeg"
    program.parent.mkdir()
    script = (TESTS / "fake_georeg.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.delenv("FAKE_GEOREG", raising=False)
    QgsSettings().setValue("georeg/executable", str(program))
    yield str(program)
    QgsSettings().remove("georeg")


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """What the fake program says of itself, once it has; events go on meanwhile."""
    log = tmp_path / "log.json"
    monkeypatch.setenv("FAKE_GEOREG_LOG", str(log))

    def entry(key):
        found = json.loads(log.read_text()) if log.exists() else {}
        return found if found.get(key) is not None else None

    return lambda key="pid": wait_for(lambda: entry(key), key)


@pytest.fixture
def provider(qgis_app):
    """The plugin's provider in the registry of QGIS."""
    from georeg_qgis.algorithms.provider import GeoregProvider

    provider = GeoregProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    yield provider
    QgsApplication.processingRegistry().removeProvider(provider)


@pytest.fixture
def project(qgis_app):
    QgsProject.instance().clear()
    yield QgsProject.instance()
    QgsProject.instance().clear()


@pytest.fixture
def pair(tmp_path, project):
    """Moving and reference layer, both in the project."""
    layers = [
        raster_layer(tmp_path / "moving.tif", value=60),
        raster_layer(tmp_path / "reference.tif", value=120),
    ]
    project.addMapLayers(layers)
    return layers


def raster_layer(path, value=1, epsg=32633, origin=(500000.0, 5400000.0), bands=1):
    """A small GeoTIFF as a layer."""
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), 64, 48, bands)
    dataset.SetGeoTransform((origin[0], 10.0, 0.0, origin[1], 0.0, -10.0))
    if epsg:
        system = osr.SpatialReference()
        system.ImportFromEPSG(epsg)
        dataset.SetProjection(system.ExportToWkt())
    dataset.GetRasterBand(1).Fill(value)
    dataset = None
    return QgsRasterLayer(str(path), Path(path).stem)


def wait_for(condition, what="it", seconds=20.0):
    """The first true answer of a condition, while the events of QGIS go on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        QgsApplication.processEvents()
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
