"""How an answer is scored against the truth, and how scores are summed up.

The error of a pair is the mean distance of the moving image's four corner pixels' centres, in reference pixels at a
640-px long side; an answer that is missing, refused or not finite has an infinite error. A match counts as correct
(NCM) when it is off by less than 3 such pixels. AUC@t is the area under the recall-over-error curve up to t, in 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from georeg.evaluation.benchmark import Case
from georeg.scene import FloatArray

THRESHOLDS_PX = (3, 5, 10)
CORRECT_MATCH_PX = 3.0
FALSE_CONFIDENCE_PX = 10.0


@dataclass(frozen=True)
class Estimate:
    """What a method answers for one pair.

    Attributes:
        matrix: (3, 3) moving px -> reference px (corner-based); None where it found nothing.
        moving_xy, reference_xy: (N, 2) the matches, corner-based.
        verdict: "pass", "warn" or "fail"; a failed verdict counts as no answer. Methods without a judgement say "pass".
        reason: why it failed or warned, one sentence.
        run: figures worth keeping in the JSON output.
    """

    matrix: FloatArray | None
    moving_xy: FloatArray
    reference_xy: FloatArray
    verdict: str = "pass"
    reason: str = ""
    run: dict[str, Any] | None = None

    @classmethod
    def nothing(cls, reason: str, verdict: str = "fail") -> Estimate:
        return cls(None, np.zeros((0, 2)), np.zeros((0, 2)), verdict, reason)

    @property
    def usable(self) -> FloatArray | None:
        """The matrix if it is a homography one can apply, whatever the verdict; else None."""
        matrix = self.matrix
        if matrix is None or matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            return None
        return None if abs(np.linalg.det(matrix)) < 1e-12 else matrix

    @property
    def answer(self) -> FloatArray | None:
        """The usable matrix if the method stands by it, else None."""
        return None if self.verdict == "fail" else self.usable


@dataclass(frozen=True)
class Score:
    """The figures of one pair.

    Attributes:
        corner_px: mean corner error, scaled; infinite for a failure, None where only landmarks are known.
        unjudged_px: the same, had the verdict been ignored.
        landmark_rmse_px: over the landmarks, reference pixels; None for pairs with a matrix.
        correct: matches off by less than 3 px; precision: their share. None for landmark pairs.
    """

    id: str
    modality_pair: str
    verdict: str
    reason: str
    seconds: float
    corner_px: float | None
    unjudged_px: float | None
    landmark_rmse_px: float | None
    matches: int
    correct: int | None
    precision: float | None
    answered: bool

    @property
    def false_confidence(self) -> bool:
        return self.verdict == "pass" and self.corner_px is not None and self.corner_px > FALSE_CONFIDENCE_PX


def project(matrix: FloatArray, points_xy: FloatArray) -> FloatArray:
    """Map (N, 2) points by a homography; points at or beyond its horizon become infinite."""
    homogeneous = np.column_stack([points_xy, np.ones(len(points_xy))]) @ matrix.T
    depth = homogeneous[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        mapped = homogeneous[:, :2] / depth[:, None]
    beyond = (np.sign(depth) != np.sign(depth).max(initial=-1.0)) | (depth == 0)
    mapped[beyond] = np.inf
    return np.where(np.isfinite(mapped), mapped, np.inf)


def corner_error_px(matrix: FloatArray | None, truth: FloatArray, size: tuple[int, int]) -> float:
    """Mean distance of the four corner pixels' centres, reference pixels; infinite for None."""
    if matrix is None:
        return float("inf")
    width, height = size
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]) + 0.5
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(project(matrix, corners) - project(truth, corners), axis=1).mean()
    return float(distance) if np.isfinite(distance) else float("inf")


def auc(errors: npt.ArrayLike, limit: float) -> float:
    """Area under the recall-over-error curve up to `limit`, in 0..1 (exact integral of the step function)."""
    return float((1 - np.minimum(np.asarray(errors, float), limit) / limit).mean())


def score(case: Case, estimate: Estimate, seconds: float) -> Score:
    """Score one answer."""
    answer = estimate.answer
    corner = unjudged = rmse = precision = correct = None
    if case.truth is None:
        rmse = _landmark_rmse(answer, case.landmarks)
    else:
        corner = corner_error_px(answer, case.truth, case.moving_size) * case.scale
        unjudged = corner_error_px(estimate.usable, case.truth, case.moving_size) * case.scale
        correct, precision = _correct_matches(case, case.truth, estimate)
    return Score(
        case.id, case.modality_pair, estimate.verdict, estimate.reason, seconds, corner, unjudged, rmse,
        len(estimate.moving_xy), correct, precision, answer is not None,
    )  # fmt: skip


def _landmark_rmse(matrix: FloatArray | None, landmarks: FloatArray) -> float:
    if matrix is None or not len(landmarks):
        return float("inf")
    off = project(matrix, landmarks[:, :2]) - landmarks[:, 2:]
    return float(np.sqrt((off**2).sum(1).mean()))


def _correct_matches(case: Case, truth: FloatArray, estimate: Estimate) -> tuple[int, float]:
    if not len(estimate.moving_xy):
        return 0, 0.0
    off = np.linalg.norm(project(truth, estimate.moving_xy) - estimate.reference_xy, axis=1) * case.scale
    good = off < CORRECT_MATCH_PX
    return int(good.sum()), float(good.mean())


def summarise(scores: Sequence[Score]) -> dict[str, float | int]:
    """Sum up scores: n, SR@t, AUC@t, median error, NCM, precision, false confidence, landmarks, seconds."""
    scored = [s for s in scores if s.corner_px is not None]
    marks = [s.landmark_rmse_px for s in scores if s.landmark_rmse_px is not None]
    summary: dict[str, float | int] = {"n": len(scored), "missing": sum(not s.answered for s in scores)}
    if scored:
        errors = np.array([s.corner_px for s in scored], float)
        summary |= {f"SR@{t}": float((errors < t).mean()) for t in THRESHOLDS_PX}
        summary |= {f"AUC@{t}": auc(errors, t) for t in THRESHOLDS_PX}
        summary["median_px"] = float(np.median(errors))
        summary["NCM"] = float(np.mean([s.correct for s in scored]))
        summary["precision"] = float(np.mean([s.precision for s in scored]))
        summary["false_confidence"] = float(np.mean([s.false_confidence for s in scored]))
    if marks:
        summary["landmark_n"], summary["landmark_rmse_px"] = len(marks), float(np.median(marks))
    summary["seconds"] = float(np.median([s.seconds for s in scores])) if scores else float("nan")
    return summary


def summarise_by_modality(scores: Sequence[Score]) -> dict[str, dict[str, float | int]]:
    """One summary per modality pair, in order of name, and "all" last."""
    names = sorted({s.modality_pair for s in scores})
    table = {name: summarise([s for s in scores if s.modality_pair == name]) for name in names}
    return table | {"all": summarise(scores)}
