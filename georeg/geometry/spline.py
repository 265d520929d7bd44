"""A smoothing thin-plate spline (Duchon 1977), in numpy alone.

scipy's RBFInterpolator (kernel "thin_plate_spline", degree 1) is the same spline and as fast, but importing it costs a
third of a CPU second and 20 to 30 MB. Transforms and the geocoding by control points both use this one.
"""

from __future__ import annotations

import numpy as np

from georeg.scene import FloatArray

BLOCK_VALUES = 2**20
"""Distances computed at once (8 MB), however many points are asked for."""


class Spline:
    """The surface of least bending near (N, 2) values at (N, 2) centres.

    Args:
        centres_xy: (N, 2), no two alike, not all on a line; best scaled to about -1..1.
        values: (N, 2) of the surface at the centres.
        smoothing: 0 passes through the values; larger ones trade closeness for less bending.

    Raises:
        numpy.linalg.LinAlgError: the centres do not determine a spline.
    """

    def __init__(self, centres_xy: FloatArray, values: FloatArray, smoothing: float = 0.0) -> None:
        count = len(centres_xy)
        plane = _plane(centres_xy)
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _kernel(centres_xy, centres_xy)
        system[np.arange(count), np.arange(count)] += smoothing
        system[:count, count:], system[count:, :count] = plane, plane.T
        self.centres_xy = centres_xy
        self.weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        """(M, 2) values at (M, 2) points."""
        rows = max(1, BLOCK_VALUES // len(self.centres_xy))
        parts = [self._values(points_xy[start : start + rows]) for start in range(0, len(points_xy), rows)]
        return np.concatenate([np.zeros((0, self.weights.shape[1])), *parts])

    def _values(self, points_xy: FloatArray) -> FloatArray:
        bent = _kernel(points_xy, self.centres_xy) @ self.weights[:-3]
        return np.asarray(bent + _plane(points_xy) @ self.weights[-3:])


def _plane(points_xy: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(points_xy)), points_xy])


def _kernel(points_xy: FloatArray, centres_xy: FloatArray) -> FloatArray:
    """(M, N) of r² log r, which is 0 at r = 0."""
    square = np.square(points_xy[:, :1] - centres_xy[:, 0])
    square += np.square(points_xy[:, 1:] - centres_xy[:, 1])
    bend = np.log(np.maximum(square, np.finfo(float).tiny))
    bend *= square
    bend *= 0.5
    return np.asarray(bend)
