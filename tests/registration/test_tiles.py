from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from georeg.geometry.transforms import MatrixTransform
from georeg.registration.detail import pyramid, work_step
from georeg.registration.frames import Frame
from georeg.registration.tiles import TILE_PX, coverage, plan_tiles, predicted_error_px, spread_order
from georeg.scene import Modality, Patch


def boxes(plan):
    return [
        shapely.box(
            f.origin_xy[0],
            f.origin_xy[1],
            f.origin_xy[0] + f.shape[1] * f.step,
            f.origin_xy[1] + f.shape[0] * f.step,
        )
        for f in plan.frames
    ]


def test_a_small_overlap_is_one_tile():
    plan = plan_tiles(shapely.box(10.4, 20, 600, 500), 1.0)
    assert len(plan.frames) == 1
    assert plan.frames[0].shape == (480, 590)


def test_no_overlap_is_no_tile():
    assert plan_tiles(shapely.Polygon(), 1.0).frames == ()


@given(st.integers(900, 9000), st.integers(900, 9000), st.sampled_from([1.0, 2.0, 3.5]))
@settings(max_examples=30, deadline=None)
def test_tiles_stay_inside_and_do_not_overlap(width, height, step):
    area = shapely.box(100, 50, 100 + width, 50 + height)
    plan = plan_tiles(area, step)
    tiles = boxes(plan)
    assert all(area.buffer(1.5 * step).contains(tile) for tile in tiles)
    assert shapely.union_all(tiles).area == pytest.approx(sum(t.area for t in tiles), rel=0.02)
    assert all(max(f.shape) <= 1.52 * TILE_PX + 2 for f in plan.frames)


@given(st.integers(200, 5000), st.integers(200, 5000))
@settings(max_examples=50, deadline=None)
def test_tiles_cover_nearly_all_of_the_overlap(width, height):
    """A scene of 1,020 px once got a single tile in its middle, and its corners were extrapolated."""
    area = shapely.box(0, 0, width, height)
    covered = shapely.union_all(boxes(plan_tiles(area, 1.0))).intersection(area).area
    assert covered >= 0.75 * area.area


def test_tiles_outside_a_slanted_overlap_are_left_out():
    slanted = shapely.Polygon([(0, 0), (8000, 0), (0, 8000)])
    plan = plan_tiles(slanted, 1.0)
    assert all(tile.intersection(slanted).area > 0.25 * tile.area for tile in boxes(plan))
    assert len(plan.frames) < 0.7 * 15 * 15


def test_the_first_tiles_are_far_apart():
    grid = np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), -1).reshape(-1, 2)
    order = spread_order(grid, np.ones(100))
    first = grid[order[:5]]
    gaps = np.linalg.norm(first[:, None] - first[None], axis=2)[~np.eye(5, dtype=bool)]
    assert sorted(order) == list(range(100))
    assert gaps.min() > 4


def test_the_predicted_error_falls_with_points_and_with_their_spread():
    rng = np.random.default_rng(0)
    area = shapely.box(0, 0, 1000, 1000)
    wide, narrow = rng.uniform(0, 1000, (400, 2)), rng.uniform(450, 550, (400, 2))
    residual = np.full(400, 0.5)
    assert predicted_error_px(wide, residual, 6, area) < 0.5 * predicted_error_px(
        wide[:60], residual[:60], 6, area
    )
    assert predicted_error_px(wide, residual, 6, area) < 0.2 * predicted_error_px(narrow, residual, 6, area)
    assert predicted_error_px(wide[:3], residual[:3], 6, area) == float("inf")


def test_the_predicted_error_is_about_the_true_one():
    """Affine fits to noisy independent points: the worst corner's RMS error against the prediction."""
    rng, area = np.random.default_rng(1), shapely.box(0, 0, 1000, 1000)
    points = rng.uniform(0, 1000, (80, 2))
    design = np.c_[np.ones(80), points]
    corners = np.c_[np.ones(4), np.array([[0, 0], [1000, 0], [1000, 1000], [0, 1000.0]])]
    errors, residuals = [], []
    for _ in range(200):
        noise = rng.normal(0, 1, (80, 2))
        fitted = np.linalg.lstsq(design, noise, rcond=None)[0]
        errors.append(np.linalg.norm(corners @ fitted, axis=1))
        residuals.append(np.linalg.norm(noise - design @ fitted, axis=1))
    predicted = predicted_error_px(points, residuals[0], 6, area, independent=1.0)
    actual = np.sqrt((np.array(errors) ** 2).mean(0)).max()
    assert 0.7 < predicted / actual < 1.4


def test_coverage_is_the_share_within_reach():
    area = shapely.box(0, 0, 1000, 1000)
    grid = np.stack(np.meshgrid(np.arange(50, 1000, 100.0), np.arange(50, 1000, 100.0)), -1).reshape(-1, 2)
    assert coverage(grid, area) > 0.99
    assert 0.45 < coverage(grid[grid[:, 0] < 400], area) < 0.7
    assert coverage(np.zeros((0, 2)), area) == 0.0


@pytest.mark.parametrize(
    ("coarsest", "levels"), [(62.0, [62, 16, 4, 1]), (17.0, [17, 4, 1]), (7.8, [7.8, 4, 1]), (3.0, [3, 1])]
)
def test_pyramid_levels_are_those_that_files_keep(coarsest, levels):
    assert pyramid(coarsest, 1.0) == levels
    assert pyramid(2.5 * coarsest, 2.5) == pytest.approx([2.5 * level for level in levels])


@given(st.floats(1.02, 500))
def test_no_pyramid_level_is_far_from_the_next(coarsest):
    steps = pyramid(coarsest, 1.0)
    assert (steps[0], steps[-1]) == (coarsest, 1.0)
    assert all(1 < a / b <= 5.0 + 1e-9 for a, b in pairwise(steps))


def test_there_is_one_level_where_there_is_no_finer_detail():
    assert pyramid(1.0, 1.0) == [1.0]
    assert pyramid(1.0, 1.7) == [1.7]


def test_textured_tiles_come_first_and_empty_ones_last():
    pixels = np.zeros((64, 64), np.float32)
    pixels[40:56, 8:24] = np.random.default_rng(0).normal(0, 3, (16, 16))
    valid = np.ones((64, 64), bool)
    valid[:, 48:] = False
    overview = Patch(pixels, valid, Modality.OPTICAL), Frame((0.0, 0.0), 128.0, (64, 64))
    tiles = boxes(plan_tiles(shapely.box(0, 0, 8192, 8192), 1.0, overview))
    assert len(tiles) == 256
    assert shapely.box(1024, 5120, 3072, 7168).contains(tiles[0])
    assert all(tile.bounds[0] >= 6144 for tile in tiles[-40:])


class StillViewer:
    """A 400-px moving scene whose source points are its pixels."""

    scenes = SimpleNamespace(grid=SimpleNamespace(width=400, height=400)), None

    def to_source(self, moving_xy):
        return moving_xy


@pytest.mark.parametrize(
    ("scale", "step"), [(0.5, 1.0), (0.9999, 1.0), (1.00003, 1.0), (1.5, 1.5), (1.995, 2.0), (4.1, 4.1)]
)
def test_tiles_keep_to_the_reference_s_own_grid_where_they_nearly_do(scale, step):
    correction = MatrixTransform("similarity", np.diag([scale, scale, 1.0]))
    assert work_step(StillViewer(), correction) == pytest.approx(step, rel=1e-9)
