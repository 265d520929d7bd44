"""The page “GeoReg” in QGIS's options: which program, which device, how much of the machine."""

from __future__ import annotations

from typing import Callable

from qgis.core import QgsApplication, QgsTask
from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
)

from .. import settings
from ..executable import command
from ..executable.command import Machine
from ..executable.doctor import describe
from ..executable.environment import ExecutableMissing, find_executable
from ..executable.run import georeg_version, run_georeg
from ..icons import icon
from .install_dialog import InstallDialog

PAGE = "GeoregOptions"
ORIGINS = {
    "settings": "chosen here",
    "plugin": "installed by this plugin",
    "path": "found on the search path",
}


class SettingsPageFactory(QgsOptionsWidgetFactory):
    """Makes the page when the options are opened; tells the listener when other settings are in force."""

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.setTitle("GeoReg")
        self._on_change = on_change

    def icon(self):
        return icon("georeg")

    def createWidget(self, parent):
        return SettingsPage(parent, self._on_change)


class SettingsPage(QgsOptionsPageWidget):
    """The settings; written on OK."""

    def __init__(self, parent=None, on_change: Callable[[], None] = lambda: None) -> None:
        super().__init__(parent)
        self.setObjectName(PAGE)
        self._on_change = on_change
        self._task = None
        self._make_widgets()
        self._lay_out()
        self._load()
        self._say_where()

    def apply(self) -> None:
        """Keep what the page says (OK was pressed)."""
        settings.choose_executable(self.program.filePath())
        settings.set_machine(
            Machine(self.device.currentText().strip() or "auto", self.threads.value(), self.memory.value())
        )
        self._on_change()

    def test(self) -> None:
        """Ask the program how it is, in the background."""
        try:
            program = find_executable(
                self.program.filePath().strip(), settings.own_installation().environment
            )
        except ExecutableMissing as missing:
            self.answer.setText(str(missing))
            return
        self.answer.setText("Testing…")
        self.test_button.setEnabled(False)
        self._task = QgsTask.fromFunction(
            "Testing georeg", lambda task: _ask(program.path), on_finished=self._tested
        )
        QgsApplication.taskManager().addTask(self._task)

    def _make_widgets(self) -> None:
        self.program = QgsFileWidget()
        self.program.setDialogTitle("The georeg program")
        self.program.lineEdit().setPlaceholderText("Found automatically")
        self.test_button = QPushButton("&Test")
        self.install_button = QPushButton("&Install or remove…")
        self.answer = QLabel()
        self.answer.setWordWrap(True)
        self.answer.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.device = QComboBox()
        self.device.setEditable(True)
        self.device.addItems(["auto", "cpu", "cuda"])
        self.threads = QSpinBox()
        self.threads.setRange(0, 1024)
        self.threads.setSpecialValueText("All")
        self.memory = QDoubleSpinBox()
        self.memory.setRange(0, 4096)
        self.memory.setDecimals(1)
        self.memory.setSuffix(" GB")
        self.memory.setSpecialValueText("Default (2 GB)")

    def _lay_out(self) -> None:
        program = QGroupBox("Program")
        rows = QVBoxLayout(program)
        rows.addWidget(_wrapped("GeoReg runs a program called georeg, which is installed apart from QGIS."))
        line = QHBoxLayout()
        line.addWidget(self.program, 1)
        line.addWidget(self.test_button)
        line.addWidget(self.install_button)
        rows.addLayout(line)
        rows.addWidget(self.answer)
        machine = QGroupBox("Machine")
        form = QFormLayout(machine)
        form.addRow("&Device", self.device)
        form.addRow("Processor t&hreads", self.threads)
        form.addRow("Memory for image &windows", self.memory)
        layout = QVBoxLayout(self)
        layout.addWidget(program)
        layout.addWidget(machine)
        layout.addStretch()
        self.test_button.clicked.connect(self.test)
        self.install_button.clicked.connect(self._install)
        self.program.fileChanged.connect(lambda path: self._say_where())

    def _load(self) -> None:
        machine = settings.machine()
        self.program.setFilePath(settings.chosen_executable())
        self.device.setCurrentText(machine.device)
        self.threads.setValue(machine.threads)
        self.memory.setValue(machine.memory_gb)

    def _say_where(self) -> None:
        try:
            found = find_executable(self.program.filePath().strip(), settings.own_installation().environment)
        except ExecutableMissing as missing:
            self.answer.setText(str(missing))
        else:
            self.answer.setText(f"Uses {found.path} ({ORIGINS[found.origin]}).")

    def _tested(self, exception, answer: str | None = None) -> None:
        self.test_button.setEnabled(True)
        self.answer.setText(answer if exception is None else str(exception))

    def _install(self) -> None:
        dialog = InstallDialog(self)
        dialog.exec()
        if dialog.has_installed:  # it is what is used now, and OK must not bring back another choice
            self.program.setFilePath("")
        self._say_where()
        self._on_change()


def _ask(program: str) -> str:
    """What `georeg doctor` says, in a few lines; problems as a sentence."""
    version = georeg_version(program)
    report = run_georeg(command.doctor(program), accepted_codes=(0, 1))
    state = "has problems" if report.get("problems") else "works"
    return "\n".join([f"georeg {version} {state}.", *describe(report)])


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
