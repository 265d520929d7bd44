"""The stage at full detail: down the pyramid, tile by tile, each level through the correction of the one before."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

import numpy as np
import shapely

from georeg.geometry.robust import residuals
from georeg.geometry.transforms import MINIMUM_POINTS, MatrixTransform, Transform
from georeg.matching.protocol import Correspondences, PatchPair
from georeg.registration.ahead import read_ahead
from georeg.registration.estimate import Estimate, balanced, estimate
from georeg.registration.frames import Frame, Viewer, local_scale
from georeg.registration.matchers import TileStage
from georeg.registration.options import MatchOptions, Progress
from georeg.registration.search import Placement
from georeg.registration.tiles import TilePlan, coverage, plan_tiles, predicted_error_px

LEVEL_RATIO = 4.0
"""Step from one pyramid level to the next finer one; the first may be SAME_LEVEL times as large."""
SAME_LEVEL = 1.25
SAME_STEP = 0.01
"""Scenes whose scale is a power of two to within this share are matched on the reference's own grid."""
LEVEL_TILES = 4
"""Tiles matched at an intermediate level."""
BATCH_TILES = 4
FEWEST_TILES = 4
TARGET_WORK_PX = 0.1
LARGEST_TILES = 16
"""Tiles matched at most unless more is asked for: speckle may keep TARGET_WORK_PX out of reach for ever."""
LARGEST_TILES_ON_REQUEST = 64
"""The same where an accuracy is asked for."""
ENOUGH_COVERAGE = 0.5
MOVED_WORK_PX = 0.75
"""Tiles are matched again once the correction has moved farther than this at the scene's corners ..."""
REMATCHES = 2
"""... but not after every batch: matching all again costs as much as all before it."""
POOLED_INDEPENDENT_PX = 24.0
"""As `TileStage.independent_px`, of two matchers' matches together, whose errors have different causes."""
VERIFY_TILES = 2
VERIFY_PX = 448
"""Overlaps smaller than this square are verified at full detail, larger ones at half, where the search goes farther."""


class Detail:
    """What the tile stage gathered."""

    def __init__(self, viewer: Viewer, correction: Transform, overlap: shapely.Geometry, step: float) -> None:
        self.viewer, self.correction, self.overlap, self.step = viewer, correction, overlap, step
        self.found: Estimate | None = None
        self.tiles: list[tuple[Frame, int]] = []
        self.matches = 0
        self.verification = 0, 0.0


def match_in_detail(
    placement: Placement, tiles: TileStage, options: MatchOptions, progress: Progress
) -> Detail:
    """Go down the pyramid from the overview to the work scale, refining the correction on the way."""
    viewer, correction = placement.viewer, MatrixTransform("homography", placement.matrix)
    finest = work_step(viewer, correction)
    uncertainty = placement.uncertainty_px
    detail = Detail(viewer, correction, overlap_of(viewer, correction), finest)
    steps = pyramid(placement.step, finest)
    for level, step in enumerate(steps):
        plan = plan_tiles(detail.overlap, step, placement.interest, tiles.tile_px)
        last = level == len(steps) - 1
        most = _most_tiles(options, len(plan.frames)) if last else LEVEL_TILES
        before = detail.found
        _match_level(detail, plan, step, uncertainty, most, last, tiles, options, progress)
        if detail.found is None:
            detail.found = before
            break
        uncertainty = 3 * max(detail.found.spread_px, 0.4 * step)
        detail.overlap = overlap_of(viewer, detail.correction)
    if detail.found is not None:
        detail.verification = verify(detail, tiles)
    return detail


def pooled(first: Detail, second: Detail, options: MatchOptions) -> Detail:
    """Both matchers' tie points in one fit: what the first one matched, and of the second what agreed with its answer.

    Their errors have different causes; the unsure matches that the second one hands out have done their service.

    Args:
        first, second: of the same placement, each with its answer.
    """
    together = Detail(first.viewer, first.correction, first.overlap, first.step)
    together.matches = first.matches + second.matches
    together.tiles = first.tiles + second.tiles
    together.verification = first.verification
    if first.found is None or second.found is None:
        return together
    points = [first.found.points, second.found.points[second.found.fit.inlier]]
    together.found = _fit(points, first.step, options, len(first.tiles) > 2, POOLED_INDEPENDENT_PX)
    return together


def verify(detail: Detail, tiles: TileStage) -> tuple[int, float]:
    """Search a few tiles anew, as widely as the matcher can: matches that agree with the answer, and their share.

    The tiles were matched close to the answer, where templates agree with a wrong one too easily.
    """
    small = detail.overlap.area < (VERIFY_PX * detail.step) ** 2
    step = detail.step * (1 if small else 2)
    frames = plan_tiles(detail.overlap, step, tile_px=tiles.tile_px).frames[:VERIFY_TILES]
    found = balanced(
        Correspondences.concatenate(match_tiles(detail.viewer, frames, detail.correction, tiles, math.inf))
    )
    if len(found) == 0:
        return 0, 0.0
    agrees = residuals(detail.correction, found.moving_xy, found.reference_xy) < 2.5 * step
    return int(agrees.sum()), found.share(agrees)


def _match_level(
    detail: Detail,
    plan: TilePlan,
    step: float,
    uncertainty: float,
    most: int,
    last: bool,
    tiles: TileStage,
    options: MatchOptions,
    progress: Progress,
) -> None:
    """Match the tiles of one level, batch by batch, until the prediction is good enough."""
    frames, done, rematches = plan.frames[:most], 0, 0
    points: list[Correspondences] = []
    target = _target_px(options, detail, step)
    while done < len(frames):
        batch = frames[done : done + BATCH_TILES]
        found = match_tiles(detail.viewer, batch, detail.correction, tiles, uncertainty / step)
        points += found
        done += len(batch)
        progress("tiles", done, len(frames), f"{sum(map(len, points))} matches")
        fitted = _fit(points, step, options, last and done > 2, tiles.independent_px)
        if fitted is None:
            continue
        moved = _moved_px(detail, detail.correction, fitted.fit.transform)
        detail.found, detail.correction = fitted, fitted.fit.transform
        if moved > MOVED_WORK_PX * step and rematches < REMATCHES:
            rematches += 1
            points, fitted = _again(detail, frames[:done], fitted, step, tiles, options, last and done > 2)
            detail.found, detail.correction = fitted, fitted.fit.transform
        uncertainty = min(uncertainty, 3 * max(fitted.spread_px, step))
        if not last and done >= LEVEL_TILES:
            break
        if (
            last
            and done >= FEWEST_TILES
            and not options.exhaustive
            and _enough(fitted, detail.overlap, target)
        ):
            break
    detail.matches = sum(map(len, points))
    detail.tiles = [(frame, len(p)) for frame, p in zip(frames[:done], points, strict=True)]


def _again(
    detail: Detail,
    frames: tuple[Frame, ...],
    fitted: Estimate,
    step: float,
    tiles: TileStage,
    options: MatchOptions,
    smooth: bool,
) -> tuple[list[Correspondences], Estimate]:
    """Match the tiles again through the better correction, until it no longer moves; the better-supported one wins."""
    best = None
    for _ in range(2):
        points = match_tiles(
            detail.viewer, frames, fitted.fit.transform, tiles, max(6.0, 4 * fitted.spread_px / step)
        )
        again = _fit(points, step, options, smooth, tiles.independent_px)
        if again is None or (best is not None and again.support < 0.9 * best[1].support):
            break
        moved = _moved_px(detail, fitted.fit.transform, again.fit.transform)
        best, fitted = (points, again), again
        if moved < 0.25 * step:
            break
    if best is None:
        return match_tiles(detail.viewer, frames, fitted.fit.transform, tiles, 12.0), fitted
    return best


def match_tiles(
    viewer: Viewer, frames: tuple[Frame, ...], correction: Transform, tiles: TileStage, uncertainty_px: float
) -> list[Correspondences]:
    """Matches of each tile: moving_xy as source points, reference_xy as reference pixels.

    Args:
        uncertainty_px: how far the correction may be off, in tile pixels.
    """
    parts = [frames[start : start + tiles.at_once] for start in range(0, len(frames), tiles.at_once)]
    windows = (
        [PatchPair(viewer.moving_patch(f, correction), viewer.reference_patch(f)) for f in part]
        for part in parts
    )
    found = chain.from_iterable(read_ahead(tiles.matcher(uncertainty_px).match, windows, tiles.threads))
    return [
        replace(
            f,
            moving_xy=correction.inverse(frame.to_space(f.moving_xy)),
            reference_xy=frame.to_space(f.reference_xy),
        )
        for f, frame in zip(found, frames, strict=True)
    ]


def work_step(viewer: Viewer, correction: MatrixTransform) -> float:
    """Reference pixels per pixel of the coarser scene: finer detail is in neither.

    A power of two where it nearly is one, because the reference is read as it is then: OpenCV resamples at 1/32 px, and
    a grid that drifts by less over a whole tile would come out shifted by some 0.01 px.
    """
    moving, _ = viewer.scenes
    centre = np.array([[moving.grid.width / 2, moving.grid.height / 2]])
    around = viewer.to_source(centre + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    (a, b), (c, d) = around[1] - around[0], around[2] - around[0]
    scale = float(np.sqrt(abs(a * d - b * c))) * local_scale(correction.matrix, around[:1])
    if not np.isfinite(scale) or scale <= 1.0:
        return 1.0
    power = 2.0 ** round(math.log2(scale))
    return power if abs(scale / power - 1) < SAME_STEP else scale


def pyramid(coarsest: float, finest: float) -> list[float]:
    """Steps from the overview's to the finest: in between, powers of LEVEL_RATIO times the finest.

    Files keep such reductions as overviews. One that hardly differs from the overview's step is left out.
    """
    if coarsest <= 1.01 * finest:
        return [finest]
    powers = math.ceil(math.log(coarsest / finest / SAME_LEVEL, LEVEL_RATIO))
    return [coarsest, *(finest * LEVEL_RATIO**k for k in range(powers - 1, 0, -1)), finest]


def overlap_of(viewer: Viewer, correction: Transform) -> shapely.Geometry:
    """The moving scene's footprint on the reference scene, in reference pixels."""
    moving, reference = viewer.scenes
    w, h = moving.grid.width, moving.grid.height
    t = np.linspace(0, 1, 9)[:-1]
    outline = np.concatenate(
        [np.c_[t * w, 0 * t], np.c_[w + 0 * t, t * h], np.c_[w - t * w, h + 0 * t], np.c_[0 * t, h - t * h]]
    )
    mapped = correction(viewer.to_source(outline))
    mapped = mapped[np.isfinite(mapped).all(1)]
    if len(mapped) < 3:
        return shapely.Polygon()
    frame = shapely.box(0, 0, reference.grid.width, reference.grid.height)
    return shapely.make_valid(shapely.Polygon(mapped)).intersection(frame)


def _fit(
    points: list[Correspondences], step: float, options: MatchOptions, smooth: bool, independent_px: float
) -> Estimate | None:
    everything = Correspondences.concatenate(points)
    if len(everything) < 4:
        return None
    how = options.transform, options.seed, smooth, independent_px * step
    fitted = estimate(everything, 3.0 * step, *how)
    if fitted is None:
        return None
    tighter = float(np.clip(3.5 * fitted.spread_px, 1.2 * step, 3.0 * step))
    return estimate(everything, tighter, *how) or fitted


def _most_tiles(options: MatchOptions, planned: int) -> int:
    """Tiles matched at most at full detail."""
    if options.exhaustive:
        return planned
    return LARGEST_TILES if options.target_accuracy_m is None else LARGEST_TILES_ON_REQUEST


def _target_px(options: MatchOptions, detail: Detail, step: float) -> float:
    gsd = detail.viewer.scenes[1].gsd_m
    if options.target_accuracy_m is not None and gsd:
        return options.target_accuracy_m / gsd
    return TARGET_WORK_PX * step


def _enough(found: Estimate, overlap: shapely.Geometry, target_px: float) -> bool:
    """Whether more tiles are not worth their time: the prediction is good enough and the tie points are spread."""
    if _predicted(found, overlap) >= target_px:
        return False
    return coverage(found.points.reference_xy[found.fit.inlier], overlap) >= ENOUGH_COVERAGE


def _predicted(found: Estimate, overlap: shapely.Geometry) -> float:
    inside = found.fit.inlier
    parameters = 2 * MINIMUM_POINTS[found.fit.transform.kind]
    return predicted_error_px(
        found.points.reference_xy[inside], found.fit.residual_px[inside], parameters, overlap
    )


def _moved_px(detail: Detail, before: Transform, after: Transform) -> float:
    """Largest distance between two corrections over the moving scene's corners, in reference pixels."""
    source = detail.viewer.to_source(detail.viewer.scenes[0].grid.corners_xy)
    with np.errstate(invalid="ignore"):  # a corner beyond the horizon of both is nowhere
        distance = np.linalg.norm(before(source) - after(source), axis=1)
    return float(distance.max()) if np.isfinite(distance).all() else math.inf


def searched_px2(detail: Detail) -> float:
    """Area of the matched tiles within the overlap, square reference pixels."""
    boxes = [frame.box for frame, _ in detail.tiles]
    return float(shapely.union_all(boxes).intersection(detail.overlap).area)
