"""Whether a registration is to be believed: held-out figures, a calibrated probability, a verdict with reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely

from georeg.geometry.robust import holdout, spatial_groups
from georeg.geometry.transforms import MINIMUM_POINTS, Transform
from georeg.registration.estimate import Estimate
from georeg.registration.tiles import coverage
from georeg.result import Quality
from georeg.scene import FloatArray

PASS_FROM, WARN_FROM = 0.95, 0.5
LEAST_INLIERS, LEAST_CELLS = 8, 5
CELL_PX = 32


@dataclass(frozen=True)
class Evidence:
    """What the probability is computed from.

    Attributes:
        cells: CELL_PX squares (in pixels of the coarser scene) that hold an inlier: matches whose templates overlap are
            not counted twice.
        inlier_share: of the matches, each counting by its confidence, relative to what is usual for the matcher.
        filled: cells over those of the searched area: where nothing was found counts against it.
        verified_share: of matches that were searched for anew in a wide window around the answer, the share that agrees
            with it; a wrong answer gets only what chance gives.
        verified: their number.
        coverage: share of the overlap within reach of an inlier.
        holdout_work_px: held-out RMSE in pixels of the coarser of both scenes.
        agreement: certainty of the placement over that plus the best different one's (1 where there was none).
    """

    cells: int
    inlier_share: float
    filled: float
    verified_share: float
    verified: int
    coverage: float
    holdout_work_px: float
    agreement: float


# Logistic weights: fitted with a ridge (as benchmarks/calibrate.py does) to 247 registrations of aligned pairs of the
# training archive, cut anew with known warps, and of pairs of unrelated places; none of the development benchmark.
WEIGHTS = {
    "bias": -14.9,
    "log_cells": 2.2,
    "filled": 1.3,
    "inlier_share": 0.3,
    "verified_share": 3.0,
    "log_verified": 0.3,
    "holdout": -1.2,
    "agreement": 4.2,
}
LEAST_INLIER_SHARE = 0.4
"""Below this another kind of transform, or another placement, would explain more of the matches."""
LEAST_VERIFIED_SHARE = 0.3
"""Below this the answer is refused whatever else speaks for it; right ones come back in more than half of all tries."""


def features(evidence: Evidence) -> dict[str, float]:
    """What the logistic weights multiply."""
    return {
        "bias": 1.0,
        "log_cells": math.log(1 + evidence.cells),
        "filled": evidence.filled,
        "inlier_share": evidence.inlier_share,
        "verified_share": evidence.verified_share,
        "log_verified": math.log(1 + evidence.verified),
        "holdout": min(evidence.holdout_work_px, 10.0),
        "agreement": evidence.agreement,
    }


def probability(evidence: Evidence) -> float:
    """Calibrated probability that the mean corner error is below 10 px of a 640-px scene."""
    if evidence.cells < LEAST_CELLS or not math.isfinite(evidence.holdout_work_px):
        return 0.0
    score = sum(WEIGHTS[name] * value for name, value in features(evidence).items())
    return 1.0 / (1.0 + math.exp(-score))


def judge(
    found: Estimate,
    overlap: shapely.Geometry,
    searched_px2: float,
    work_step: float,
    gsd_m: float | None,
    agreement: float,
    verification: tuple[int, float],
    usual_share: float = 1.0,
) -> tuple[Quality, FloatArray, Evidence]:
    """Quality of a final estimate, the held-out distance of every point (NaN where not held out), and the evidence.

    Args:
        found: the estimate.
        overlap: common area in reference pixels.
        searched_px2: area of the matched tiles within it, square reference pixels.
        work_step: reference pixels per pixel of the coarser scene.
        gsd_m: metres per reference pixel; None where unknown.
        agreement: see `Evidence`.
        verification: matches of the wide search that agree, and their share.
        usual_share: share of a matcher's matches that agrees with a right answer; shares are stated relative to it.
    """
    fit, points = found.fit, found.points
    inside = fit.inlier
    held = np.full(len(points), np.nan)
    source, target = points.moving_xy[inside], points.reference_xy[inside]
    held[inside] = holdout(fit.transform.kind, source, target, spatial_groups(target))
    outside = held[inside][np.isfinite(held[inside])]
    holdout_px = float(np.sqrt(np.mean(outside**2))) if len(outside) else None
    ce90_px = float(np.percentile(outside, 90)) if len(outside) else None
    cells = len(np.unique(np.floor(target / (work_step * CELL_PX)), axis=0))
    evidence = Evidence(
        cells=cells,
        inlier_share=min(1.0, points.share(inside) / usual_share),
        filled=cells / max(searched_px2 / (work_step * CELL_PX) ** 2, 1.0),
        verified_share=min(1.0, verification[1] / usual_share),
        verified=verification[0],
        coverage=coverage(target, overlap),
        holdout_work_px=math.inf if holdout_px is None else holdout_px / work_step,
        agreement=agreement,
    )
    sure = probability(evidence)
    reasons = _reasons(evidence, fit.transform, fit.inliers)
    unverified = evidence.verified_share < LEAST_VERIFIED_SHARE
    verdict = "fail" if sure < WARN_FROM or unverified else "warn" if sure < PASS_FROM or reasons else "pass"
    if verdict != "pass" and not reasons:
        reasons = (f"the tie points support it only to a probability of {sure:.0%}",)
    quality = Quality(
        verdict=verdict,
        reasons=reasons,
        probability_correct=round(sure, 4),
        rmse_px=float(np.sqrt(np.mean(fit.residual_px[inside] ** 2))),
        holdout_rmse_px=holdout_px,
        ce90_px=ce90_px,
        ce90_m=None if ce90_px is None or gsd_m is None else ce90_px * gsd_m,
        coverage=evidence.coverage,
        matches=len(points),
        inliers=fit.inliers,
    )
    return quality, held, evidence


def nothing_found(matches: int, reason: str) -> Quality:
    """The quality of a registration that found no transform."""
    return Quality("fail", (reason,), 0.0, None, None, None, None, 0.0, matches, 0)


def _reasons(evidence: Evidence, transform: Transform, inliers: int) -> tuple[str, ...]:
    """What speaks against trusting it blindly, in plain words with the numbers."""
    needed = max(LEAST_INLIERS, 3 * MINIMUM_POINTS[transform.kind])
    found = []
    if inliers < needed:
        found.append(f"only {inliers} tie points agree, {needed} are needed for a {transform.kind}")
    if evidence.coverage < 0.25:
        found.append(f"the tie points cover only {evidence.coverage:.0%} of the common area")
    if evidence.inlier_share < LEAST_INLIER_SHARE:
        found.append(f"only {evidence.inlier_share:.0%} of the matches agree with one another")
    if evidence.verified_share < LEAST_VERIFIED_SHARE:
        found.append(
            f"searched for anew, only {evidence.verified_share:.0%} of the matches come back to where it puts them"
        )
    if evidence.agreement < 0.6:
        found.append("a different placement is nearly as well supported")
    return tuple(found)
