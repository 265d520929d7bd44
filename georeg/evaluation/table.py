"""Scores as text for people and as plain values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from georeg.evaluation.metrics import Score, summarise_by_modality

COLUMNS = {
    "n": "n",
    "SR@3": "SR@3",
    "SR@5": "SR@5",
    "SR@10": "SR@10",
    "AUC@3": "AUC@3",
    "AUC@5": "AUC@5",
    "AUC@10": "AUC@10",
    "median_px": "med px",
    "NCM": "NCM",
    "precision": "prec",
    "false_confidence": "false",
    "landmark_n": "lm n",
    "landmark_rmse_px": "lm RMSE",
    "seconds": "s",
}
"""Key of a summary -> heading."""


def table_text(scores: Sequence[Score]) -> str:
    """The summary per modality pair as a fixed-width table."""
    lines = [f"{'pair':<18}" + "".join(f"{heading:>8}" for heading in COLUMNS.values())]
    for name, summary in summarise_by_modality(scores).items():
        lines.append(f"{name:<18}" + "".join(f"{_cell(key, summary.get(key)):>8}" for key in COLUMNS))
    return "\n".join(lines)


def _cell(key: str, value: float | int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if math.isinf(value):
        return "inf"
    return f"{value:.0f}" if key == "NCM" else f"{value:.2f}" if key != "false_confidence" else f"{value:.3f}"


def score_line(item: Score) -> str:
    """One pair on one line: id, error, verdict, counts, seconds."""
    if item.corner_px is None:
        error = f"lm {item.landmark_rmse_px:.2f}"
    else:
        error = f"{item.corner_px:.2f}"
        if item.corner_px != item.unjudged_px:
            error += f" ({item.unjudged_px:.2f} refused)"
    correct = "" if item.correct is None else f"{item.correct}/"
    flag = "  FALSE CONFIDENCE" if item.false_confidence else ""
    return (
        f"{item.id:<26} {error:>12} px  {item.verdict:<5} {correct}{item.matches} matches  {item.seconds:.1f} s"
        f"{flag}  {item.reason}".rstrip()
    )


def scores_json(scores: Sequence[Score]) -> dict[str, Any]:
    """{"summary": per modality pair and "all", "pairs": one record each}; infinite errors are null."""
    summary = summarise_by_modality(scores)
    return {
        "summary": {name: {k: _plain(v) for k, v in row.items()} for name, row in summary.items()},
        "pairs": [{k: _plain(v) for k, v in asdict(item).items()} for item in scores],
    }


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
