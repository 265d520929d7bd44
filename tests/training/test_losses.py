import torch

from georeg.engine.batch import TrainingBatch
from georeg.network import CONFIGS
from georeg.network.model import MatchingNetwork, PairFeatures
from georeg.training.losses import (
    LossWeights,
    cells_about,
    direction_loss,
    matching_loss,
    place_in_window,
    sub_pixel_residual,
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


def test_place_in_window():
    y, x = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    window = torch.stack([x, y], -1).view(1, 25, 2) + torch.tensor([10, 20])
    target = torch.tensor([[[12.3, 20.6], [9.4, 20.0], [torch.nan, torch.nan]]])
    place, known = place_in_window(target, window, 5)
    assert known[0].tolist() == [True, False, False]
    assert window[0, place[0, 0]].tolist() == [12, 21]


def test_sub_pixel_residual_is_the_distance_to_the_truth():
    network = MatchingNetwork(CONFIGS["tiny"])
    batch, one = moved_batch(dx=17.0, dy=8.0), features()
    place0, place1 = torch.tensor([[15, 10]]), torch.tensor([[6, 6]])
    found = sub_pixel_residual(network.fine, (one.fine0, one.fine1), batch, torch.tensor([0]), place0, place1)
    assert abs(found.item() - 1.0) < 0.01, "30 - 17 is 13; the untrained fine stage says 12"


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
