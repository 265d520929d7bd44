"""The tile stage: where to look at full detail, in which order, and when enough has been seen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from georeg.registration.frames import Frame
from georeg.scene import FloatArray, Patch

TILE_PX = 512
SPREAD = 64
UNCOVERED_SHARE = 0.15
"""Along an axis, a strip narrower than this share of a tile needs no tile of its own."""
LEAST_SHARE = 0.3
"""Tiles with less of the overlap are left out."""
UNSEEN = 0.05
"""The weight of tiles of which the overview shows nothing."""


@dataclass(frozen=True)
class TilePlan:
    """Tiles of the overlap on the reference grid, best first.

    Attributes:
        frames: windows of reference pixels, TILE_PX frame pixels square or smaller at small scenes.
        overlap: the common area in reference pixels.
    """

    frames: tuple[Frame, ...]
    overlap: shapely.Geometry


def plan_tiles(
    overlap: shapely.Geometry,
    step: float,
    interest: tuple[Patch, Frame] | None = None,
    tile_px: int = TILE_PX,
) -> TilePlan:
    """Cut the overlap into tiles and order them: textured ones first, each far from those before it.

    Args:
        overlap: common area in reference pixels.
        step: reference pixels per tile pixel.
        interest: the reference overview and its frame, to see where there is texture.
        tile_px: side of a tile.
    """
    if overlap.is_empty:
        return TilePlan((), overlap)
    low, high = np.array(overlap.bounds[:2]), np.array(overlap.bounds[2:])
    counts = np.maximum(np.ceil((high - low) / step / (1.5 * tile_px) - 0.01).astype(int), 1)
    if (counts == 1).all():
        return TilePlan((Frame.around(np.floor(low), np.ceil(high), step),), overlap)
    counts = np.maximum(np.ceil((high - low) / step / tile_px - UNCOVERED_SHARE).astype(int), 1)
    corners, side = _corners(low, high, counts, tile_px, step)
    share = _share(corners, side * step, overlap)
    corners, share = corners[share > LEAST_SHARE], share[share > LEAST_SHARE]
    weights = share * _texture(corners, side * step, interest)
    frames = [Frame((float(x), float(y)), step, (int(side[1]), int(side[0]))) for x, y in corners]
    order = spread_order(corners + side * step / 2, weights)
    return TilePlan(tuple(frames[i] for i in order), overlap)


def spread_order(centres_xy: FloatArray, weights: FloatArray) -> list[int]:
    """Farthest-point order: each next point maximises its distance to the chosen ones times the root of its weight.

    So the first SPREAD of them, as its cost grows with the square of their number; the rest follow by weight.
    """
    if len(centres_xy) == 0:
        return []
    middle = centres_xy.mean(0)
    chosen = [
        int(
            np.argmax(
                weights / (1 + np.linalg.norm(centres_xy - middle, axis=1) / (np.ptp(centres_xy) + 1e-9))
            )
        )
    ]
    distance = np.linalg.norm(centres_xy - centres_xy[chosen[0]], axis=1)
    while len(chosen) < min(len(centres_xy), SPREAD):
        rank = distance * np.sqrt(weights + 1e-9)
        rank[chosen] = -1
        chosen.append(int(rank.argmax()))
        distance = np.minimum(distance, np.linalg.norm(centres_xy - centres_xy[chosen[-1]], axis=1))
    rest = np.argsort(-weights, kind="stable")
    return chosen + rest[~np.isin(rest, chosen)].tolist()


def predicted_error_px(
    points_xy: FloatArray,
    residual_px: FloatArray,
    parameters: int,
    area: shapely.Geometry,
    independent: float = 4.0,
) -> float:
    """Standard error of a fitted transform at the worst corner of the overlap, from the points' layout and residuals.

    First-order propagation through an affine, scaled by the number of parameters of the kind in use; neighbouring
    matches share pixels, so `independent` of them count as one.
    """
    if len(points_xy) < 4:
        return float("inf")
    centre = points_xy.mean(0)
    scale = max(float(np.ptp(points_xy)), 1e-9)
    design = np.c_[np.ones(len(points_xy)), (points_xy - centre) / scale]
    corners = np.array(shapely.box(*area.bounds).exterior.coords)[:4]
    at = np.c_[np.ones(4), (corners - centre) / scale]
    normal = design.T @ design / independent
    try:
        leverage = np.einsum("ij,ji->i", at, np.linalg.solve(normal, at.T))
    except np.linalg.LinAlgError:
        return float("inf")
    variance = float(np.mean(residual_px**2)) / 2
    return float(np.sqrt(2 * variance * leverage.max() * max(1.0, parameters / 6)))


def coverage(inlier_xy: FloatArray, overlap: shapely.Geometry, reach_share: float = 0.2) -> float:
    """Share of the overlap within reach of an inlier; reach is a share of the overlap's longer side."""
    if len(inlier_xy) == 0 or overlap.is_empty or overlap.area <= 0:
        return 0.0
    x0, y0, x1, y1 = overlap.bounds
    reach = reach_share * max(x1 - x0, y1 - y0)
    near = shapely.union_all(
        shapely.buffer(shapely.points(_thinned(inlier_xy, reach / 4)), reach, quad_segs=4)
    )
    return min(1.0, float(near.intersection(overlap).area / overlap.area))


def _thinned(points_xy: FloatArray, cell: float) -> FloatArray:
    _, index = np.unique(np.floor(points_xy / max(cell, 1e-9)), axis=0, return_index=True)
    return points_xy[index]


def _corners(
    low: FloatArray, high: FloatArray, counts: FloatArray, tile_px: int, step: float
) -> tuple[FloatArray, FloatArray]:
    """(N, 2) upper left corners of a grid of tiles, and their (2,) width and height in tile pixels."""
    size = np.minimum(tile_px * step, (high - low) / counts)
    xs, ys = (low[i] + (np.arange(counts[i]) + 0.5) * (high[i] - low[i]) / counts[i] for i in (0, 1))
    centres = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    corners = np.floor(np.clip(centres - size / 2, low, high - size))
    return corners, np.maximum(np.floor(size / step + 1e-9), 1)


def _share(corners: FloatArray, size: FloatArray, overlap: shapely.Geometry) -> FloatArray:
    """(N,) share of each tile that lies in the overlap; tiles wholly inside, nearly all, are not cut."""
    boxes = shapely.box(*corners.T, *(corners + size).T)
    shapely.prepare(overlap)
    share = shapely.covers(overlap, boxes).astype(float)
    cut = share == 0
    share[cut] = shapely.area(shapely.intersection(boxes[cut], overlap)) / np.prod(size)
    return share


def _texture(corners: FloatArray, size: FloatArray, interest: tuple[Patch, Frame] | None) -> FloatArray:
    """(N,) mean edges of the overview within each tile times its valid share; 1 where there is no overview."""
    if interest is None:
        return np.ones(len(corners))
    patch, overview = interest
    valid = patch.valid.astype(np.float32)
    edges = np.abs(cv2.Laplacian(patch.pixels, cv2.CV_32F)) * valid
    last = np.array(patch.shape[::-1])
    first = np.clip(np.floor(overview.from_space(corners)), 0, last).astype(int)
    end = np.clip(np.ceil(overview.from_space(corners + size)), 0, last).astype(int)
    pixels = np.maximum(np.prod(end - first, axis=1), 1)
    edge, seen = (_box_sums(image, first, end) / pixels for image in (edges, valid))
    unseen = ((end - first).min(1) < 3) | (seen <= 0)
    return np.where(unseen, UNSEEN, (0.1 + edge) * seen)


def _box_sums(
    image: npt.NDArray[np.float32], first: npt.NDArray[np.intp], end: npt.NDArray[np.intp]
) -> FloatArray:
    """(N,) sums of an image over the boxes from `first` to before `end`, (N, 2) columns and rows."""
    total = cv2.integral(image, sdepth=cv2.CV_64F)
    (x0, y0), (x1, y1) = first.T, end.T
    return np.asarray(total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0])
