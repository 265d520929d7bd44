"""What the algorithms share: an argument list, a watched program, and its own words where it fails."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
)

from .. import settings
from ..executable.command import Machine, OldExecutable
from ..executable.environment import ExecutableMissing
from ..executable.failure import GeoregFailed
from ..executable.process import Cancelled, ProgramMissing
from ..executable.progress import Percent, Progress
from ..executable.run import georeg_version
from ..executable.run import run_georeg as run_command
from ..icons import icon, icon_path
from ..versions import ADVANCED


class GeoregAlgorithm(QgsProcessingAlgorithm):
    """One georeg command as a Processing algorithm.

    Subclasses set NAME, TITLE and HELP, read their parameters in `prepareAlgorithm` (main thread: layers may
    be touched) and call `run_georeg` in `processAlgorithm` (a worker thread: layers may be gone by then).
    """

    NAME = ""
    TITLE = ""
    HELP = ""
    TAGS = [
        "coregistration",
        "registration",
        "align",
        "georeference",
        "georeferencing",
        "image matching",
        "SAR",
    ]

    def __init__(self) -> None:
        super().__init__()
        self._executable = ""
        self._machine = Machine()

    def name(self) -> str:
        return self.NAME

    def displayName(self) -> str:
        return self.TITLE

    def createInstance(self):
        return type(self)()

    def icon(self):
        return icon(self.NAME)

    def svgIconPath(self) -> str:
        return icon_path(self.NAME)

    def tags(self) -> list[str]:
        return self.TAGS

    def shortHelpString(self) -> str:
        return " ".join(self.HELP.split())

    def canExecute(self) -> tuple[bool, str]:
        try:
            settings.executable()
        except ExecutableMissing as missing:
            return False, str(missing)
        return True, ""

    def take_settings(self) -> None:
        """Read the settings, in the main thread; raises QgsProcessingException where there is no program."""
        try:
            self._executable = settings.executable().path
        except ExecutableMissing as missing:
            raise QgsProcessingException(str(missing)) from missing
        self._machine = settings.machine()

    def run_georeg(
        self, request: Any, feedback: QgsProcessingFeedback, accepted_codes: tuple[int, ...] = (0,)
    ) -> dict[str, Any]:
        """Run a request of `executable.command`; returns georeg's JSON, raises QgsProcessingException."""
        try:
            georeg_version(self._executable, feedback.isCanceled)
            arguments = request.arguments(self._executable, self._machine)
            feedback.pushCommandInfo(_shown(arguments))
            reporter = _Reporter(feedback)
            return run_command(
                arguments,
                reporter.progress,
                feedback.pushInfo,
                feedback.isCanceled,
                accepted_codes,
                getattr(request, "outputs", ()),
            )
        except Cancelled as cause:
            raise QgsProcessingException("Cancelled. Nothing was written.") from cause
        except (GeoregFailed, ProgramMissing, OldExecutable) as cause:
            raise QgsProcessingException(str(cause)) from cause

    def add(
        self, parameter: QgsProcessingParameterDefinition, help_text: str = "", advanced: bool = False
    ) -> None:
        """Add a parameter with its help, perhaps behind the Advanced flag."""
        parameter.setHelp(help_text)
        if advanced:
            parameter.setFlags(parameter.flags() | ADVANCED)
        self.addParameter(parameter)

    def add_choice(
        self, name: str, label: str, choices: dict[str, str], help_text: str = "", advanced: bool = False
    ) -> None:
        """Add a choice among words; the first is the default."""
        parameter = QgsProcessingParameterEnum(name, label, options=list(choices.values()), defaultValue=0)
        self.add(parameter, help_text, advanced)

    def choice(self, parameters: dict, name: str, choices: dict[str, str], context) -> str:
        """georeg's word for what was chosen."""
        return list(choices)[self.parameterAsEnum(parameters, name, context)]

    def optional_number(self, parameters: dict, name: str, context) -> float | None:
        return None if parameters.get(name) is None else self.parameterAsDouble(parameters, name, context)


class _Reporter:
    """Turns georeg's progress into the bar and the text of Processing."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._percent = Percent()
        self._stage = ""

    def progress(self, progress: Progress) -> None:
        self._feedback.setProgress(self._percent.update(progress))
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._feedback.pushInfo(progress.words + (f": {progress.message}" if progress.message else ""))
        self._feedback.setProgressText(f"{progress.words} {progress.count}".strip())


def _shown(arguments: list[str]) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in arguments)
