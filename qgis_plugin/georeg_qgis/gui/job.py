"""One run of georeg:match in the background, as the panel sees it."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsApplication,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import QObject, pyqtSignal

ALGORITHM = "georeg:match"


class _Feedback(QgsProcessingFeedback):
    """Passes on what the worker thread says; the signals bring it to the main thread."""

    stage = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__(False)
        self.errors: list[str] = []

    def setProgressText(self, text: str) -> None:
        self.stage.emit(text)

    def reportError(self, error: str, fatalError: bool = False) -> None:
        self.errors.append(error)


class MatchJob(QObject):
    """Starts one run and tells how it goes; ends with exactly one of `done`, `failed` and `cancelled`.

    Signals:
        stage: what is being done, in words.
        percent: 0 to 100.
        done: the results of the algorithm.
        failed: one sentence.
    """

    stage = pyqtSignal(str)
    percent = pyqtSignal(float)
    done = pyqtSignal(dict)
    failed = pyqtSignal(str)
    cancelled = pyqtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._task = self._feedback = self._context = None

    @property
    def running(self) -> bool:
        return self._task is not None

    def start(self, parameters: dict[str, Any]) -> None:
        """Check the parameters, then run; problems come by `failed` like later ones."""
        self._context = QgsProcessingContext()
        self._context.setProject(QgsProject.instance())
        algorithm = QgsApplication.processingRegistry().createAlgorithmById(ALGORITHM)
        valid, problem = algorithm.checkParameterValues(parameters, self._context)
        if not valid:
            self.failed.emit(problem)
            return
        self._feedback = _Feedback()
        self._feedback.stage.connect(self.stage)
        self._feedback.progressChanged.connect(self.percent)
        task = QgsProcessingAlgRunnerTask(algorithm, parameters, self._context, self._feedback)
        if task.isCanceled():  # it was refused while its parameters were read
            self.failed.emit(self._sentence())
            return
        task.executed.connect(self._ended)
        self._task = task
        QgsApplication.taskManager().addTask(task)

    def cancel(self) -> None:
        """End the run with all its processes; `cancelled` follows when they are gone."""
        if self._task is not None:
            self._task.cancel()

    def _ended(self, successful: bool, results: dict[str, Any]) -> None:
        self._task = None
        if self._feedback.isCanceled() and not successful:  # here, or in QGIS's list of tasks, or on closing
            self.cancelled.emit()
        elif successful:
            self.done.emit(results)
        else:
            self.failed.emit(self._sentence())

    def _sentence(self) -> str:
        return (
            self._feedback.errors[0]
            if self._feedback.errors
            else "georeg did not start. See the log messages."
        )
