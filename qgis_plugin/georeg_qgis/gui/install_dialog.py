"""How to get georeg, and an opt-in button that installs it into an environment of its own."""

from __future__ import annotations

from typing import Callable

from qgis.core import QgsApplication, QgsTask
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QObject, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
)

from .. import settings
from ..executable.installation import InstallationFailed, find_python, python_problem
from ..executable.process import Cancelled

EXPLANATION = """<p><b>georeg</b> is a program of its own, so that its libraries (PyTorch among them)
never mix with those of QGIS. There are two ways to get it:</p>
<p><b>Yourself</b>, in a terminal, with Python 3.11 or newer:</p>
<pre>python3 -m venv ~/georeg
~/georeg/bin/pip install PATH_TO_GEOREG</pre>
<p>and then choose <i>~/georeg/bin/georeg</i> in the settings (on Windows: <i>Scripts\\georeg.exe</i>).</p>
<p><b>Or here:</b> this makes a separate environment in your QGIS profile and installs georeg into it.
It downloads up to 3 GB, fills up to 6 GB of the disk and takes some minutes. QGIS's own Python is not touched,
and Remove takes all of it away again.</p>"""


class _Lines(QObject):
    """Brings log lines from the worker thread to the dialog."""

    line = pyqtSignal(str)


class InstallDialog(QDialog):
    """Explains, installs on request with a log, removes on request."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Install georeg")
        self.resize(640, 600)
        self.installation = settings.own_installation()
        self._task = None
        self.has_installed = False
        self._lines = _Lines()
        self._make_widgets()
        self._lay_out()
        self._refresh()

    def install(self) -> None:
        """Start the installation, in the background."""
        python, source = self.python.filePath().strip(), self.source.filePath().strip()
        problem = python_problem(python)
        if problem:
            self.log.appendPlainText(problem)
            return
        self._begin(
            "Installing georeg",
            lambda task: self.installation.install(python, source, self._lines.line.emit, task.isCanceled),
            self._ended,
        )

    def remove(self) -> None:
        """Take the plugin's own installation away, in the background: it may be 6 GB."""
        question = f"Delete {self.installation.folder} with everything in it?"
        if QMessageBox.question(self, "Remove georeg", question) == QMessageBox.StandardButton.Yes:
            self.log.appendPlainText(f"Removing {self.installation.folder}…")
            self._begin(
                "Removing georeg", lambda task: self.installation.remove(), self._removed, cancels=False
            )

    def reject(self) -> None:
        """Closing cancels what goes on."""
        if self._task is not None:
            self._task.cancel()
        super().reject()

    def _begin(self, name: str, work: Callable, on_finished: Callable, cancels: bool = True) -> None:
        self._task = QgsTask.fromFunction(name, work, on_finished=on_finished)
        QgsApplication.taskManager().addTask(self._task)
        self._refresh()
        self.cancel_button.setEnabled(cancels)

    def _make_widgets(self) -> None:
        self.python, self.source = QgsFileWidget(), QgsFileWidget()
        self.python.setDialogTitle("Python 3.11 or newer")
        self.python.setFilePath(find_python() or "")
        self.source.setDialogTitle("The georeg package")
        self.source.setFilter("georeg package (*.whl *.tar.gz *.zip);;All files (*)")
        self.source.lineEdit().setPlaceholderText("The file georeg-….whl, or a folder with its source")
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setPlaceholderText("What is being done appears here.")
        self.install_button = QPushButton("&Install")
        self.cancel_button = QPushButton("&Cancel installation")
        self.remove_button = QPushButton("&Remove")

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        explanation = QLabel(EXPLANATION)
        explanation.setWordWrap(True)
        layout.addWidget(explanation)
        form = QFormLayout()
        form.addRow("&Python", self.python)
        form.addRow("&georeg package", self.source)
        layout.addLayout(form)
        layout.addWidget(self.log, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        for button in (self.install_button, self.cancel_button, self.remove_button):
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        layout.addWidget(buttons)
        buttons.rejected.connect(self.reject)
        self.install_button.clicked.connect(self.install)
        self.cancel_button.clicked.connect(lambda: self._task.cancel())
        self.remove_button.clicked.connect(self.remove)
        self.source.fileChanged.connect(lambda path: self._refresh())
        self.python.fileChanged.connect(lambda path: self._refresh())
        self._lines.line.connect(self.log.appendPlainText)

    def _refresh(self) -> None:
        running = self._task is not None
        named = bool(self.python.filePath().strip() and self.source.filePath().strip())
        self.install_button.setEnabled(named and not running)
        self.cancel_button.setEnabled(running)
        self.remove_button.setEnabled(self.installation.exists and not running)

    def _removed(self, exception, removed: bool = False) -> None:
        self._task = None
        self.log.appendPlainText("Removed." if removed else str(exception or "There is nothing to remove."))
        self._refresh()

    def _ended(self, exception, program: str | None = None) -> None:
        self._task = None
        if exception is None:
            settings.choose_executable("")
            self.has_installed = True
            self.log.appendPlainText(f"Installed: {program}")
        elif isinstance(exception, (InstallationFailed, Cancelled)):
            self.log.appendPlainText(str(exception) or "Cancelled. Nothing is left of it.")
        else:
            self.log.appendPlainText(f"The installation failed: {exception!r}")
        self._refresh()
