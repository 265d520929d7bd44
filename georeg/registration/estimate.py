"""From matched points to a transform with held-out residuals: consensus, choice of kind, refit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from georeg.geometry.robust import Fit, choose_kind, consensus, refine
from georeg.geometry.transforms import KINDS, MATRIX_KINDS, MINIMUM_POINTS
from georeg.matching.protocol import Correspondences
from georeg.scene import FloatArray

CELLS = 10
QUOTA = 25
SMOOTH_KINDS_FROM = 120
"""Inliers needed before polynomials and splines are considered: they bend where there is nothing to hold them."""


@dataclass(frozen=True)
class Estimate:
    """A fitted correction, source -> reference px, with the points behind it.

    Attributes:
        fit: transform, inliers and residuals (reference px).
        points: all matches, `moving_xy` being source points.
        support: inliers, each cell of the scene counting at most QUOTA of them.
    """

    fit: Fit
    points: Correspondences
    support: int

    @property
    def certainty(self) -> float:
        """Support times the inliers' share of the confidence: many matches that mostly agree."""
        return self.support * self.points.share(self.fit.inlier)

    @property
    def spread_px(self) -> float:
        """Robust deviation of the inliers' residuals."""
        inside = self.fit.residual_px[self.fit.inlier]
        return float(np.median(inside)) / 1.18 if len(inside) else np.inf


def estimate(
    points: Correspondences,
    threshold_px: float,
    kind: str = "auto",
    seed: int = 0,
    smooth: bool = False,
    independent_px: float = 0.0,
) -> Estimate | None:
    """Fit a correction to matched points.

    Args:
        points: moving_xy are source points, reference_xy reference pixels.
        threshold_px: the largest residual of an inlier, reference pixels.
        kind: of `KINDS`, or "auto" for the simplest that held-out points do not speak against.
        seed: of the sampling.
        smooth: whether "auto" may choose polynomials and splines.
        independent_px: matches nearer than this to one another count as one when the kind is chosen.

    Returns:
        None where no transform is supported.
    """
    points = balanced(points)
    inlier = agreeing(points, threshold_px, kind, seed)
    if inlier.sum() < 4:
        return None
    source, target = points.moving_xy, points.reference_xy
    try:
        if kind == "auto":
            kinds = KINDS if smooth and inlier.sum() >= SMOOTH_KINDS_FROM else MATRIX_KINDS
            kind, _ = choose_kind(source[inlier], target[inlier], kinds, independent_px)
        fit = refine(kind, source, target, inlier, threshold_px)
    except ValueError:
        return None
    return Estimate(fit, points, support_of(points.reference_xy[fit.inlier], points.reference_xy))


def agreeing(points: Correspondences, threshold_px: float, kind: str, seed: int) -> npt.NDArray[np.bool_]:
    """The inliers of an affine, or of a homography where those are more.

    Few more may be those at the border that tell the kinds apart; `choose_kind` then asks whether they are worth it.
    """
    source, target = points.moving_xy, points.reference_xy
    affine = consensus(source, target, threshold_px, "affine", seed)
    if kind in ("shift", "similarity", "affine") or len(points) < 3 * MINIMUM_POINTS["homography"]:
        return affine
    homography = consensus(source, target, threshold_px, "homography", seed)
    return homography if homography.sum() > affine.sum() else affine


def balanced(points: Correspondences, quota: int = QUOTA) -> Correspondences:
    """At most `quota` of the surest matches in each cell of a CELLS x CELLS grid over them."""
    if len(points) <= quota:
        return points
    cell = _cells(points.reference_xy, points.reference_xy)
    order = np.lexsort((-points.confidence, cell))
    first = np.r_[True, np.diff(cell[order]) != 0]
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    return points[np.sort(order[np.arange(len(order)) - start < quota])]


def support_of(inlier_xy: FloatArray, all_xy: FloatArray, quota: int = 4) -> int:
    """Inliers, each cell of the matched area counting at most `quota`: a crowd in one corner is no support."""
    if len(inlier_xy) == 0:
        return 0
    _, counts = np.unique(_cells(inlier_xy, all_xy), return_counts=True)
    return int(np.minimum(counts, quota).sum())


def _cells(points_xy: FloatArray, frame_xy: FloatArray) -> npt.NDArray[np.intp]:
    low, size = frame_xy.min(0), np.maximum(np.ptp(frame_xy, axis=0), 1e-9)
    cell = np.clip(((points_xy - low) / size * CELLS).astype(int), 0, CELLS - 1)
    return np.asarray(cell[:, 1] * CELLS + cell[:, 0])
