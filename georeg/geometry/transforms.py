"""Plane transforms: fitted, applied, inverted, stored.

Every transform maps (N, 2) float64 points to (N, 2) points; its direction is said where it is made. Matrices are 3x3
homographies in pixel-corner coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from georeg.geometry.spline import Spline
from georeg.scene import FloatArray

KINDS = ("shift", "similarity", "affine", "homography", "polynomial2", "polynomial3", "tps")
MATRIX_KINDS = KINDS[:4]
MINIMUM_POINTS = {
    "shift": 1, "similarity": 2, "affine": 3, "homography": 4, "polynomial2": 6, "polynomial3": 10, "tps": 10,
}  # fmt: skip
INVERSE_TOLERANCE = 1e-6
INVERSE_STEPS = 30


class Transform(Protocol):
    """A map of the plane."""

    @property
    def kind(self) -> str:
        """One of KINDS."""

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        """Map (N, 2) points; points beyond a homography's horizon become infinite."""

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        """Map (N, 2) points back; exact for matrices, iterated to 1e-6 for the others (NaN where that fails)."""

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `transform_from_json` makes the same transform again."""


@dataclass(frozen=True)
class MatrixTransform:
    """A homography or one of its special cases.

    Attributes:
        kind: one of MATRIX_KINDS; says how many parameters were fitted, not how the matrix is applied.
        matrix: (3, 3).
    """

    kind: str
    matrix: FloatArray

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return apply_matrix(self.matrix, points_xy)

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        return apply_matrix(_inverted(self.matrix), points_xy)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "matrix": self.matrix.tolist()}

    @classmethod
    def identity(cls) -> MatrixTransform:
        return cls("shift", np.eye(3))


@dataclass(frozen=True)
class PolynomialTransform:
    """A polynomial of degree 2 or 3 in each coordinate, over normalised source points.

    Attributes:
        degree: 2 or 3.
        centre, scale: source points become (p - centre) / scale first.
        coefficients: (terms, 2), terms in the order of `_monomials`.
    """

    degree: int
    centre: FloatArray
    scale: float
    coefficients: FloatArray

    @property
    def kind(self) -> str:
        return f"polynomial{self.degree}"

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return (
            _monomials((np.asarray(points_xy, float) - self.centre) / self.scale, self.degree)
            @ self.coefficients
        )

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        linear = self.coefficients[1:3].T / self.scale
        start = (points_xy - self.coefficients[0]) @ np.linalg.inv(linear).T + self.centre
        return invert_by_newton(self, points_xy, start)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "centre": self.centre.tolist(),
            "scale": self.scale,
            "coefficients": self.coefficients.tolist(),
        }


@dataclass(frozen=True)
class ThinPlateSpline:
    """A smoothing thin-plate spline on top of an affine trend.

    Attributes:
        source_xy, target_xy: (N, 2) the control points it was made from.
        smoothing: of the spline, in squared pixels over normalised coordinates.
        affine: (3, 3) trend, so that far from the control points the transform stays an affine.
    """

    source_xy: FloatArray
    target_xy: FloatArray
    smoothing: float
    affine: FloatArray

    @property
    def kind(self) -> str:
        return "tps"

    @cached_property
    def _spline(self) -> Spline:
        departure = self.target_xy - apply_matrix(self.affine, self.source_xy)
        return Spline(self.source_xy / _spread(self.source_xy), departure, self.smoothing)

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        points_xy = np.asarray(points_xy, float)
        trend = apply_matrix(self.affine, points_xy)
        if len(points_xy) == 0:
            return trend
        departure = np.full_like(trend, np.nan)
        finite = np.isfinite(points_xy).all(1)
        if finite.any():
            departure[finite] = self._spline(points_xy[finite] / _spread(self.source_xy))
        return np.asarray(trend + departure)

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        return invert_by_newton(self, points_xy, apply_matrix(_inverted(self.affine), points_xy))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "source_xy": self.source_xy.tolist(),
            "target_xy": self.target_xy.tolist(),
            "smoothing": self.smoothing,
            "affine": self.affine.tolist(),
        }


def apply_matrix(matrix: FloatArray, points_xy: FloatArray) -> FloatArray:
    """Apply a (3, 3) homography to (N, 2) points; points at or beyond its horizon become infinite."""
    points_xy = np.asarray(points_xy, float)
    homogeneous = points_xy @ matrix[:, :2].T + matrix[:, 2]
    # The side of the horizon that holds the frame's origin region is the one where w has the matrix's own sign.
    w = homogeneous[:, 2:] * np.sign(matrix[2, 2] or 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mapped = homogeneous[:, :2] / homogeneous[:, 2:]
    return np.where(w > 0, mapped, np.where(np.isnan(w), np.nan, np.inf))


def fit_transform(
    kind: str, source_xy: FloatArray, target_xy: FloatArray, weights: FloatArray | None = None
) -> Transform:
    """Least-squares fit of one kind of transform, source -> target.

    Args:
        kind: one of KINDS.
        source_xy, target_xy: (N, 2), N at least MINIMUM_POINTS[kind].
        weights: (N,) non-negative; None for equal ones.

    Raises:
        ValueError: too few or degenerate points.
    """
    if len(source_xy) < MINIMUM_POINTS[kind]:
        raise ValueError(f"{kind} needs {MINIMUM_POINTS[kind]} points, {len(source_xy)} given")
    if kind in MATRIX_KINDS:
        return MatrixTransform(kind, fit_matrix(kind, source_xy, target_xy, weights))
    if kind == "tps":
        return _fit_spline(source_xy, target_xy)
    return _fit_polynomial(int(kind[-1]), source_xy, target_xy, weights)


def fit_matrix(
    kind: str, source_xy: FloatArray, target_xy: FloatArray, weights: FloatArray | None = None
) -> FloatArray:
    """Least-squares (3, 3) matrix of a matrix kind, source -> target, on normalised coordinates (Hartley 1997)."""
    root = np.ones(len(source_xy)) if weights is None else np.sqrt(weights)
    if kind == "shift":
        return _translation((root[:, None] ** 2 * (target_xy - source_xy)).sum(0) / (root**2).sum())
    from_source, from_target = _normaliser(source_xy, root), _normaliser(target_xy, root)
    source, target = apply_matrix(from_source, source_xy), apply_matrix(from_target, target_xy)
    fitted = {"similarity": _similarity, "affine": _affine, "homography": _homography}[kind](
        source, target, root
    )
    matrix = np.linalg.inv(from_target) @ fitted @ from_source
    if (
        not np.isfinite(matrix).all()
        or abs(matrix[2, 2]) < 1e-12
        or abs(np.linalg.det(matrix[:2, :2])) < 1e-12
    ):
        raise ValueError(f"the points do not determine a {kind}")
    return np.asarray(matrix / matrix[2, 2])


def transform_from_json(values: dict[str, Any]) -> Transform:
    """The transform that `to_json` described.

    Raises:
        ValueError: unknown kind; KeyError: a parameter is missing.
    """
    kind = values["kind"]
    if kind in MATRIX_KINDS:
        return MatrixTransform(kind, np.array(values["matrix"], float))
    if kind == "tps":
        source_xy, target_xy, affine = (
            np.array(values[name], float) for name in ("source_xy", "target_xy", "affine")
        )
        return ThinPlateSpline(source_xy, target_xy, float(values["smoothing"]), affine)
    if kind in KINDS:
        coefficients = np.array(values["coefficients"], float)
        return PolynomialTransform(
            int(kind[-1]), np.array(values["centre"], float), values["scale"], coefficients
        )
    raise ValueError(f"unknown transform kind {kind!r}")


def invert_by_newton(transform: Transform, target_xy: FloatArray, start_xy: FloatArray) -> FloatArray:
    """Solve transform(p) = target for (N, 2) targets from a nearby start; NaN where 30 steps do not converge."""
    points = np.array(start_xy, float)
    for _ in range(INVERSE_STEPS):
        error = transform(points) - target_xy
        if not (np.abs(error) > INVERSE_TOLERANCE).any():
            break
        points = points - np.einsum("nij,nj->ni", _inverse_jacobian(transform, points), error)
    with np.errstate(invalid="ignore"):
        missed = ~(np.abs(transform(points) - target_xy).max(1, initial=0.0) < 1e-3)
    points[missed] = np.nan
    return points


def _inverse_jacobian(transform: Transform, points_xy: FloatArray, step: float = 0.5) -> FloatArray:
    along_x = (transform(points_xy + (step, 0)) - transform(points_xy - (step, 0))) / (2 * step)
    along_y = (transform(points_xy + (0, step)) - transform(points_xy - (0, step))) / (2 * step)
    determinant = along_x[:, 0] * along_y[:, 1] - along_y[:, 0] * along_x[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = [[along_y[:, 1], -along_y[:, 0]], [-along_x[:, 1], along_x[:, 0]]] / determinant
    return np.asarray(np.moveaxis(rows, -1, 0))


def _monomials(points: FloatArray, degree: int) -> FloatArray:
    x, y = points[:, 0], points[:, 1]
    terms = [np.ones_like(x), x, y, x * x, x * y, y * y]
    if degree == 3:
        terms += [x**3, x * x * y, x * y * y, y**3]
    return np.stack(terms, 1)


def _fit_polynomial(
    degree: int, source_xy: FloatArray, target_xy: FloatArray, weights: FloatArray | None
) -> PolynomialTransform:
    centre, scale = source_xy.mean(0), _spread(source_xy)
    root = np.ones(len(source_xy)) if weights is None else np.sqrt(weights)
    terms = _monomials((source_xy - centre) / scale, degree)
    coefficients, _, rank, _ = np.linalg.lstsq(terms * root[:, None], target_xy * root[:, None], rcond=1e-10)
    if rank < terms.shape[1]:
        raise ValueError(f"the points do not determine a polynomial of degree {degree}")
    return PolynomialTransform(degree, centre, scale, coefficients.astype(np.float64))


def _fit_spline(source_xy: FloatArray, target_xy: FloatArray, most: int = 400) -> ThinPlateSpline:
    """A spline through at most `most` spread points, smoothed by as much as the affine-free residual calls for."""
    index = np.unique(np.linspace(0, len(source_xy) - 1, most).astype(int))
    source, target = source_xy[index], target_xy[index]
    _, first = np.unique(source.round(3), axis=0, return_index=True)
    affine = fit_matrix("affine", source_xy, target_xy)
    return ThinPlateSpline(source[first], target[first], 0.02 * len(first) / 100, affine)


def _spread(points_xy: FloatArray) -> float:
    return float(max(np.ptp(points_xy, axis=0).max() / 2, 1e-9))


def _translation(offset_xy: FloatArray) -> FloatArray:
    matrix = np.eye(3)
    matrix[:2, 2] = offset_xy
    return matrix


def _inverted(matrix: FloatArray) -> FloatArray:
    return np.linalg.inv(matrix).astype(np.float64)


def _normaliser(points_xy: FloatArray, root_weights: FloatArray) -> FloatArray:
    centre = np.average(points_xy, axis=0, weights=root_weights**2)
    distance = np.sqrt(((points_xy - centre) ** 2).sum(1).mean() / 2)
    matrix: FloatArray = np.eye(3) / max(distance, 1e-9)
    matrix[2, 2] = 1.0
    matrix[:2, 2] = -centre / max(distance, 1e-9)
    return matrix


def _similarity(source: FloatArray, target: FloatArray, root: FloatArray) -> FloatArray:
    """Umeyama (1991) in complex form: target = a source + b, never a reflection."""
    z = (source[:, 0] + 1j * source[:, 1]) * root
    w = (target[:, 0] + 1j * target[:, 1]) * root
    (a, b), *_ = np.linalg.lstsq(np.stack([z, root + 0j], 1), w, rcond=None)
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag], [0, 0, 1]])


def _affine(source: FloatArray, target: FloatArray, root: FloatArray) -> FloatArray:
    terms = np.c_[source, np.ones(len(source))] * root[:, None]
    rows, _, rank, _ = np.linalg.lstsq(terms, target * root[:, None], rcond=1e-10)
    if rank < 3:
        raise ValueError("the points lie on a line and do not determine an affine transform")
    return np.vstack([rows.T, [0, 0, 1]])


def _homography(source: FloatArray, target: FloatArray, root: FloatArray) -> FloatArray:
    """Normalised direct linear transform (Hartley & Zisserman 2004, algorithm 4.2)."""
    x, y, u, v = source[:, 0], source[:, 1], target[:, 0], target[:, 1]
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows_u = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], 1)
    rows_v = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], 1)
    system = np.concatenate([rows_u * root[:, None], rows_v * root[:, None]])
    _, _, rows = np.linalg.svd(system.T @ system)
    return np.asarray(rows[-1].reshape(3, 3))
