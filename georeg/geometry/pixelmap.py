"""The map a registration is about: moving pixels to reference pixels, through the files' geocoding where it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from georeg.geometry.transforms import Transform, fit_matrix
from georeg.scene import FloatArray, Grid


@dataclass(frozen=True)
class PixelMap:
    """moving px -> reference px, as `correction(prior(points))`.

    Attributes:
        correction: what matching found, in reference pixels.
        prior: moving px -> reference px by the files' own geocoding (any CRS, GCPs, RPCs); None where it was not used,
            then the correction starts from moving pixels.
        moving_grid: the moving scene's grid, over which `matrix` is fitted.
    """

    correction: Transform
    prior: Transform | None
    moving_grid: Grid

    @property
    def kind(self) -> str:
        return self.correction.kind

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        """Map moving pixels (N, 2) to reference pixels (N, 2)."""
        return self.correction(points_xy if self.prior is None else self.prior(points_xy))

    def inverse(self, points_xy: FloatArray) -> FloatArray:
        """Map reference pixels (N, 2) to moving pixels (N, 2)."""
        back = self.correction.inverse(points_xy)
        return back if self.prior is None else self.prior.inverse(back)

    @property
    def matrix(self) -> FloatArray:
        """(3, 3) homography, moving px -> reference px: exact for matrix kinds on plain grids, else the best fit."""
        steps = np.linspace(0.0, 1.0, 9)
        grid = np.stack(
            np.meshgrid(steps * self.moving_grid.width, steps * self.moving_grid.height), -1
        ).reshape(-1, 2)
        mapped = self(grid)
        good = np.isfinite(mapped).all(1)
        return fit_matrix("homography", grid[good], mapped[good])

    def to_json(self) -> dict[str, Any]:
        """Plain values: kind, direction, matrix, prior ("geocoding" or "none") and the correction's parameters."""
        return {
            "kind": self.kind,
            "direction": "moving_px_to_reference_px",
            "matrix": self.matrix.tolist(),
            "prior": "none" if self.prior is None else "geocoding",
            "correction": self.correction.to_json(),
        }
