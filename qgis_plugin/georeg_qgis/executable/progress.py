"""The progress that `georeg --progress json` reports: one JSON object a line on stderr."""

from __future__ import annotations

import json
from dataclasses import dataclass

STAGES = {
    "preflight": (0, 2, "Checking the images"),
    "overview": (2, 20, "Finding the rough position"),
    "tiles": (20, 65, "Matching in detail"),
    "rematch": (20, 70, "Matching again with the better position"),
    "refine": (60, 72, "Refining"),
    "fit": (65, 75, "Fitting the transform"),
    "judge": (75, 78, "Judging the result"),
    "write": (78, 96, "Writing the aligned image"),
    "warp": (0, 98, "Writing the aligned image"),
    "points": (96, 97, "Writing the tie points"),
    "report": (97, 99, "Writing the report"),
    "companions": (96, 99, "Writing the other files"),
    "batch": (0, 99, "Registering the pairs"),
    "pairs": (0, 99, "Registering the pairs"),
    "evaluate": (0, 99, "Scoring the pairs"),
}
"""Stage -> first percent, last percent, words. Another stage shows its name and leaves the bar alone."""
COMPANIONS = {
    "points": "Writing the tie points",
    "report": "Writing the report",
    "registration": "Writing the registration",
    "done": "Done",
}
"""Messages of the stage "write" that tell of what is written beside the image, after it."""


@dataclass(frozen=True)
class Progress:
    """One report: `done` of `total` steps of a stage (total 0: unknown), with a message of georeg's own."""

    stage: str
    done: float
    total: float
    message: str

    @property
    def words(self) -> str:
        """What is being done, for people."""
        if self.stage == "write" and self.message in COMPANIONS:
            return COMPANIONS[self.message]
        return STAGES[self.stage][2] if self.stage in STAGES else self.stage.replace("_", " ").capitalize()

    @property
    def count(self) -> str:
        """How far, for people: "12 of 40", or nothing where it is not known or not a count."""
        if self.message in COMPANIONS:
            return ""
        whole = self.total >= 2 and self.done == int(self.done) and self.total == int(self.total)
        return f"{int(self.done)} of {int(self.total)}" if whole else ""


def parse_progress(line: str) -> Progress | None:
    """The progress in one line of stderr; None where the line is something else."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        entry = json.loads(line)
        return Progress(
            str(entry["stage"]),
            float(entry.get("done") or 0),
            float(entry.get("total") or 0),
            str(entry.get("message") or ""),
        )
    except (ValueError, TypeError, KeyError):
        return None


class Percent:
    """Turns the progress of the stages into one percentage that never goes back."""

    def __init__(self) -> None:
        self.value = 0.0

    def update(self, progress: Progress) -> float:
        """The percentage (0 to 100) after this report."""
        beside = progress.stage == "write" and progress.message in COMPANIONS
        stage = "companions" if beside else progress.stage
        if stage in STAGES:
            first, last, _ = STAGES[stage]
            share = min(progress.done / progress.total, 1.0) if progress.total > 0 else 0.0
            self.value = max(self.value, first + (last - first) * share)
        return self.value
