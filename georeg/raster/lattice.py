"""Where each pixel of a window lies in a scene: a transform evaluated on a lattice, as coarse as exactness allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from georeg.scene import FloatArray

COARSEST_PX = 64
TOLERANCE_PX = 0.02

Mapping = Callable[[FloatArray], FloatArray]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lattice:
    """Scene positions of an output window.

    Attributes:
        nodes: (rows, cols, 2) scene positions, corner-based; non-finite where there are none.
        step: output pixels between nodes, the first being at the window's corner; 0 where the nodes are the pixel
            centres themselves.
        shape: (rows, cols) of the output window.
    """

    nodes: FloatArray
    step: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, out_to_scene: Mapping, shape: tuple[int, int]) -> Lattice:
        """Evaluate `out_to_scene` ((N, 2) -> (N, 2), corner-based) so that interpolation is right to TOLERANCE_PX.

        The tolerance is in scene pixels, or in output pixels where these are larger.
        """
        step = COARSEST_PX
        while step >= 4:
            nodes = _evaluate(out_to_scene, shape, step, (0.0, 0.0))
            centres = _evaluate(out_to_scene, shape, step, (0.5, 0.5))[:-1, :-1]
            edges = _evaluate(out_to_scene, shape, step, (0.5, 0.0))[:, :-1]
            if not all(np.isfinite(part).all() for part in (nodes, centres, edges)):
                break
            made = cls(nodes, step, shape)
            # Conformal maps bend oppositely along x and y: at cell centres alone they would look straight.
            halves = (nodes[:, :-1] + nodes[:, 1:]) / 2
            error = max(np.abs(halves - edges).max(), np.abs((halves[:-1] + halves[1:]) / 2 - centres).max())
            if error <= TOLERANCE_PX * max(made.scale, 1.0):
                return made
            step //= 2
        return cls(_evaluate(out_to_scene, shape, 1, (0.5, 0.5))[:-1, :-1], 0, shape)

    @property
    def scale(self) -> float:
        """Scene pixels per output pixel (root of the median Jacobian); NaN where nothing is finite."""
        if min(self.nodes.shape[:2]) < 2:
            return 1.0 if np.isfinite(self.nodes).any() else math.nan
        dx = self.nodes[:-1, 1:] - self.nodes[:-1, :-1]
        dy = self.nodes[1:, :-1] - self.nodes[:-1, :-1]
        area = np.abs(dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0])
        area = area[np.isfinite(area)]
        return float(np.sqrt(np.median(area))) / max(self.step, 1) if area.size else math.nan

    def bounds(self, width: int, height: int) -> tuple[FloatArray, FloatArray] | None:
        """Lowest and highest scene position (2,) of what meets a scene of this size; None where nothing does."""
        points = self.nodes.reshape(-1, 2)
        points = points[np.isfinite(points).all(1)]
        if len(points) == 0:
            return None
        low, high = points.min(0), points.max(0)
        if self.step == 0:
            low, high = low - self.scale, high + self.scale
        low, high = np.maximum(low, -1.0), np.minimum(high, [width + 1.0, height + 1.0])
        return (low, high) if (high > low).all() else None

    def maps(self, origin_xy: tuple[float, float], factor: float) -> tuple[Plane, Plane]:
        """x and y of every output pixel's centre as (H, W) float32, counted in pixels of `factor` from `origin_xy`.

        Pixel centres of what was read are at whole numbers, as OpenCV has it; pixels without a place lie far outside.
        """
        local = (self.nodes - np.asarray(origin_xy)) / factor - 0.5
        if self.step == 0:
            local = np.where(np.isfinite(local), local, -1e4).astype(np.float32)
            return np.ascontiguousarray(local[..., 0]), np.ascontiguousarray(local[..., 1])
        local = local.astype(np.float32)
        return self._spread(local[..., 0]), self._spread(local[..., 1])

    def _spread(self, values: Plane) -> Plane:
        """Bilinear interpolation of (rows, cols) node values at the pixel centres, (H, W)."""
        part = ((np.arange(self.step) + 0.5) / self.step).astype(np.float32)
        rows = values[:-1, None, :] + np.diff(values, axis=0)[:, None, :] * part[None, :, None]
        rows = rows.reshape(-1, values.shape[1])[: self.shape[0]]
        whole = rows[:, :-1, None] + np.diff(rows, axis=1)[:, :, None] * part[None, None, :]
        return np.ascontiguousarray(whole.reshape(self.shape[0], -1)[:, : self.shape[1]])


def _evaluate(
    out_to_scene: Mapping, shape: tuple[int, int], step: int, start_xy: tuple[float, float]
) -> FloatArray:
    """(rows, cols, 2) scene positions of output points `step` apart from `start_xy` (in steps) that span the output."""
    xs = step * (start_xy[0] + np.arange(math.ceil(shape[1] / step) + 1.0))
    ys = step * (start_xy[1] + np.arange(math.ceil(shape[0] / step) + 1.0))
    grid = np.stack(np.meshgrid(xs, ys), -1)
    return np.asarray(out_to_scene(grid.reshape(-1, 2)), dtype=np.float64).reshape(grid.shape)
