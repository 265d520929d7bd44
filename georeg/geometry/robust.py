"""Robust estimation: OpenCV's USAC with the MAGSAC score, then a weighted refit, and the choice of a model.

MAGSAC++: Barath et al., CVPR 2020. The sampling uses an affine or a homography; the other kinds are fitted to what
that leaves, because few-parameter kinds are special cases and many-parameter kinds are small departures of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from georeg.geometry.transforms import KINDS, MATRIX_KINDS, MINIMUM_POINTS, Transform, fit_transform
from georeg.scene import FloatArray

BoolArray = npt.NDArray[np.bool_]

FOLDS = 5
PARAMETER_COST = 12.0
"""What a parameter must take off the sum of squared held-out errors, in units of the best kind's mean square."""
MATRIX_COST = 8.0
"""The same of the squared residuals of the fitted points themselves, which every parameter lowers by itself (by 1)."""
LEAST_ERROR_PX = 0.02
"""Errors below this are not compared: nothing is measured so well."""


@dataclass(frozen=True)
class Fit:
    """A transform and the points that support it.

    Attributes:
        transform: source -> target.
        inlier: (N,) bool.
        residual_px: (N,) distance of every point, outliers too.
    """

    transform: Transform
    inlier: BoolArray
    residual_px: FloatArray

    @property
    def inliers(self) -> int:
        return int(self.inlier.sum())


def consensus(
    source_xy: FloatArray, target_xy: FloatArray, threshold_px: float, kind: str = "affine", seed: int = 0
) -> BoolArray:
    """Which point pairs agree on one affine or homography, by USAC with the MAGSAC score.

    Args:
        source_xy, target_xy: (N, 2).
        threshold_px: the largest residual an inlier may have, in target pixels.
        kind: "affine" or "homography".

    Returns:
        (N,) bool, all False where no model was found.
    """
    none = np.zeros(len(source_xy), bool)
    if len(source_xy) < MINIMUM_POINTS[kind] + 1:
        return none
    offset = source_xy.mean(0), target_xy.mean(0)
    source, target = (source_xy - offset[0]).astype(np.float32), (target_xy - offset[1]).astype(np.float32)
    parameters = cv2.UsacParams()
    parameters.threshold = threshold_px
    parameters.score = cv2.SCORE_METHOD_MAGSAC
    parameters.sampler = cv2.SAMPLING_UNIFORM
    parameters.loMethod = cv2.LOCAL_OPTIM_SIGMA
    parameters.loIterations, parameters.loSampleSize = 10, 30
    parameters.maxIterations, parameters.confidence = 5000, 0.9999
    parameters.randomGeneratorState = seed
    find = cv2.findHomography if kind == "homography" else cv2.estimateAffine2D
    try:
        matrix, inlier = find(source, target, parameters)
    except cv2.error:  # raised for degenerate samples (all points on a line)
        return none
    return none if matrix is None or inlier is None else inlier.ravel().astype(bool)


def refine(
    kind: str,
    source_xy: FloatArray,
    target_xy: FloatArray,
    inlier: BoolArray,
    threshold_px: float,
    rounds: int = 5,
) -> Fit:
    """Fit `kind` to the inliers by reweighted least squares (Cauchy weights), regathering inliers each round.

    Raises:
        ValueError: too few or degenerate points.
    """
    transform = fit_transform(kind, source_xy[inlier], target_xy[inlier])
    for _ in range(rounds if kind != "tps" else 1):
        distance = residuals(transform, source_xy, target_xy)
        inlier = distance < threshold_px
        scale = max(1.5 * float(np.median(distance[inlier])) if inlier.any() else 1.0, 0.05)
        transform = fit_transform(
            kind, source_xy[inlier], target_xy[inlier], 1.0 / (1.0 + (distance[inlier] / scale) ** 2)
        )
    distance = residuals(transform, source_xy, target_xy)
    return Fit(transform, distance < threshold_px, distance)


def residuals(transform: Transform, source_xy: FloatArray, target_xy: FloatArray) -> FloatArray:
    """(N,) distances in target pixels; infinite where the transform has no value."""
    distance = np.linalg.norm(transform(source_xy) - target_xy, axis=1)
    return np.where(np.isfinite(distance), distance, np.inf)


def holdout(
    kind: str, source_xy: FloatArray, target_xy: FloatArray, groups: npt.NDArray[np.intp]
) -> FloatArray:
    """(N,) distance of each point from a fit without its spatial group; infinite where there is no such fit."""
    distance = np.full(len(source_xy), np.inf)
    for group in np.unique(groups):
        out = groups == group
        try:
            transform = fit_transform(kind, source_xy[~out], target_xy[~out])
        except ValueError:
            continue
        distance[out] = residuals(transform, source_xy[out], target_xy[out])
    return distance


def spatial_groups(points_xy: FloatArray, cells: int = 4, folds: int = FOLDS) -> npt.NDArray[np.intp]:
    """Fold number of each point: the points' bounding box is cut into cells x cells and whole cells are held out."""
    low, size = points_xy.min(0), np.maximum(np.ptp(points_xy, axis=0), 1e-9)
    cell = np.minimum(((points_xy - low) / size * cells).astype(int), cells - 1)
    order = (cell[:, 1] * cells + cell[:, 0]) * 7 % (cells * cells)
    return np.asarray(order % folds)


def choose_kind(
    source_xy: FloatArray,
    target_xy: FloatArray,
    kinds: tuple[str, ...] = KINDS,
    independent_px: float = 0.0,
) -> tuple[str, FloatArray]:
    """The kind whose errors best pay for its parameters.

    Of neighbouring tie points, measured in windows that overlap, hardly one is an observation of its own: whatever is
    smooth fits them. So the points count as one for each square of `independent_px`, and the sum of their squared
    held-out errors, in units of the best kind's, is weighed against PARAMETER_COST for every parameter. A kind needs
    three times its minimum of points. Holding out whole cells makes a kind that extrapolates badly lose, which guards
    against splines but is hard on a homography: where no bending is needed and it is known how many observations
    there are, the matrix kinds are compared by their own residuals instead (as Mallows' Cp does), at MATRIX_COST.

    Args:
        source_xy, target_xy: (N, 2).
        kinds: to choose from.
        independent_px: side of the squares of the target plane; 0, where it is not known, counts every point.

    Returns:
        (kind, (N,) held-out distances).

    Raises:
        ValueError: no kind can be fitted.
    """
    groups = spatial_groups(source_xy)
    possible = [kind for kind in kinds if len(source_xy) >= 3 * MINIMUM_POINTS[kind]]
    if not possible:
        raise ValueError(f"{len(source_xy)} tie points are too few for any transform")
    observations = 2 * independent_points(target_xy, independent_px)
    held = {kind: holdout(kind, source_xy, target_xy, groups) for kind in possible}
    best = _cheapest(held, observations, PARAMETER_COST)
    if best in MATRIX_KINDS and independent_px > 0:
        matrices = [kind for kind in possible if kind in MATRIX_KINDS]
        own = {kind: own_residuals(kind, source_xy, target_xy) for kind in matrices}
        best = _cheapest(own, observations, MATRIX_COST)
    return best, held[best]


def own_residuals(kind: str, source_xy: FloatArray, target_xy: FloatArray) -> FloatArray:
    """(N,) distance of each point from the least-squares fit to all; infinite where there is no such fit."""
    try:
        return residuals(fit_transform(kind, source_xy, target_xy), source_xy, target_xy)
    except ValueError:
        return np.full(len(source_xy), np.inf)


def _cheapest(distance_px: dict[str, FloatArray], observations: int, cost: float) -> str:
    """The kind of least squared error, where each parameter costs so much in units of the least mean square."""
    error = {kind: _mean_square(distance) for kind, distance in distance_px.items()}
    unit = min(error.values())
    return min(error, key=lambda kind: observations * error[kind] / unit + 2 * cost * MINIMUM_POINTS[kind])


def _mean_square(distance_px: FloatArray) -> float:
    """Of finite size even where a fit failed, and never below what matching resolves."""
    return max(float(np.mean(np.minimum(distance_px, 1e3) ** 2)), LEAST_ERROR_PX**2)


def independent_points(points_xy: FloatArray, side_px: float) -> int:
    """How many squares of a grid hold a point; the number of points where the side is 0."""
    return len(points_xy) if side_px <= 0 else len(np.unique(np.floor(points_xy / side_px), axis=0))
