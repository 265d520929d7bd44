"""Plane transforms: fitted, applied, inverted, stored.

Every transform maps (N, 2) float64 points to (N, 2) points; its direction is said where it is made. Matrices are 3x3
homographies in pixel-corner coordinates.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy.interpolate import RBFInterpolator

from georeg.scene import FloatArray

KINDS = ("shift", "similarity", "affine", "homography", "polynomial2", "polynomial3", "tps")
MINIMUM_POINTS = {
    "shift": 1, "similarity": 2, "affine": 3, "homography": 4, "polynomial2": 6, "polynomial3": 10, "tps": 10,
}  # fmt: skip


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
