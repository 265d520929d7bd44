"""Runs a method over the pairs of a benchmark and keeps what it said."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from georeg.errors import GeoregError, ResourceError
from georeg.evaluation.benchmark import Case, matrix_to_centres
from georeg.evaluation.metrics import Estimate, Score, score

Estimator = Callable[[str, str], Estimate]
"""estimate(moving_path, reference_path)."""

log = logging.getLogger(__name__)


def evaluate(
    cases: Sequence[Case],
    estimate: Estimator,
    done: Callable[[int, Score], None] = lambda index, score: None,
    predictions: str | Path | None = None,
) -> list[Score]:
    """Score a method on every case.

    Args:
        cases: the pairs.
        estimate: the method; an exception it raises is that pair's failure, save for lost memory or device.
        done: called with the number of pairs done and the last one's score.
        predictions: a folder for `<id>.json` with matrix, matches and seconds (0-based pixel centres).
    """
    scores = []
    for index, case in enumerate(cases, 1):
        answer, seconds = _timed(estimate, case)
        scores.append(score(case, answer, seconds))
        if predictions is not None:
            write_prediction(Path(predictions), case, answer, seconds)
        done(index, scores[-1])
    return scores


def _timed(estimate: Estimator, case: Case) -> tuple[Estimate, float]:
    start = time.perf_counter()
    try:
        answer = estimate(case.moving, case.reference)
    except ResourceError:
        raise
    except GeoregError as error:
        answer = Estimate.nothing(str(error))
    except Exception as error:
        log.exception("%s: the method broke down", case.id)
        answer = Estimate.nothing(f"{type(error).__name__}: {error}", verdict="error")
    return answer, time.perf_counter() - start


def write_prediction(folder: Path, case: Case, estimate: Estimate, seconds: float) -> None:
    """Write `<id>.json`: matrix moving -> reference or null, matches [x_ref, y_ref, x_moving, y_moving], seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = estimate.answer
    content: dict[str, Any] = {
        "matrix": None if answer is None else matrix_to_centres(answer).tolist(),
        "matches": (np.hstack([estimate.reference_xy, estimate.moving_xy]) - 0.5).tolist(),
        "seconds": seconds,
        "verdict": estimate.verdict,
        "reason": estimate.reason,
        "run": estimate.run or {},
    }
    (folder / f"{case.id}.json").write_text(json.dumps(content))
