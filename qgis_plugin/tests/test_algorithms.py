"""The Processing algorithms in real QGIS: parameters, results, refusals."""

from __future__ import annotations

import json
import os
import time
import zipfile

import processing
import pytest
from conftest import alive, wait_for
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingOutputLayerDefinition,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsSettings,
    QgsVectorLayer,
)
from qgis.gui import QgsBrowserGuiModel
from qgis.PyQt.QtWidgets import QLineEdit

IDS = {"georeg:match", "georeg:warp", "georeg:batch", "georeg:evaluate"}


@pytest.fixture(autouse=True)
def _setting(provider, fake_georeg):
    """Every test has the provider and a program."""


@pytest.fixture
def parameters(pair, tmp_path):
    return {"MOVING": pair[0], "REFERENCE": pair[1], "OUTPUT": str(tmp_path / "out.tif")}


class Listener(QgsProcessingFeedback):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(False)
        self.texts, self.infos, self.errors = [], [], []

    def setProgressText(self, text):
        self.texts.append(text)

    def pushInfo(self, info):
        self.infos.append(info)

    def reportError(self, error, fatalError=False):
        self.errors.append(error)


def run(name, parameters, feedback=None):
    return processing.run(f"georeg:{name}", parameters, feedback=feedback or QgsProcessingFeedback(False))


def test_the_provider_offers_the_four_algorithms(provider):
    assert {algorithm.id() for algorithm in provider.algorithms()} == IDS


@pytest.mark.parametrize("name", sorted(IDS))
def test_each_algorithm_explains_itself(name):
    algorithm = QgsApplication.processingRegistry().algorithmById(name)
    assert algorithm.displayName()
    assert algorithm.shortHelpString()
    assert not algorithm.icon().isNull()
    assert os.path.isfile(algorithm.svgIconPath())
    assert algorithm.canExecute()[0]


@pytest.mark.parametrize("name", sorted(IDS))
def test_each_algorithm_has_a_dialog(name, qgis_processing, qgis_iface, monkeypatch):
    """Opening one makes the widgets of all parameters, which differ from version to version of QGIS."""
    from processing.gui.AlgorithmDialog import AlgorithmDialog

    browser = QgsBrowserGuiModel()
    monkeypatch.setattr(qgis_iface, "browserModel", lambda: browser, raising=False)
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(name)
    dialog = AlgorithmDialog(algorithm, False)
    wrappers = dialog.mainWidget().wrappers
    assert set(wrappers) >= {parameter.name() for parameter in algorithm.parameterDefinitions()} - {"OUTPUT"}
    if name in ("georeg:match", "georeg:warp"):
        assert not isinstance(wrappers["CREATION_OPTIONS"].wrappedWidget(), QLineEdit)
    dialog.deleteLater()


def test_rare_parameters_are_advanced():
    algorithm = QgsApplication.processingRegistry().algorithmById("georeg:match")
    flag = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    plain = [p.name() for p in algorithm.parameterDefinitions() if not p.flags() & flag]
    assert plain == [
        "MOVING", "REFERENCE", "MOVING_MODALITY", "REFERENCE_MODALITY", "TRANSFORM",
        "OUTPUT", "POINTS", "REPORT", "REGISTRATION", "GCP_FILE",
    ]  # fmt: skip


def test_match_gives_files_and_figures(parameters, tmp_path):
    results = run(
        "match", {**parameters, "REPORT": str(tmp_path / "r.html"), "REGISTRATION": "TEMPORARY_OUTPUT"}
    )
    assert (results["VERDICT"], results["INLIERS"], results["CE90_M"]) == ("pass", 431, 7.1)
    assert gdal.Open(results["OUTPUT"]).ReadAsArray()[0, 0] == 60
    assert os.path.isfile(results["REPORT"])
    assert json.load(open(results["REGISTRATION"]))["quality"]["verdict"] == "pass"


def test_match_reports_progress_to_processing(parameters):
    listener = Listener()
    run("match", parameters, listener)
    assert "Matching in detail 3 of 4" in listener.texts
    assert any("Accuracy: 7.1 m (0.71 px)" in info for info in listener.infos)
    assert listener.progress() > 95


def test_options_reach_the_program(parameters, logged):
    crs = QgsCoordinateReferenceSystem("EPSG:4326")
    extent = QgsRectangle(499900, 5399600, 500600, 5400000)
    run("match", {
        **parameters, "MOVING_MODALITY": 2, "TRANSFORM": 3, "BANDS": [1], "SEARCH_RADIUS": 300, "RESAMPLING": 1,
        "EXTENT": f"{extent.xMinimum()},{extent.xMaximum()},{extent.yMinimum()},{extent.yMaximum()} [EPSG:32633]",
        "CREATION_OPTIONS": "COMPRESS=ZSTD|BLOCKSIZE=256", "DST_NODATA": 0, "RESOLUTION": None,
    })  # fmt: skip
    words = " ".join(logged()["arguments"])
    for part in (
        "--moving-modality sar", "--transform affine", "--band 1", "--search-radius 300", "--resampling nearest",
        "--bbox 499900.0 5399600.0 500600.0 5400000.0", "--co COMPRESS=ZSTD --co BLOCKSIZE=256", "--dst-nodata 0",
    ):  # fmt: skip
        assert part in words
    assert "--dst-crs" not in words
    assert "--resolution" not in words
    run("match", {**parameters, "DST_CRS": crs, "EXTENT": f"{14.99},{15.02},{48.74},{48.76} [EPSG:4326]"})
    assert "--dst-crs EPSG:4326" in " ".join(logged()["arguments"])


def test_points_for_processing_and_for_the_georeferencer_in_one_run(parameters, tmp_path, logged):
    results = run(
        "match", {**parameters, "POINTS": str(tmp_path / "p.gpkg"), "GCP_FILE": str(tmp_path / "p.points")}
    )
    assert results["POINTS"].endswith("p.gpkg")
    assert (tmp_path / "p.points").read_text().startswith("#CRS")


def test_a_virtual_raster_gets_its_suffix(parameters, logged):
    results = run("match", {**parameters, "OUTPUT_MODE": 2, "OUTPUT": "TEMPORARY_OUTPUT"})
    assert results["OUTPUT"].endswith(".vrt")
    with pytest.raises(QgsProcessingException, match="tif file"):
        run("match", {**parameters, "OUTPUT": results["OUTPUT"]})


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("nooverlap", "do not overlap: 12 km lie between them"),
        ("fail", "7 matches found, 20 needed"),
        ("input", "a.tif is truncated: copy it again"),
        ("diskfull", "No space left to write"),
        ("crash", "memory ran out"),
        ("old", "0.0.3 is too old"),
        ("alien", "does not answer like georeg"),
    ],
)
def test_failures_raise_with_georegs_sentence(mode, words, parameters, monkeypatch, fake_georeg):
    monkeypatch.setenv("FAKE_GEOREG", mode)
    os.utime(fake_georeg, (time.time() + 5, time.time() + 5))
    with pytest.raises(QgsProcessingException, match=words):
        run("match", parameters)
    assert not os.path.exists(parameters["OUTPUT"])


def test_what_failed_is_kept_on_request(parameters, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "fail")
    results = run("match", {**parameters, "KEEP_FAILED": True})
    assert results["VERDICT"] == "fail"
    assert os.path.isfile(results["OUTPUT"])


def test_nothing_to_keep_is_a_failure_all_the_same(parameters, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "hopeless")
    with pytest.raises(QgsProcessingException, match="could not be registered: 7 matches found"):
        run("match", {**parameters, "KEEP_FAILED": True})


def test_no_program_is_said_before_anything_else(parameters):
    QgsSettings().setValue("georeg/executable", "/nowhere/georeg")
    algorithm = QgsApplication.processingRegistry().algorithmById("georeg:match")
    able, words = algorithm.canExecute()
    assert not able
    assert "Settings > Options > GeoReg" in words


def test_cancel_ends_the_whole_tree(parameters, logged, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "sleep")

    class Impatient(QgsProcessingFeedback):
        def setProgressText(self, text):
            self.cancel()

    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run("match", parameters, Impatient(False))
    entry = logged("child")
    wait_for(lambda: not alive(entry["pid"]) and not alive(entry["child"]), "the end of both processes", 5)


def test_the_same_image_twice_is_refused(parameters, pair):
    twin = QgsRasterLayer(pair[0].source(), "twin")
    QgsProject.instance().addMapLayer(twin)
    for reference in (pair[0], twin):
        with pytest.raises(QgsProcessingException, match="two different images"):
            run("match", {**parameters, "REFERENCE": reference})


def test_a_web_layer_is_refused_with_a_remedy(parameters):
    web = QgsRasterLayer("type=xyz&url=http://localhost:9/{z}/{x}/{y}.png&zmax=19&zmin=0", "Streets", "wms")
    QgsProject.instance().addMapLayer(web)
    with pytest.raises(QgsProcessingException, match=r"“Streets” comes from a web map service.*Save"):
        run("match", {**parameters, "REFERENCE": web})


def test_a_layer_whose_file_is_gone_is_refused(parameters, pair):
    os.remove(pair[0].source())
    with pytest.raises(QgsProcessingException, match=r"moving.*is gone"):
        run("match", parameters)


def test_a_layer_in_the_memory_of_qgis_is_refused(parameters, pair, project):
    gdal.GetDriverByName("GTiff").CreateCopy("/vsimem/m.tif", gdal.Open(pair[0].source()))
    layer = QgsRasterLayer("/vsimem/m.tif", "in memory")
    project.addMapLayer(layer)
    with pytest.raises(QgsProcessingException, match="only in the memory of QGIS"):
        run("match", {**parameters, "MOVING": layer})
    project.clear()
    gdal.Unlink("/vsimem/m.tif")


def test_a_coordinate_system_that_was_changed_in_qgis_is_handed_on(parameters, pair, logged):
    pair[0].setCrs(QgsCoordinateReferenceSystem("EPSG:32634"))
    run("match", parameters)
    moving = logged()["arguments"][-3]
    assert moving.endswith(".vrt")
    assert 'AUTHORITY["EPSG","32634"]' in gdal.Open(moving).GetProjection()
    assert gdal.Open(moving).ReadAsArray()[0, 0] == 60


def test_subdatasets_and_archives_keep_their_gdal_names(parameters, tmp_path, project, logged):
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.write(parameters["MOVING"].source(), "in zip.tif")
    gdal.Translate(
        str(tmp_path / "s.gpkg"),
        parameters["MOVING"].source(),
        format="GPKG",
        creationOptions=["RASTER_TABLE=scene"],
    )
    for name in (f"/vsizip/{tmp_path}/scene.zip/in zip.tif", f"GPKG:{tmp_path}/s.gpkg:scene"):
        layer = QgsRasterLayer(name, "part")
        assert layer.isValid()
        project.addMapLayer(layer)
        run("match", {**parameters, "MOVING": layer})
        assert logged()["arguments"][-3] == name


def test_a_polygon_mask_is_saved_as_the_layer_shows_it(parameters, logged, project):
    mask = QgsVectorLayer("Polygon?crs=EPSG:32633&field=use:int", "mask", "memory")
    for x in (0, 1000):
        feature = QgsFeature(mask.fields())
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(x, 0, x + 10, 10)))
        feature.setAttribute("use", x)
        mask.dataProvider().addFeature(feature)
    mask.setSubsetString("use = 1000")
    project.addMapLayer(mask)
    run("match", {**parameters, "MASK": mask})
    words = logged()["arguments"]
    saved = QgsVectorLayer(words[words.index("--mask") + 1], "saved")
    assert saved.isValid()
    assert saved.featureCount() == mask.featureCount()


def test_a_layer_that_is_deleted_while_it_runs_does_no_harm(parameters, pair, project, monkeypatch):
    class Deleting(QgsProcessingFeedback):
        def setProgressText(self, text):
            project.removeAllMapLayers()

    results = run("match", parameters, Deleting(False))
    assert results["VERDICT"] == "pass"


def test_warp_runs_with_a_stored_registration(parameters, tmp_path, logged):
    (tmp_path / "r.json").write_text("{}")
    results = run("warp", {
        "INPUT": parameters["MOVING"], "REGISTRATION": str(tmp_path / "r.json"), "OUTPUT": str(tmp_path / "w.tif"),
        "RESAMPLING": 1,
    })  # fmt: skip
    assert gdal.Open(results["OUTPUT"]).ReadAsArray()[0, 0] == 60
    assert logged()["arguments"][0] == "warp"


def test_in_a_model_one_registration_serves_two_files(parameters, tmp_path, logged):
    """match writes the registration, warp moves another file by it; as the model designer joins them."""
    source, child = QgsProcessingModelChildParameterSource, QgsProcessingModelChildAlgorithm
    model = QgsProcessingModelAlgorithm("both", "both")
    match, warp = child("georeg:match"), child("georeg:warp")
    match.setChildId("match")
    warp.setChildId("warp")
    for name in ("MOVING", "REFERENCE"):
        model.addModelParameter(
            QgsProcessingParameterRasterLayer(name, name), QgsProcessingModelParameter(name)
        )
        match.addParameterSources(name, [source.fromModelParameter(name)])
    kept = QgsProcessingModelOutput("kept", "kept")
    kept.setChildOutputName("REGISTRATION")
    match.setModelOutputs({"kept": kept})
    warp.addParameterSources("INPUT", [source.fromModelParameter("MOVING")])
    warp.addParameterSources("REGISTRATION", [source.fromChildOutput("match", "REGISTRATION")])
    moved = QgsProcessingModelOutput("moved", "moved")
    moved.setChildOutputName("OUTPUT")
    warp.setModelOutputs({"moved": moved})
    model.addChildAlgorithm(match)
    model.addChildAlgorithm(warp)
    model.initAlgorithm()
    results = processing.run(model, {
        "MOVING": parameters["MOVING"], "REFERENCE": parameters["REFERENCE"],
        "match:kept": str(tmp_path / "r.json"), "warp:moved": str(tmp_path / "moved.tif"),
    }, feedback=QgsProcessingFeedback(False))  # fmt: skip
    assert gdal.Open(results["warp:moved"]).ReadAsArray()[0, 0] == 60
    assert logged()["arguments"][1:3] == ["--registration", str(tmp_path / "r.json")]


def test_batch_makes_a_table_and_tells_of_failures(parameters, tmp_path, logged):
    listener = Listener()
    results = run("batch", {
        "MOVING": [parameters["MOVING"]], "REFERENCE": parameters["REFERENCE"], "FOLDER": str(tmp_path / "many"),
    }, listener)  # fmt: skip
    assert (results["DONE"], results["FAILED"]) == (2, 1)
    assert listener.errors == [
        "far: far.tif does not overlap: try “Position stored in the files: ignore it” (under More options)."
    ]
    table = open(logged()["arguments"][-1]).read().split()
    assert table[0] == "moving,reference"
    assert table[1].startswith(parameters["MOVING"].source())


def test_batch_shows_the_outlines_and_starts_anew_on_request(parameters, tmp_path, project, logged):
    context = QgsProcessingContext()
    context.setProject(project)
    wanted = {
        "MOVING": [parameters["MOVING"]], "REFERENCE": parameters["REFERENCE"], "FOLDER": str(tmp_path / "many"),
    }  # fmt: skip
    results = processing.run("georeg:batch", wanted, context=context, feedback=QgsProcessingFeedback(False))
    assert list(context.layersToLoadOnCompletion()) == [results["FOOTPRINTS"]]
    assert "--resume" in logged()["arguments"]
    run("batch", {**wanted, "SHOW": False, "RESUME": False})
    assert "--overwrite" in logged()["arguments"]
    assert "--resume" not in logged()["arguments"]


def test_batch_with_the_reference_alone_is_refused(parameters, tmp_path):
    with pytest.raises(QgsProcessingException, match="two different images"):
        run("batch", {
            "MOVING": [parameters["REFERENCE"]], "REFERENCE": parameters["REFERENCE"], "FOLDER": str(tmp_path),
        })  # fmt: skip


def test_a_batch_in_which_nothing_succeeds_raises(parameters, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_GEOREG", "fail")
    (tmp_path / "pairs.csv").write_text("moving,reference\n")
    with pytest.raises(QgsProcessingException, match="No pair could be aligned"):
        run("batch", {"PAIRS": str(tmp_path / "pairs.csv"), "FOLDER": str(tmp_path / "many")})


def test_batch_without_images_or_table_is_refused(tmp_path):
    with pytest.raises(QgsProcessingException, match="or a table of pairs"):
        run("batch", {"FOLDER": str(tmp_path)})


def test_evaluate_writes_the_scores(tmp_path):
    listener = Listener()
    parameters = {"FOLDER": str(tmp_path), "OUTPUT": str(tmp_path / "scores.json")}
    results = run("evaluate", parameters, listener)
    assert json.load(open(results["OUTPUT"]))["summary"]["all"]["SR@5"] == 0.9
    assert (results["PAIRS"], results["RIGHT_5"], results["AUC_10"]) == (20, 0.9, 0.7)
    assert "all: 20 pairs; right: 50 % within 3 px, 90 % within 5 px, 100 % within 10 px" in listener.infos


def test_results_are_styled_when_processing_loads_them(parameters, project):
    context = QgsProcessingContext()
    context.setProject(project)
    feedback = QgsProcessingFeedback(False)
    parameters["MOVING"].renderer().setOpacity(0.5)
    output = QgsProcessingOutputLayerDefinition(parameters["OUTPUT"], project)
    results = processing.run(
        "georeg:match", {**parameters, "OUTPUT": output}, context=context, feedback=feedback
    )
    details = context.layerToLoadOnCompletionDetails(results["OUTPUT"])
    layer = QgsProcessingUtils.mapLayerFromString(results["OUTPUT"], context)
    details.postProcessor().postProcessLayer(layer, context, feedback)
    assert layer.renderer().opacity() == 0.5
