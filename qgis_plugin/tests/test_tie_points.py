"""The layer of tie points: arrows of a length that can be seen, pointing where the error points."""

from __future__ import annotations

import gc

import pytest
from fake_georeg import write_points
from qgis.core import QgsMapRendererParallelJob, QgsMapSettings, QgsProject
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

from georeg_qgis.tie_points import enlargement, tie_point_layer


@pytest.fixture
def layer(qgis_app, tmp_path):
    write_points(str(tmp_path / "ties.geojson"), {})
    layer = tie_point_layer(str(tmp_path / "ties.geojson"), "ties")
    gc.collect()
    return layer


def test_the_enlargement_is_round_and_makes_arrows_visible(layer):
    factor = enlargement(layer)
    assert f"{factor:g}"[0] in "125"
    size = (layer.extent().width() ** 2 + layer.extent().height() ** 2) ** 0.5
    assert 0.012 < factor * 2**0.5 * 1e-5 / size <= 0.03


def test_the_legend_says_how_much_the_arrows_are_enlarged(layer):
    labels = [item.label() for item in layer.renderer().legendSymbolItems()]
    assert labels[0].startswith("Used (error × ")
    assert labels[1] == "Rejected"


def test_it_survives_copies_and_shows_up_in_a_project(layer, project):
    clone = layer.renderer().clone()
    gc.collect()
    project.addMapLayer(layer)
    assert clone.legendSymbolItems()
    assert QgsProject.instance().layerTreeRoot().findLayer(layer.id()) is not None


def test_arrows_point_from_the_found_place_to_the_right_one(layer):
    """The points were moved 1e-5 too far west and north, so the arrows go east and south."""
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setOutputSize(QSize(3000, 1500))
    settings.setExtent(layer.extent().buffered(0.0005))
    settings.setBackgroundColor(QColor("white"))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    image = job.renderedImage()
    start = settings.mapToPixel().transform(15.0, 48.75)
    yellow = [
        (x - start.x(), y - start.y())
        for x in range(int(start.x()) - 60, int(start.x()) + 61)
        for y in range(int(start.y()) - 60, int(start.y()) + 61)
        if image.pixelColor(x, y).blue() < 90 and image.pixelColor(x, y).green() > 150
    ]
    assert yellow
    assert sum(x for x, _ in yellow) / len(yellow) > 1
    assert sum(y for _, y in yellow) / len(yellow) > 1
