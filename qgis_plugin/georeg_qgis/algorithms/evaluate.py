"""georeg:evaluate: how well georeg does on a folder of pairs whose true alignment is known."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import (
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)

from ..executable.command import Evaluate
from ..versions import FOLDER
from .base import GeoregAlgorithm
from .choices import MATCHERS

HELP = """<p>Registers every pair of a folder whose true alignment is known, and says how often and how
exactly georeg was right. The documentation of georeg describes the form of such a folder.</p>"""


class EvaluateAlgorithm(GeoregAlgorithm):
    """Parameters of `georeg evaluate`."""

    NAME = "evaluate"
    TITLE = "Score on pairs with known truth"
    HELP = HELP

    def __init__(self) -> None:
        super().__init__()
        self._request = Evaluate("")
        self._output = ""

    def initAlgorithm(self, configuration: dict | None = None) -> None:
        self.add(
            QgsProcessingParameterFile("FOLDER", "Folder of pairs", FOLDER), "Image pairs and their truth."
        )
        self.add_choice("MATCHER", "Matcher", MATCHERS)
        self.add(
            QgsProcessingParameterBoolean("HARD", "Rotate and scale the moving images first", False),
            "The harder test.",
        )
        self.add(QgsProcessingParameterFileDestination("OUTPUT", "Scores", "JSON files (*.json)"))

    def prepareAlgorithm(self, parameters: dict, context, feedback) -> bool:
        self.take_settings()
        self._output = self.parameterAsFileOutput(parameters, "OUTPUT", context)
        self._request = Evaluate(
            folder=self.parameterAsFile(parameters, "FOLDER", context),
            matcher=self.choice(parameters, "MATCHER", MATCHERS, context),
            hard=self.parameterAsBool(parameters, "HARD", context),
        )
        return True

    def processAlgorithm(self, parameters: dict, context, feedback) -> dict[str, Any]:
        scores = self.run_georeg(self._request, feedback)
        try:
            with open(self._output, "w", encoding="utf-8") as stream:
                json.dump(scores, stream, indent=2)
        except OSError as cause:
            raise QgsProcessingException(f"{self._output} could not be written: {cause.strerror}.") from cause
        return {"OUTPUT": self._output}
