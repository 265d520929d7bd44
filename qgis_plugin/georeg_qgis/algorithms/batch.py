"""georeg:batch: many images, each aligned to its reference, with one summary."""

from __future__ import annotations

import csv
import os
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingUtils,
)

from ..executable.command import Batch
from ..executable.wording import in_qgis
from ..layers import LayerRefused, raster_path, refusal, same_source
from ..versions import RASTER
from .base import GeoregAlgorithm
from .choices import MODALITIES, TRANSFORMS

FINISHED_WITH_FAILURES = 6
HELP = """<p>Aligns many images. Either choose the images and one reference, or a table of pairs: a CSV file
with the columns <i>moving</i> and <i>reference</i>, and any option of georeg as a further column.</p>
<p>A pair that fails does not stop the others. Running it again into the same folder does what is
missing only.</p>"""


class BatchAlgorithm(GeoregAlgorithm):
    """Parameters of `georeg batch`."""

    NAME = "batch"
    TITLE = "Align many images"
    HELP = HELP

    def __init__(self) -> None:
        super().__init__()
        self._request = Batch("", "")
        self._shows = False

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(QgsProcessingParameterMultipleLayers("MOVING", "Images to align", RASTER, optional=True))
        self.add(QgsProcessingParameterRasterLayer("REFERENCE", "Reference image", optional=True))
        self.add(
            QgsProcessingParameterFile("PAIRS", "Or a table of pairs (CSV or JSON lines)", optional=True),
            "Used in place of the two above.",
        )
        self.add_choice("MOVING_MODALITY", "Kind of the moving images", MODALITIES, "The sensor behind them.")
        self.add_choice("REFERENCE_MODALITY", "Kind of the reference", MODALITIES, "The sensor behind it.")
        self.add_choice("TRANSFORM", "Transform", TRANSFORMS)
        self.add(QgsProcessingParameterFolderDestination("FOLDER", "Folder for the results"))
        show = QgsProcessingParameterBoolean(
            "SHOW", "Show on the map which areas were aligned, and how well", True
        )
        self.add(show, "One outline for each pair, coloured by its verdict.")
        jobs = QgsProcessingParameterNumber("JOBS", "Images at the same time", defaultValue=0, minValue=0)
        self.add(jobs, "0: as many as the machine allows.", advanced=True)
        resume = QgsProcessingParameterBoolean("RESUME", "Skip what is done already", True)
        self.add(
            resume,
            "Results of an earlier run in the same folder are kept. Otherwise they are replaced.",
            advanced=True,
        )
        self.add(
            QgsProcessingParameterBoolean("FAIL_FAST", "Stop at the first failure", False), advanced=True
        )
        for name, label in (("DONE", "Pairs aligned"), ("FAILED", "Pairs that failed")):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(
            QgsProcessingOutputVectorLayer("FOOTPRINTS", "Footprints, with the verdict of each pair")
        )
        self.addOutput(QgsProcessingOutputHtml("INDEX", "Summary page"))

    def checkParameterValues(self, parameters: dict, context) -> tuple[bool, str]:
        table = self.parameterAsFile(parameters, "PAIRS", context)
        layers = self.parameterAsLayerList(parameters, "MOVING", context) if parameters.get("MOVING") else []
        if not table and not (layers and parameters.get("REFERENCE")):
            return False, "Choose the images to align and a reference, or a table of pairs."
        reference = None if table else self.parameterAsRasterLayer(parameters, "REFERENCE", context)
        chosen = [] if table else [*layers, reference]
        problem = next((words for words in map(refusal, chosen) if words), "")
        if reference is not None and all(same_source(layer, reference) for layer in layers):
            problem = "The image to align and the reference are the same. Choose two different images."
        return (False, problem) if problem else super().checkParameterValues(parameters, context)

    def prepareAlgorithm(self, parameters: dict, context, feedback) -> bool:
        self.take_settings()
        table = self.parameterAsFile(parameters, "PAIRS", context)
        try:
            pairs = table or self._table(parameters, context)
        except LayerRefused as refusal:
            raise QgsProcessingException(str(refusal)) from refusal
        self._request = Batch(
            pairs=pairs,
            folder=self.parameterAsFileOutput(parameters, "FOLDER", context),
            moving_modality=self.choice(parameters, "MOVING_MODALITY", MODALITIES, context),
            reference_modality=self.choice(parameters, "REFERENCE_MODALITY", MODALITIES, context),
            transform=self.choice(parameters, "TRANSFORM", TRANSFORMS, context),
            jobs=self.parameterAsInt(parameters, "JOBS", context),
            resume=self.parameterAsBool(parameters, "RESUME", context),
            fail_fast=self.parameterAsBool(parameters, "FAIL_FAST", context),
        )
        self._shows = self.parameterAsBool(parameters, "SHOW", context)
        return True

    def processAlgorithm(self, parameters: dict, context, feedback) -> dict[str, Any]:
        """Pairs that failed are told and counted, not raised: the other results are there and are wanted."""
        summary = self.run_georeg(self._request, feedback, accepted_codes=(0, FINISHED_WITH_FAILURES))
        counts, failed = summary.get("counts") or {}, summary.get("failed") or []
        done = int(counts.get("pass", 0)) + int(counts.get("warn", 0))  # those of earlier runs among them
        for pair in failed:
            feedback.reportError(f"{pair.get('name')}: {in_qgis(str(pair.get('error')))}")
        if summary.get("unfinished"):
            feedback.pushWarning(f"{summary['unfinished']} pairs were not tried after the first failure.")
        if failed and not done:
            raise QgsProcessingException(f"No pair could be aligned. {in_qgis(str(failed[0].get('error')))}")
        footprints = os.path.join(self._request.folder, "footprints.gpkg")
        if self._shows and context.project() is not None:
            details = QgsProcessingContext.LayerDetails("Footprints", context.project(), "FOOTPRINTS")
            context.addLayerToLoadOnCompletion(footprints, details)
        return {
            "FOLDER": self._request.folder,
            "DONE": done,
            "FAILED": len(failed),
            "FOOTPRINTS": footprints,
            "INDEX": os.path.join(self._request.folder, "index.html"),
        }

    def _table(self, parameters: dict, context) -> str:
        """A table of pairs made of the chosen layers."""
        reference = raster_path(self.parameterAsRasterLayer(parameters, "REFERENCE", context))
        moving = [raster_path(layer) for layer in self.parameterAsLayerList(parameters, "MOVING", context)]
        path = QgsProcessingUtils.generateTempFilename("pairs.csv")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["moving", "reference"])
            writer.writerows([image, reference] for image in moving if image != reference)
        return path
