import math
from dataclasses import replace

import pytest
import torch

from georeg.engine.batch import TrainingBatch
from georeg.network import CONFIGS
from georeg.network.fine import SHIFTS
from georeg.network.model import MatchingNetwork, PairFeatures
from georeg.training.losses import (
    LossWeights,
    cells_about,
    direction_loss,
    fine_losses,
    matching_loss,
    shift_loss,
)

SIDE = 64
CELLS = SIDE // 8


def moved_batch(dx=16.0, dy=8.0, tolerance=0.0):
    """View 1 shows the ground dx, dy pixels further left and up."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    grid = torch.stack([x, y], -1)[None].float()

    def flow(step):
        moved = grid + torch.tensor(step)
        outside = ((moved < 0) | (moved > SIDE - 1)).any(-1, keepdim=True)
        return moved.masked_fill(outside, torch.nan)

    image = torch.randn(1, 1, SIDE, SIDE)
    valid = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    unknown = torch.tensor([-1])
    return TrainingBatch(
        image, image, valid, valid, flow([-dx, -dy]), flow([dx, dy]), torch.tensor([1]), unknown,
        torch.tensor([tolerance]), torch.tensor([0]),
    )  # fmt: skip


def features(scores_like=None):
    cells = torch.ones(1, CELLS**2, dtype=torch.bool)
    fine = torch.nn.functional.normalize(torch.randn(1, SIDE // 2, SIDE // 2, 24), dim=-1)
    unit = torch.eye(CELLS**2)[None]
    return PairFeatures(unit, unit, (CELLS, CELLS), (CELLS, CELLS), cells, cells, fine, fine, None, None)


def scores_for(dx_cells, dy_cells, high=20.0):
    scores = torch.zeros(1, CELLS**2, CELLS**2)
    for row in range(CELLS**2):
        y, x = row // CELLS - dy_cells, row % CELLS - dx_cells
        if 0 <= y < CELLS and 0 <= x < CELLS:
            scores[0, row, y * CELLS + x] = high
    return scores


def coarse(scores, batch, focusing=0.0):
    return direction_loss(
        scores, batch.flow01, features().cells0, features(), batch.tolerance_px, focusing, 0
    )


def test_right_scores_cost_nothing_and_wrong_ones_much():
    batch = moved_batch()
    right, wrong = coarse(scores_for(2, 1), batch), coarse(scores_for(1, 1), batch)
    assert right.count.item() == (CELLS - 2) * (CELLS - 1) == right.hits.item()
    assert right.loss < 0.01
    assert wrong.loss > 15
    assert wrong.hits == 0


def test_a_point_between_cells_is_shared():
    batch = moved_batch(dx=12.0)
    shared = torch.logaddexp(scores_for(2, 1), scores_for(1, 1))
    assert coarse(shared, batch).loss < coarse(scores_for(2, 1), batch).loss


def test_tolerance_accepts_the_neighbour():
    near = scores_for(1, 1)
    strict, tolerant = coarse(near, moved_batch(dx=14.0)), coarse(near, moved_batch(dx=14.0, tolerance=3.0))
    assert strict.loss > 5
    assert tolerant.loss < 0.1
    assert tolerant.hits == tolerant.count


def test_shut_cells_are_never_a_target():
    batch = moved_batch(dx=12.0)
    one = features()
    one.cells1[:, ::2] = False
    shut = torch.where(one.cells1, 0.0, -1e4)[:, None]
    found = direction_loss(scores_for(2, 1) + shut, batch.flow01, one.cells0, one, batch.tolerance_px, 0.0, 0)
    assert found.loss < 100


def test_nine_cells_about_a_point():
    near, distance, inside = cells_about(torch.tensor([[[0.2, 1.0]]]), (4, 5))
    assert near[0, 0, 4] == 5
    assert inside[0, 0].tolist() == [False, True, True] * 3
    torch.testing.assert_close(distance[0, 0, 5], torch.tensor([0.8, 0.0]))


def test_the_shift_between_four_is_shared_by_them():
    scores = torch.full((1, SHIFTS, SHIFTS), -30.0)
    scores[0, 4:6, 1:3] = torch.tensor([[0.75 * 0.7, 0.25 * 0.7], [0.75 * 0.3, 0.25 * 0.3]]).log()
    entropy = -(scores.exp() * scores).sum()
    assert shift_loss(scores.flatten(1), torch.tensor([[1.25, 4.3]])) == pytest.approx(
        entropy.item(), abs=1e-4
    )
    assert shift_loss(scores.flatten(1), torch.tensor([[1.25, 3.3]])) > entropy + 1


def test_fine_losses_measure_the_distance_to_the_truth():
    network = MatchingNetwork(CONFIGS["tiny"])
    with torch.no_grad():
        network.fine.log_sharpness.fill_(math.log(100.0))
    batch, one = moved_batch(dx=17.0, dy=8.0), features()
    moved = replace(one, fine1=one.fine0.roll((-4, -8), (1, 2)))  # 16 and 8 pixels: one less than the truth
    found = fine_losses(network.fine, moved, batch, 64, torch.Generator().manual_seed(0))
    assert found["fine_px"] == pytest.approx(1.0, abs=0.05)
    right = fine_losses(
        network.fine, moved, moved_batch(dx=16.0, dy=8.0), 64, torch.Generator().manual_seed(0)
    )
    assert right["fine_px"] < 0.05
    assert right["sub_pixel"] < 0.1
    assert right["fine"] < found["fine"]


def test_every_parameter_learns_something():
    torch.manual_seed(0)
    network = MatchingNetwork(CONFIGS["tiny"])
    batch = moved_batch()
    found = network(batch.view0, batch.view1, batch.valid0, batch.valid1)
    loss = matching_loss(network, found, batch, LossWeights(), torch.Generator().manual_seed(0))
    loss.total.backward()
    assert loss.per_pair.shape == (1,)
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_inexact_truth_leaves_the_fine_stage_alone():
    network = MatchingNetwork(CONFIGS["tiny"])
    batch = moved_batch(tolerance=2.5)
    found = network(batch.view0, batch.view1, batch.valid0, batch.valid1)
    loss = matching_loss(network, found, batch, LossWeights())
    assert loss.parts["fine"] == 0
    loss.total.backward()
    assert all(p.grad is not None for p in network.parameters()), "several processes wait for every gradient"
