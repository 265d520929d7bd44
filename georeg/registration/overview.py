"""The global stage: where, how turned and how large the moving scene lies on the reference, from reduced images.

Hypotheses come from a blind sweep (or from the geocoding prior, with a small sweep around it); each is refined by
matching after warping, and the one with the most geometric support wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from georeg.geometry.transforms import MatrixTransform, apply_matrix
from georeg.matching.protocol import Correspondences, Matcher
from georeg.registration.estimate import Estimate, estimate
from georeg.registration.frames import Frame, Viewer, local_scale
from georeg.registration.guesses import match_warped, shrink
from georeg.registration.matchers import Attempt, Round, Toolkit, Wanted
from georeg.scene import FloatArray, Patch

OVERVIEW_PX = 640
COARSE_PX = 288
KEPT_CERTAINTY = 0.7
"""A tighter threshold takes this much of a right placement's certainty at most."""
DIFFERENT_PX = 24.0
"""Placements whose corners lie farther apart than this in the coarse overview contradict one another: rough ones of the
right turn lay up to 13 px apart, wrong ones mostly more than 100 px from the right ones."""
SCALES = tuple(float(s) for s in np.geomspace(0.42, 2.4, 11))
ROTATIONS = tuple(float(r) for r in range(0, 360, 10))
NEAR_SCALES = (0.93, 1.0, 1.075)
NEAR_ROTATIONS = (-8.0, -4.0, 0.0, 4.0, 8.0)


@dataclass(frozen=True)
class Overview:
    """Both scenes, reduced.

    Attributes:
        moving, reference: the patches.
        moving_frame: of source space; reference_frame: of reference pixels.
    """

    moving: Patch
    reference: Patch
    moving_frame: Frame
    reference_frame: Frame

    def correction(self, matrix: FloatArray) -> FloatArray:
        """(3, 3) source -> reference px from overview px -> overview px."""
        return np.asarray(self.reference_frame.matrix @ matrix @ np.linalg.inv(self.moving_frame.matrix))

    @property
    def uncorrected(self) -> FloatArray:
        """(3, 3) overview px -> overview px where source points are reference pixels."""
        return np.asarray(np.linalg.inv(self.reference_frame.matrix) @ self.moving_frame.matrix)

    def reduced(self, long_side_px: int) -> Overview:
        """The same at a smaller size; itself where it is small enough."""
        factor = long_side_px / max(self.reference.shape)
        if factor >= 0.9:
            return self
        return Overview(
            shrink(self.moving, factor),
            shrink(self.reference, factor),
            _coarser(self.moving_frame, factor),
            _coarser(self.reference_frame, factor),
        )


@dataclass(frozen=True)
class Located:
    """What the overview stage found.

    Attributes:
        matrix: (3, 3) correction, source -> reference px.
        support: of the winning hypothesis.
        agreement: its certainty over that plus the certainty of the best clearly different one, 0.5..1.
        beyond_doubt: whether it needed no comparison.
        uncertainty_px: how far off the matrix may be, reference pixels.
    """

    matrix: FloatArray
    support: int
    agreement: float
    beyond_doubt: bool
    uncertainty_px: float


def open_overview(viewer: Viewer, moving_frame: Frame, reference_frame: Frame) -> Overview:
    return Overview(
        viewer.source_patch(moving_frame),
        viewer.reference_patch(reference_frame),
        moving_frame,
        reference_frame,
    )


def locate(
    overview: Overview,
    toolkit: Toolkit,
    rotations_deg: Sequence[float] = ROTATIONS,
    scales: Sequence[float] = SCALES,
    geocoded: bool = False,
) -> Located | None:
    """Refine the toolkit's hypotheses, attempt by attempt, until one is beyond doubt; the best supported.

    `geocoded` says that source points are reference pixels but for an error. None where no hypothesis has any support.
    """
    start = overview.uncorrected if geocoded else None
    wanted = Wanted(overview.moving, overview.reference, start, rotations_deg, scales)
    coarse = overview.reduced(COARSE_PX)
    found: list[tuple[Estimate, FloatArray]] = []
    beyond_doubt = False
    for attempt in toolkit.attempts(wanted):
        found += supported(overview, coarse, attempt)
        beyond_doubt = any(one.certainty >= attempt.enough for one, _ in found)
        if beyond_doubt:
            break
    if not found:
        return None
    found.sort(key=lambda one: -one[0].certainty)
    best, matrix = found[0]
    runner_up = next((e.certainty for e, m in found[1:] if _differ(matrix, m, coarse.moving)), 0.0)
    agreement = best.certainty / max(best.certainty + runner_up, 1e-9)
    spread = max(best.spread_px, 0.5) * coarse.reference_frame.step * 3
    return Located(coarse.correction(matrix), best.support, agreement, beyond_doubt, spread)


def supported(overview: Overview, coarse: Overview, attempt: Attempt) -> list[tuple[Estimate, FloatArray]]:
    """The hypotheses that survive refinement, in order, up to the first that is beyond doubt."""
    found = []
    for hypothesis in attempt.hypotheses:
        refined = refine_hypothesis(coarse, _between(overview, coarse, hypothesis.matrix), attempt.rounds)
        if refined is None:
            continue
        found.append(refined)
        if refined[0].certainty >= attempt.enough:
            break
    return found


def refine_hypothesis(
    overview: Overview, matrix: FloatArray, rounds: Sequence[Round]
) -> tuple[Estimate, FloatArray] | None:
    """Match after warping by the hypothesis, each round with what the last one gave; None where support is lost.

    A matcher that is less certain of its own last result than before was led astray by few matches: the earlier stays.
    """
    result: tuple[Estimate, FloatArray] | None = None
    matcher: Matcher | None = None
    for one in rounds:
        found = match_warped(overview.moving, overview.reference, [matrix], one.matcher)[0]
        fitted = _fitted(found, one.threshold_px, overview.moving)
        if result is not None and one.matcher is matcher and _astray(fitted, result):
            return result
        if fitted is None:
            return None
        result, matcher, matrix = fitted, one.matcher, fitted[1]
    return result


def _astray(fitted: tuple[Estimate, FloatArray] | None, before: tuple[Estimate, FloatArray]) -> bool:
    return fitted is None or fitted[0].certainty < KEPT_CERTAINTY * before[0].certainty


def _fitted(found: Correspondences, threshold_px: float, moving: Patch) -> tuple[Estimate, FloatArray] | None:
    """The transform that the matches agree on, and its matrix: an affine where a freer one tears the image apart."""
    if len(found) < 6:
        return None
    for kind in ("auto", "affine"):
        fitted = estimate(found, threshold_px, kind)
        if fitted is None or not isinstance(fitted.fit.transform, MatrixTransform):
            continue
        if _sane(fitted.fit.transform.matrix, moving):
            return fitted, fitted.fit.transform.matrix
    return None


def _between(overview: Overview, coarse: Overview, matrix: FloatArray) -> FloatArray:
    """A matrix between overview pixels as one between the coarse overview's pixels."""
    correction = overview.correction(matrix)
    return np.asarray(np.linalg.inv(coarse.reference_frame.matrix) @ correction @ coarse.moving_frame.matrix)


def _sane(matrix: FloatArray, moving: Patch) -> bool:
    """Whether the matrix keeps the image in one piece: same scale within a factor of two over it, not mirrored."""
    rows, cols = moving.shape
    corners = np.array([[0.0, 0.0], [cols, 0.0], [cols, rows], [0.0, rows]])
    scales = [local_scale(matrix, corner[None]) for corner in corners]
    if not np.isfinite(scales).all() or np.linalg.det(matrix[:2, :2]) <= 0:
        return False
    stretch = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return max(scales) < 2 * min(scales) and stretch[0] < 1.6 * stretch[1] and 0.2 < stretch[0] < 5


def _differ(one: FloatArray, other: FloatArray, moving: Patch) -> bool:
    rows, cols = moving.shape
    corners = np.array([[0.0, 0.0], [cols, 0.0], [cols, rows], [0.0, rows]])
    return bool(
        np.linalg.norm(apply_matrix(one, corners) - apply_matrix(other, corners), axis=1).mean()
        > DIFFERENT_PX
    )


def _coarser(frame: Frame, factor: float) -> Frame:
    shape = max(8, round(frame.shape[0] * factor)), max(8, round(frame.shape[1] * factor))
    return Frame(frame.origin_xy, frame.step * frame.shape[1] / shape[1], shape)
