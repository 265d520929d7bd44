"""The card with the outcome of a run: verdict in words, accuracy, tie points, and what can be done next."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QFormLayout, QFrame, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ..executable.outcome import MEANINGS, Outcome

COLOURS = {"pass": "#1a7f37", "warn": "#9a6700", "fail": "#b3261e"}
SIGNS = {"pass": "✔", "warn": "!", "fail": "✖"}


class ResultCard(QFrame):
    """Shows one outcome, or one failure; the buttons are signals of the same names."""

    swipe = pyqtSignal(bool)
    flicker = pyqtSignal(bool)
    report = pyqtSignal()
    save_points = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.headline, self.reasons = QLabel(), QLabel()
        for label in (self.headline, self.reasons):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.figures = QFormLayout()
        self.swipe_button = _toggle(
            "Swipe",
            "Drag a line across the map: the reference left of it, the result right of it",
            self.swipe,
        )
        self.flicker_button = _toggle("Flicker", "Show the reference and the result in turn", self.flicker)
        self.report_button = _button("Open report", "The whole report in the web browser", self.report)
        self.points_button = _button(
            "Save .points…", "Tie points as a file for the Georeferencer of QGIS", self.save_points
        )
        self._lay_out()
        self.swipe.connect(lambda on: on and _uncheck(self.flicker_button))
        self.flicker.connect(lambda on: on and _uncheck(self.swipe_button))

    def show_outcome(self, outcome: Outcome, has_layers: bool) -> None:
        """Show what georeg found; comparing needs the result and the reference."""
        self._show_headline(outcome.verdict, outcome.headline)
        self._show_figures(outcome.rows)
        self._show_reasons(outcome.reasons)
        for button in (self.swipe_button, self.flicker_button):
            button.setEnabled(has_layers)

    def show_failure(self, sentence: str) -> None:
        """Show why there is no result."""
        self._show_headline("fail", "Not aligned")
        self._show_figures([])
        self._show_reasons((sentence,))
        for button in (self.swipe_button, self.flicker_button):
            button.setEnabled(False)

    def offer(self, report: bool, points: bool) -> None:
        """Enable what there is a file for."""
        self.report_button.setEnabled(report)
        self.points_button.setEnabled(points)

    def comparison_ended(self) -> None:
        _uncheck(self.swipe_button)
        _uncheck(self.flicker_button)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.addWidget(self.headline)
        layout.addWidget(self.reasons)
        layout.addLayout(self.figures)
        buttons = QGridLayout()
        buttons.addWidget(self.swipe_button, 0, 0)
        buttons.addWidget(self.flicker_button, 0, 1)
        buttons.addWidget(self.report_button, 1, 0)
        buttons.addWidget(self.points_button, 1, 1)
        layout.addLayout(buttons)

    def _show_headline(self, verdict: str, words: str) -> None:
        self.headline.setText(f"{SIGNS[verdict]}  {words}")
        self.headline.setStyleSheet(
            f"background: {COLOURS[verdict]}; color: white; font-weight: bold; "
            "padding: 6px; border-radius: 3px;"
        )

    def _show_reasons(self, reasons: tuple[str, ...]) -> None:
        self.reasons.setText("\n".join(reasons))
        self.reasons.setVisible(bool(reasons))

    def _show_figures(self, rows: list[tuple[str, str]]) -> None:
        while self.figures.rowCount():
            self.figures.removeRow(0)
        for label, value in rows:
            shown = QLabel(value)
            shown.setToolTip(MEANINGS[label])
            self.figures.addRow(label, shown)
            self.figures.labelForField(shown).setToolTip(MEANINGS[label])


def _button(text: str, tip: str, signal) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda: signal.emit())
    return button


def _toggle(text: str, tip: str, signal) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setCheckable(True)
    button.toggled.connect(signal)
    return button


def _uncheck(button: QPushButton) -> None:
    """Uncheck without a signal."""
    button.blockSignals(True)
    button.setChecked(False)
    button.blockSignals(False)
