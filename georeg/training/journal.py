"""The run's log: one JSON object a line, and a plot of it where matplotlib is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from georeg.errors import ResourceError

PLOTTED = ("coarse", "accuracy", "fine", "sub_pixel", "modality_accuracy")


class Journal:
    """Appends to RUN/log.jsonl; lines have "kind": "train", "validation" or "note"."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, **values: Any) -> None:
        line = json.dumps({"kind": kind, **values}, allow_nan=True)
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise ResourceError(f"cannot write the log {self.path}: {error}") from error

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far; a last line cut off by a crash is left out."""
        if not self.path.exists():
            return []
        parsed = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                parsed.append(json.loads(line))
            except ValueError:
                continue
        return parsed


def plot(journal: Journal, target: Path) -> bool:
    """Draw losses and accuracies over the steps into a PNG; False where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = journal.lines()
    figure = Figure(figsize=(8, 2.2 * len(PLOTTED)), layout="constrained")
    axes = figure.subplots(len(PLOTTED), 1, sharex=True)
    for axis, name in zip(axes, PLOTTED, strict=True):
        for kind, style in (("train", "-"), ("validation", "o-")):
            rows = [(line["step"], line[name]) for line in lines if line.get("kind") == kind and name in line]
            if rows:
                axis.plot(*zip(*rows, strict=True), style, label=kind, markersize=3, linewidth=1)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("step")
    if axes[0].has_data():
        axes[0].legend()
    FigureCanvasAgg(figure).print_png(str(target))
    return True
