"""The panel in real QGIS: a run from start to result, cancelling, failures, and what users do meanwhile."""

from __future__ import annotations

import os

import pytest
from conftest import alive, raster_layer, wait_for
from qgis.core import QgsApplication, QgsProject, QgsRasterLayer, QgsRectangle, QgsSettings
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import QAbstractButton, QFileDialog, QLabel, QMessageBox

from georeg_qgis.executable.process import end_all
from georeg_qgis.gui.defaults import default_output, default_pair, unused
from georeg_qgis.gui.dock import GeoregDock
from georeg_qgis.gui.export import area_of, size_px


@pytest.fixture
def dock(qgis_iface, provider, fake_georeg, pair, monkeypatch):
    """The panel with both layers chosen."""
    monkeypatch.setattr(qgis_iface, "layerTreeView", lambda: _NoneSelected(), raising=False)
    dock = GeoregDock(qgis_iface)
    dock.form.set_pair(*pair)
    yield dock
    dock.close_down()
    wait_for(lambda: not dock.job.running, "the end of the run")
    dock.deleteLater()


class _NoneSelected:
    def selectedLayers(self):
        return []


def finish(dock):
    wait_for(lambda: not dock.job.running, "the end of the run", 30)


def test_it_is_ready_when_two_layers_are_chosen(dock, pair):
    assert dock.run_button.isEnabled()
    assert not dock.cancel_button.isEnabled()
    assert dock.form.output == os.path.splitext(pair[0].source())[0] + "_aligned.tif"


def test_the_tab_key_goes_through_the_form_from_top_to_bottom(dock):
    form = dock.form
    wanted = [form.moving, form.moving_kind, form.reference, form.reference_kind, form.swap, form.transform]
    chain, widget = [], form.moving
    while len(chain) < 400 and not (chain and widget is form.moving):
        chain.append(widget)
        widget = widget.nextInFocusChain()
    places = [chain.index(widget) for widget in wanted]
    assert places == sorted(places)
    assert chain.index(form.transform) < chain.index(form.add_points)


def test_no_letter_is_taken_from_the_menus_of_qgis(dock):
    """Alt+R opens the menu Raster; a label “&Reference” in a panel would take it away."""
    labelled = [widget for kind in (QLabel, QAbstractButton) for widget in dock.findChildren(kind)]
    assert len(labelled) > 12
    assert not [widget.text() for widget in labelled if "&" in widget.text()]


def test_layers_that_are_opened_later_are_taken_over(dock, project, qgis_iface, tmp_path):
    """The panel is open before the images are: the first becomes neither or either, as the pair needs."""
    dock.show()
    dock.form._pair_chosen = False
    project.clear()
    show_in_map(qgis_iface)
    assert dock.form.layers == (None, None)
    assert dock.form.notice.text().startswith("Open two images in QGIS first")
    assert dock.form.output == ""
    reference = raster_layer(tmp_path / "base.tif", bands=3)
    show_in_map(qgis_iface, reference)
    wait_for(lambda: reference in dock.form.layers, "the first layer")
    assert not dock.run_button.isEnabled()
    moving = raster_layer(tmp_path / "radar.tif")
    show_in_map(qgis_iface, reference, moving)
    wait_for(lambda: dock.form.layers == (moving, reference), "both layers")
    assert dock.run_button.isEnabled()


def test_a_layer_that_the_user_chose_stays(dock, project, qgis_iface, tmp_path):
    dock.show()
    chosen = dock.form.layers[1]
    dock.form.reference.activated.emit(1)
    project.removeMapLayer(dock.form.layers[0])
    added = raster_layer(tmp_path / "added.tif", bands=3)
    show_in_map(qgis_iface, added, chosen)
    wait_for(lambda: dock.form.layers == (added, chosen), "the added layer")


def show_in_map(iface, *layers):
    """Add layers to the project and the map view, the first on top, as QGIS does when they are opened."""
    QgsProject.instance().addMapLayers([layer for layer in layers if layer.project() is None])
    iface.mapCanvas().setLayers(list(layers))


def test_a_run_adds_the_result_and_shows_the_verdict(dock, project):
    dock.run_button.click()
    assert dock.cancel_button.isEnabled()
    assert not dock.form.isEnabled()
    finish(dock)
    assert dock.card.isVisibleTo(dock)
    assert "Aligned" in dock.card.headline.text()
    names = {layer.name() for layer in project.mapLayers().values()}
    assert {"moving (aligned)", "moving (tie points)"} <= names
    assert dock.card.report_button.isEnabled()
    assert dock.card.points_button.isEnabled()
    assert dock.form.output.endswith("_aligned_2.tif")
    assert dock.run_button.isEnabled()


def test_progress_is_shown_in_words(dock, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG_PACE", "0.05")
    said = []
    dock.job.stage.connect(said.append)
    dock.start()
    finish(dock)
    assert "Finding the rough position 1 of 2" in said
    assert any("Writing" in text for text in said)


def test_the_points_are_saved_for_the_georeferencer(dock, monkeypatch, tmp_path):
    dock.start()
    finish(dock)
    places = [str(tmp_path / "mine.points"), "/nowhere/mine.points", ""]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *arguments: (places.pop(0), ""))
    dock.card.points_button.click()
    assert (tmp_path / "mine.points").read_text().startswith("#CRS")
    dock.card.points_button.click()
    assert "/nowhere/mine.points could not be written" in dock.stage.text()
    dock.card.points_button.click()
    assert not places


def test_the_report_is_opened_in_the_browser(dock, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    dock.start()
    finish(dock)
    dock.card.report_button.click()
    assert opened == [dock.run.parameters["REPORT"]]
    assert os.path.isfile(opened[0])


def test_a_warning_says_why(dock, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "warn")
    dock.start()
    finish(dock)
    assert "check it" in dock.card.headline.text()
    assert "half of the overlap" in dock.card.reasons.text()


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("fail", "7 matches found, 20 needed"),
        ("nooverlap", "Position stored in the files"),
        ("diskfull", "No space left"),
        ("crash", "memory ran out"),
    ],
)
def test_a_failure_is_one_sentence_and_no_layer(mode, words, dock, project, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", mode)
    before = len(project.mapLayers())
    dock.start()
    finish(dock)
    assert "Not aligned" in dock.card.headline.text()
    assert words in dock.card.reasons.text()
    assert len(project.mapLayers()) == before
    assert not dock.card.swipe_button.isEnabled()
    assert not os.path.exists(dock.run.parameters["OUTPUT"])
    assert dock.run_button.isEnabled()


@pytest.mark.parametrize("mode", ["sleep", "killed_while_writing"])
def test_cancel_ends_the_processes_and_leaves_nothing(mode, dock, logged, monkeypatch, tmp_path):
    from georeg_qgis.executable import process

    monkeypatch.setattr(process, "INTERRUPT_GRACE_S", 1.0)
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.3)
    monkeypatch.setenv("FAKE_GEOREG", mode)
    dock.start()
    entry = logged("child" if mode == "sleep" else "pid")
    wait_for(lambda: dock.bar.value() > 0, "progress")
    dock.cancel_button.click()
    finish(dock)
    assert dock.stage.text() == "Cancelled. Nothing was written."
    pids = [pid for pid in (entry["pid"], entry["child"]) if pid]
    wait_for(lambda: not any(map(alive, pids)), "the end of the processes", 5)
    assert not [name for name in os.listdir(tmp_path) if "aligned" in name]
    assert dock.run_button.isEnabled()


def test_cancelling_in_the_task_list_of_qgis_is_the_same(dock, logged, monkeypatch):
    """QGIS does so too when its window is closed."""
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    dock.start()
    logged("child")
    QgsApplication.taskManager().cancelAll()
    finish(dock)
    assert dock.stage.text() == "Cancelled. Nothing was written."
    assert dock.card.isHidden()


def test_unloading_the_plugin_ends_a_run(dock, logged, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    dock.start()
    entry = logged("child")
    end_all()
    finish(dock)
    wait_for(lambda: not alive(entry["pid"]) and not alive(entry["child"]), "the end of both processes", 5)


def test_layers_that_are_deleted_meanwhile_do_no_harm(dock, project, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG_PACE", "0.05")
    dock.start()
    project.removeMapLayers([layer.id() for layer in dock.form.layers])
    finish(dock)
    assert "moving (aligned)" in {layer.name() for layer in project.mapLayers().values()}
    assert not dock.card.swipe_button.isEnabled()


def test_a_project_that_is_closed_meanwhile_gets_no_layers(dock, project, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG_PACE", "0.05")
    dock.start()
    project.clear()
    finish(dock)
    assert not project.mapLayers()
    assert "_aligned.tif" in dock.stage.text()


def test_the_same_image_twice_is_told_before_running(dock, pair):
    dock.form.set_pair(pair[0], pair[0])
    assert not dock.run_button.isEnabled()
    assert "same image" in dock.form.notice.text()


def test_without_a_program_the_panel_says_what_to_do(dock):
    QgsSettings().setValue("georeg/executable", "/nowhere/georeg")
    dock.refresh()
    assert not dock.run_button.isEnabled()
    assert dock.setup_button.isVisibleTo(dock)
    assert "/nowhere/georeg" in dock.setup_notice.text()


def test_an_old_program_is_told(dock, monkeypatch, fake_georeg):
    monkeypatch.setenv("FAKE_GEOREG", "old")
    os.utime(fake_georeg, (7, 7))
    dock.start()
    finish(dock)
    assert "too old" in dock.card.reasons.text()


def test_an_existing_file_is_replaced_only_when_the_user_agrees(dock, monkeypatch, tmp_path):
    taken = tmp_path / "taken.tif"
    taken.write_bytes(b"precious")
    dock.form.output_file.setFilePath(str(taken))
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *arguments: answers.pop(0))
    dock.start()
    assert not dock.job.running
    assert taken.read_bytes() == b"precious"
    dock.start()
    finish(dock)
    assert taken.read_bytes() != b"precious"


def test_a_web_layer_offers_to_save_what_is_needed(dock, project, pair):
    web = QgsRasterLayer("type=xyz&url=http://localhost:9/{z}/{x}/{y}.png&zmax=19&zmin=0", "Streets", "wms")
    project.addMapLayer(web)
    dock.form.set_pair(pair[0], web)
    assert "web map service" in dock.form.notice.text()
    assert dock.form.export.isVisibleTo(dock.form)
    assert not dock.run_button.isEnabled()


def test_saving_a_layer_puts_the_file_in_its_place(dock, project, pair, tmp_path):
    """With a raster that GDAL holds in memory, for want of a web service in a test."""
    from osgeo import gdal

    gdal.GetDriverByName("GTiff").CreateCopy("/vsimem/r.tif", gdal.Open(pair[1].source()))
    memory = QgsRasterLayer("/vsimem/r.tif", "in memory")
    project.addMapLayer(memory)
    dock.form.set_pair(pair[0], memory)
    dock.form.export.click()
    wait_for(lambda: dock.form.layers[1] is not memory, "the saved layer", 20)
    assert dock.form.layers[1].name() == "in memory (saved part)"
    assert dock.run_button.isEnabled()
    project.removeMapLayer(memory)
    gdal.Unlink("/vsimem/r.tif")


def test_the_saved_part_is_the_area_of_the_other_image(pair, qgis_canvas):
    extent, pixel = area_of(pair[1], pair[0], qgis_canvas)
    assert extent.contains(pair[0].extent())
    assert pixel == pytest.approx(10.0)
    assert size_px(QgsRectangle(0, 0, 1e6, 5e5), 1.0) == (4096, 2048)
    assert size_px(QgsRectangle(), 1.0) == (0, 0)


def test_defaults_prefer_colour_as_reference(qgis_iface, project, tmp_path, monkeypatch):
    from osgeo import gdal

    grey = raster_layer(tmp_path / "grey.tif")
    gdal.Translate(str(tmp_path / "rgb.tif"), str(tmp_path / "grey.tif"), bandList=[1, 1, 1])
    colour = QgsRasterLayer(str(tmp_path / "rgb.tif"), "rgb")
    project.addMapLayers([grey, colour])
    qgis_iface.mapCanvas().setLayers([colour, grey])
    monkeypatch.setattr(qgis_iface, "layerTreeView", lambda: _NoneSelected(), raising=False)
    assert default_pair(qgis_iface) == (grey, colour)


def test_outputs_never_take_a_name_that_exists(tmp_path, pair):
    path = tmp_path / "a.tif"
    path.write_bytes(b"")
    (tmp_path / "a_2.tif").write_bytes(b"")
    assert unused(str(path)) == str(tmp_path / "a_3.tif")
    assert os.path.dirname(default_output(pair[0])) == str(tmp_path)


def test_swipe_and_flicker_show_the_reference_and_give_the_map_back(dock, pair, qgis_canvas):
    dock.start()
    finish(dock)
    before = len(dock.iface.mapCanvas().scene().items())
    dock.iface.mapCanvas().setDestinationCrs(pair[1].crs())
    dock.iface.mapCanvas().setExtent(pair[1].extent())
    QgsProject.instance().mapLayer(dock.result_layer_id).renderer().setOpacity(0)
    tool = dock.iface.mapCanvas().mapTool()
    dock.card.swipe_button.click()
    assert dock.comparison.active
    wait_for(lambda: not any(image.isNull() for image in dock.comparison._overlay.images), "the pictures")
    reference, result = dock.comparison._overlay.images
    centre = reference.rect().center()
    assert reference.pixelColor(centre) != result.pixelColor(centre)
    dock.card.flicker_button.click()
    assert dock.comparison.active
    assert not dock.card.swipe_button.isChecked()
    assert dock.card.flicker_button.isChecked()
    QgsProject.instance().removeMapLayer(pair[1].id())
    assert not dock.comparison.active
    assert not dock.card.flicker_button.isChecked()
    assert len(dock.iface.mapCanvas().scene().items()) == before
    assert dock.iface.mapCanvas().mapTool() == tool
