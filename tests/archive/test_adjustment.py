"""Stacks with known truth: joint adjustment against chaining, robustness, loops."""

import numpy as np
import pytest

from georeg.archive.adjustment import Edge, adjusted, carried_px, chained, loops, routes
from georeg.geometry.transforms import apply_matrix

SIDE = 1000.0
GRID = np.stack(np.meshgrid(np.linspace(50, 950, 6), np.linspace(50, 950, 6)), -1).reshape(-1, 2)
CORNERS = np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]], float)


def true_corrections(rng, count):
    """(count, 3, 3): a few pixels of shift, a little rotation and stretch; the first is the identity."""
    matrices = np.tile(np.eye(3), (count, 1, 1))
    matrices[1:, :2, :2] += rng.normal(0, 2e-3, (count - 1, 2, 2))
    matrices[1:, :2, 2] = rng.normal(0, 6.0, (count - 1, 2))
    return matrices


def edge_between(truth, i, j, rng, sigma=0.4, wrong=0.0):
    """A registration of i to j that is off as a whole by sigma, and in each point by a third of it."""
    a = GRID + rng.normal(0, 5, GRID.shape)
    b = apply_matrix(np.linalg.inv(truth[j]) @ truth[i], a)
    return Edge(i, j, a, b + rng.normal(0, sigma, 2) + rng.normal(0, sigma / 3, a.shape) + wrong, sigma)


def stack(rng, count=14, neighbours=3, wrong=()):
    truth = true_corrections(rng, count)
    pairs = [(i, i - step) for i in range(1, count) for step in range(1, neighbours + 1) if i >= step]
    return truth, [edge_between(truth, i, j, rng, wrong=18.0 * ((i, j) in wrong)) for i, j in pairs]


def corner_errors(found, truth):
    """(M,) mean distance of the corners, in pixels."""
    moved, right = (np.stack([apply_matrix(one, CORNERS) for one in stack]) for stack in (found, truth))
    return np.linalg.norm(moved - right, axis=2).mean(1)


@pytest.mark.parametrize("kind", ["shift", "similarity", "affine"])
def test_exact_registrations_give_the_exact_stack(kind):
    rng = np.random.default_rng(0)
    truth = true_corrections(rng, 6)
    if kind != "affine":
        truth[:, :2, :2] = np.eye(2)
    if kind == "similarity":
        turns = rng.normal(0, 0.01, 5)
        truth[1:, 0, 1], truth[1:, 1, 0] = -turns, turns
    edges = [edge_between(truth, i, j, rng, sigma=0.0) for i in range(6) for j in range(i)]
    edges = [Edge(e.first, e.second, e.first_xy, e.second_xy) for e in edges]
    solution = adjusted(6, edges, kind=kind)
    assert corner_errors(solution.matrices, truth).max() < 1e-5
    assert solution.residual_px.max() < 1e-5


@pytest.mark.parametrize("seed", range(5))
def test_joint_beats_chained(seed):
    truth, edges = stack(np.random.default_rng(seed))
    joint, chain = (
        corner_errors(solve(14, edges).matrices, truth) for solve in (adjusted, chain_of_neighbours)
    )
    assert joint.mean() < 0.8 * chain.mean()
    assert joint[1:].max() < chain.max()


def chain_of_neighbours(count, edges):
    return chained(count, [edge for edge in edges if abs(edge.first - edge.second) == 1])


def test_wrong_registrations_lose_their_weight():
    wrong = {(5, 4), (9, 7)}
    truth, edges = stack(np.random.default_rng(7), wrong=wrong)
    solution = adjusted(14, edges)
    clean = corner_errors(
        adjusted(14, [e for e in edges if (e.first, e.second) not in wrong]).matrices, truth
    )
    weights = {(e.first, e.second): w for e, w in zip(edges, solution.weights, strict=True)}
    assert weights[5, 4] < 0.02
    assert weights[9, 7] < 0.02
    assert np.median(list(weights.values())) > 0.7
    assert corner_errors(solution.matrices, truth).mean() < 1.2 * clean.mean() + 0.05


def test_loops_tell_what_does_not_close():
    rng = np.random.default_rng(3)
    truth, edges = stack(rng, wrong={(6, 5)})
    found = loops(edges)
    assert len(found) == 14 - 2 + 2 * (14 - 3)
    broken = [loop.error_px for loop in found if {5, 6} <= set(loop.images)]
    sound = [loop.error_px for loop in found if not {5, 6} <= set(loop.images)]
    assert min(broken) > 15
    assert np.median(sound) < 2
    exact = [edge_between(truth, i, j, rng, sigma=0.0) for i, j in ((1, 0), (2, 1), (0, 2))]
    (loop,) = loops(exact)
    assert loop.images == (0, 1, 2)
    assert loop.error_px < 1e-6


def test_images_that_nothing_connects_stay_out():
    _, edges = stack(np.random.default_rng(1), count=5)
    solution = adjusted(
        7, [*edges, edge_between(np.tile(np.eye(3), (7, 1, 1)), 5, 6, np.random.default_rng(2))]
    )
    assert [solution.connected(image) for image in range(7)] == [True] * 5 + [False] * 2
    assert solution.weights[-1] == 0
    assert not adjusted(3, []).connected(1)


def test_anchor_may_be_any_image():
    truth, edges = stack(np.random.default_rng(4), count=6)
    solution = adjusted(6, edges, anchor=3)
    assert np.array_equal(solution.matrices[3], np.eye(3))
    relative = np.linalg.inv(truth[3]) @ truth
    assert corner_errors(solution.matrices, relative).mean() < 1.0


def between(*pairs):
    return [Edge(i, j, GRID, GRID) for i, j in pairs]


def test_errors_add_along_a_chain_and_share_several_ways():
    chain = between((1, 0), (2, 1), (3, 2))
    np.testing.assert_allclose(carried_px(4, chain, [0.3, 0.4, 1.2]), [0, 0.3, 0.5, 1.3])
    assert routes(5, chain) == [(), (0,), (1, 0), (2, 1, 0), None]
    twice = carried_px(3, between((1, 0), (0, 1)), [0.2, 0.2])
    np.testing.assert_allclose(twice, [0, 0.2 / np.sqrt(2), np.inf])


def test_carried_errors_are_those_of_the_least_squares_solution():
    pairs = [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2)]
    errors = np.array([0.3, 0.5, 0.2, 0.4, 0.6])
    design = np.zeros((len(pairs), 4))
    for row, (i, j) in enumerate(pairs):
        design[row, i], design[row, j] = 1, -1
    weighted = design[:, 1:] / errors[:, None]
    expected = np.sqrt(np.diag(np.linalg.inv(weighted.T @ weighted)))
    np.testing.assert_allclose(carried_px(4, between(*pairs), errors), [0, *expected])
