"""A stack of images adjusted together: many pairwise registrations, one transform an image.

All coordinates are in one common frame (pixels of the anchor image): each image comes with a first placement in it (its
geocoding), and what is solved for is an affine correction C_i of that placement. A registration between images i and j
says that two points, a as i is placed and b as j is placed, show the same ground: C_i(a) = C_j(b). This is linear in
the corrections' parameters, so the solution is a sparse least-squares problem; whole registrations that contradict the
others lose their weight (iteratively reweighted least squares with Geman-McClure weights, graduated as in Yang et al.,
"Graduated Non-Convexity for Robust Spatial Perception", 2020).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import lsqr

from georeg.geometry.transforms import apply_matrix, fit_matrix
from georeg.scene import FloatArray

PARAMETERS = {"shift": 2, "similarity": 4, "affine": 6}
ROUNDS = 30
FLOOR_PX = 0.05
"""Registrations are never taken to agree better than this."""


@dataclass(frozen=True)
class Edge:
    """One registration between two images.

    Attributes:
        first, second: the images' numbers.
        first_xy, second_xy: (N, 2) the same ground as either image is placed in the frame, in pixels.
        sigma_px: how exact the registration is taken to be.
    """

    first: int
    second: int
    first_xy: FloatArray
    second_xy: FloatArray
    sigma_px: float = 1.0

    @property
    def reversed(self) -> Edge:
        return replace(
            self, first=self.second, second=self.first, first_xy=self.second_xy, second_xy=self.first_xy
        )

    @property
    def matrix(self) -> FloatArray:
        """(3, 3) affine, placed first -> placed second."""
        return fit_matrix("affine", self.first_xy, self.second_xy)


@dataclass(frozen=True)
class Adjustment:
    """The corrections of a stack.

    Attributes:
        matrices: (M, 3, 3) correction of each image's placement; NaN for those that nothing connects to the anchor.
        weights: (E,) of each edge in the solution, 0..1.
        residual_px: (E,) root-mean-square of what each edge contradicts the solution by.
    """

    matrices: FloatArray
    weights: FloatArray
    residual_px: FloatArray

    def connected(self, image: int) -> bool:
        return bool(np.isfinite(self.matrices[image]).all())


@dataclass(frozen=True)
class Loop:
    """Three registrations in a ring, which ought to lead back to where they started.

    Attributes:
        images: the three.
        error_px: root-mean-square distance between start and return, over the points of the first registration.
    """

    images: tuple[int, int, int]
    error_px: float


def adjusted(count: int, edges: Sequence[Edge], anchor: int = 0, kind: str = "affine") -> Adjustment:
    """Solve for all images at once.

    Args:
        count: images.
        edges: registrations between them, at least as exact as they are many.
        anchor: the image that stays where it is.
        kind: of the corrections: "shift", "similarity" or "affine".

    Returns:
        The adjustment; without edges only the anchor is connected.
    """
    reach = reachable(count, edges, anchor)
    matrices = np.full((count, 3, 3), np.nan)
    matrices[anchor] = np.eye(3)
    used = [edge for edge in edges if edge.first in reach]
    free = sorted(reach - {anchor})
    if not free:
        return Adjustment(matrices, np.zeros(len(edges)), np.full(len(edges), np.inf))
    system = _System(used, free, kind)
    weights = np.ones(len(used))
    scale = np.inf
    for _ in range(ROUNDS):
        solution = system.solve(weights)
        error = system.errors(solution)
        robust = max(1.4826 * float(np.median(error)), FLOOR_PX)
        scale = max(min(scale / 1.4, 3.0 * float(error.max())), 3.0 * robust)
        renewed = (scale**2 / (scale**2 + error**2)) ** 2
        if np.abs(renewed - weights).max() < 1e-4 and scale <= 3.01 * robust:
            break
        weights = renewed
    matrices[free] = system.matrices(solution)
    everywhere = dict(zip(map(id, used), zip(weights, error, strict=True), strict=True))
    both = np.array([everywhere.get(id(edge), (0.0, np.inf)) for edge in edges])
    return Adjustment(matrices, both[:, 0], both[:, 1])


def chained(count: int, edges: Sequence[Edge], anchor: int = 0) -> Adjustment:
    """Corrections by following one path of registrations from each image to the anchor, the shortest one."""
    matrices = np.full((count, 3, 3), np.nan)
    weights = np.zeros(len(edges))
    ways = [(way, image) for image, way in enumerate(routes(count, edges, anchor)) if way is not None]
    matrices[anchor] = np.eye(3)
    for way, image in sorted(ways, key=lambda one: len(one[0])):
        if way:
            step = edges[way[0]] if edges[way[0]].first == image else edges[way[0]].reversed
            matrices[image] = matrices[step.second] @ step.matrix
            weights[way[0]] = 1.0
    residual = np.array([_rms(_mismatch(edge, matrices)) for edge in edges])
    return Adjustment(matrices, weights, residual)


def routes(count: int, edges: Sequence[Edge], anchor: int = 0) -> list[tuple[int, ...] | None]:
    """For each image the numbers of the edges on a shortest way to the anchor, None where there is no way."""
    ways: list[tuple[int, ...] | None] = [None] * count
    ways[anchor] = ()
    waiting = deque([anchor])
    while waiting:
        known = waiting.popleft()
        for number, edge in enumerate(edges):
            if known in (edge.first, edge.second):
                other = edge.first if edge.second == known else edge.second
                if ways[other] is None:
                    ways[other] = (number, *(ways[known] or ()))
                    waiting.append(other)
    return ways


def carried_px(count: int, edges: Sequence[Edge], errors_px: Sequence[float], anchor: int = 0) -> FloatArray:
    """(count,) what the edges' errors come to at each image, if they are independent; infinite without a way.

    Their squares add along a chain, and several ways share the load: the standard error of a weighted least-squares
    solution for shifts, which is the effective resistance between image and anchor in a network of squared errors.
    """
    reached = reachable(count, edges, anchor)
    free = {image: place for place, image in enumerate(sorted(reached - {anchor}))}
    laplacian = np.zeros((len(free), len(free)))
    for edge, error in zip(edges, errors_px, strict=True):
        ends = [free[image] for image in (edge.first, edge.second) if image in free]
        conductance = 1.0 / max(error, 1e-6) ** 2 if edge.first in reached else 0.0
        for end in ends:
            laplacian[end, end] += conductance
        if len(ends) == 2:
            laplacian[ends, ends[::-1]] -= conductance
    carried = np.full(count, np.inf)
    carried[anchor] = 0.0
    carried[list(free)] = np.sqrt(np.diag(np.linalg.inv(laplacian)))
    return carried


def reachable(count: int, edges: Sequence[Edge], anchor: int) -> set[int]:
    """The images that registrations connect to the anchor."""
    near: dict[int, set[int]] = {image: set() for image in range(count)}
    for edge in edges:
        near[edge.first].add(edge.second)
        near[edge.second].add(edge.first)
    found, waiting = {anchor}, [anchor]
    while waiting:
        fresh = near[waiting.pop()] - found
        found |= fresh
        waiting.extend(fresh)
    return found


def loops(edges: Sequence[Edge]) -> list[Loop]:
    """Every ring of three registrations, with its closure error."""
    between = {(edge.first, edge.second): edge for edge in (*edges, *(edge.reversed for edge in edges))}
    images = sorted({image for pair in between for image in pair})
    rings = [
        (a, b, c)
        for a, b in combinations(images, 2)
        if (a, b) in between
        for c in images
        if c > b and (b, c) in between and (a, c) in between
    ]
    return [Loop((a, b, c), _closure(between[a, b], between[b, c], between[c, a])) for a, b, c in rings]


def _closure(first: Edge, second: Edge, third: Edge) -> float:
    around = third.matrix @ second.matrix @ first.matrix
    return _rms(apply_matrix(around, first.first_xy) - first.first_xy)


def _mismatch(edge: Edge, matrices: FloatArray) -> FloatArray:
    """(N, 2) difference of an edge's points after the images' corrections."""
    return apply_matrix(matrices[edge.first], edge.first_xy) - apply_matrix(
        matrices[edge.second], edge.second_xy
    )


def _rms(difference: FloatArray) -> float:
    return float(np.sqrt((difference**2).sum(1).mean()))


class _System:
    """The linear equations of a stack, in coordinates of about -1..1 so that they are well conditioned."""

    def __init__(self, edges: Sequence[Edge], free: Sequence[int], kind: str) -> None:
        self.edges, self.kind, self.size = edges, kind, PARAMETERS[kind]
        self.place = {image: number for number, image in enumerate(free)}
        points = np.concatenate([part for edge in edges for part in (edge.first_xy, edge.second_xy)])
        self.centre = points.mean(0)
        self.span = max(float(np.abs(points - self.centre).max()), 1.0)
        self._build()

    def _build(self) -> None:
        rows, cols, values, target, of_edge = [], [], [], [], []
        start = 0
        for number, edge in enumerate(self.edges):
            a, b = self._unit(edge.first_xy), self._unit(edge.second_xy)
            for image, points, sign in ((edge.first, a, 1.0), (edge.second, b, -1.0)):
                if image in self.place:
                    block = sign * self._basis(points)
                    row, col = np.indices(block.shape)
                    rows.append(start + row.ravel())
                    cols.append(self.size * self.place[image] + col.ravel())
                    values.append(block.ravel())
            target.append((b - a).ravel())
            of_edge.append(np.full(2 * len(a), number))
            start += 2 * len(a)
        shape = (start, self.size * len(self.place))
        indices = (np.concatenate(rows), np.concatenate(cols))
        self.matrix = coo_array((np.concatenate(values), indices), shape=shape).tocsr()
        self.target = np.concatenate(target)
        self.of_edge = np.concatenate(of_edge)
        self.per_edge = np.bincount(self.of_edge) / 2
        self.sigma = np.array([edge.sigma_px for edge in self.edges])

    def _unit(self, points_xy: FloatArray) -> FloatArray:
        return (points_xy - self.centre) / self.span

    def _basis(self, points: FloatArray) -> FloatArray:
        """(2 N, parameters): what each parameter moves each point by, x and y in turn."""
        basis = np.zeros((len(points), 2, self.size))
        basis[:, 0, 0] = basis[:, 1, 1] = 1.0
        x, y = points.T
        if self.kind == "similarity":
            basis[:, 0, 2], basis[:, 1, 2], basis[:, 0, 3], basis[:, 1, 3] = x, y, -y, x
        elif self.kind == "affine":
            basis[:, 0, 2], basis[:, 0, 3], basis[:, 1, 4], basis[:, 1, 5] = x, y, x, y
        return basis.reshape(-1, self.size)

    def solve(self, weights: FloatArray) -> FloatArray:
        """Parameters, with each edge weighted by `weights` / sigma squared and by its points' number."""
        root = np.sqrt(weights / self.per_edge) / self.sigma
        rows = root[self.of_edge]
        scaled = coo_array((rows, (np.arange(len(rows)),) * 2)).tocsr() @ self.matrix
        return lsqr(scaled, rows * self.target, atol=1e-13, btol=1e-13, iter_lim=20 * scaled.shape[1])[0]

    def errors(self, solution: FloatArray) -> FloatArray:
        """(E,) root-mean-square contradiction of each edge in pixels."""
        squares = (self.matrix @ solution - self.target) ** 2
        return self.span * np.sqrt(np.bincount(self.of_edge, squares) / self.per_edge)

    def matrices(self, solution: FloatArray) -> FloatArray:
        """(images, 3, 3) corrections in frame pixels."""
        inward = np.array([[1 / self.span, 0, -self.centre[0] / self.span],
                           [0, 1 / self.span, -self.centre[1] / self.span], [0, 0, 1]])  # fmt: skip
        corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        found = []
        for part in solution.reshape(-1, self.size):
            moved = corners + (self._basis(corners) @ part).reshape(-1, 2)
            unit = np.eye(3)
            unit[:2] = np.column_stack([moved[1] - moved[0], moved[2] - moved[0], moved[0]])
            found.append(np.linalg.inv(inward) @ unit @ inward)
        return np.array(found)
