"""georeg:evaluate: how well georeg does on a folder of pairs whose true alignment is known."""

from __future__ import annotations

import json
from typing import Any

from qgis.core import (
    QgsProcessingException,
    QgsProcessingOutputNumber,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)

from ..executable.command import Evaluate
from ..versions import FOLDER
from .base import GeoregAlgorithm
from .choices import MATCHERS

HELP = """<p>Registers every pair of a folder whose true alignment is known, and says how often and how
exactly georeg was right: in the log, and for every pair in the file of scores. The page “benchmark” of georeg's
documentation describes the form of such a folder.</p>"""
FIGURES = {
    "PAIRS": ("n", "Pairs"),
    "RIGHT_3": ("SR@3", "Share of pairs right within 3 px"),
    "RIGHT_5": ("SR@5", "Share of pairs right within 5 px"),
    "RIGHT_10": ("SR@10", "Share of pairs right within 10 px"),
    "AUC_10": ("AUC@10", "Area under that curve up to 10 px"),
}
"""Output -> georeg's name for the figure, words."""


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
        for name, (_, words) in FIGURES.items():
            self.addOutput(QgsProcessingOutputNumber(name, words))

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
        summary = scores.get("summary") or {}
        for kind, figures in summary.items():
            feedback.pushInfo(_line(kind, figures))
        in_all = summary.get("all") or {}
        return {"OUTPUT": self._output, **{name: in_all.get(key) for name, (key, _) in FIGURES.items()}}


def _line(kind: str, figures: dict[str, Any]) -> str:
    """The figures of one kind of pairs, for people."""
    shares = ", ".join(f"{100 * (figures.get(f'SR@{px}') or 0):.0f} % within {px} px" for px in (3, 5, 10))
    return f"{kind}: {figures.get('n')} pairs; right: {shares}"
