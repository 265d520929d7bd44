import torch

from georeg.network.coarse import match_cells

SHAPE = (6, 7)


def moved_descriptors(dx=2, dy=1, sharpness=30.0):
    """Cell (r, c) of the second grid carries the descriptor of cell (r + dy, c + dx) of the first."""
    unit = torch.eye(SHAPE[0] * SHAPE[1]).view(*SHAPE, -1) * sharpness**0.5
    second = torch.zeros_like(unit)
    second[: SHAPE[0] - dy, : SHAPE[1] - dx] = unit[dy:, dx:]
    return unit.flatten(0, 1)[None], second.flatten(0, 1)[None]


def everywhere():
    return torch.ones(1, SHAPE[0] * SHAPE[1], dtype=torch.bool)


def test_finds_a_known_move_and_nothing_else():
    found = match_cells(moved_descriptors(), (everywhere(), everywhere()), (SHAPE, SHAPE), 0.3)
    assert len(found.cell0) == (SHAPE[0] - 1) * (SHAPE[1] - 2)
    r0, c0, r1, c1 = (found.cell0 // 7, found.cell0 % 7, found.cell1 // 7, found.cell1 % 7)
    assert (r0 - r1 == 1).all()
    assert (c0 - c1 == 2).all()
    assert found.confidence.min() > 0.9
    assert found.offset1.abs().max() < 0.05


def test_invalid_cells_are_left_out():
    valid0 = everywhere()
    valid0[0, 7:14] = False
    found = match_cells(moved_descriptors(), (valid0, everywhere()), (SHAPE, SHAPE), 0.3)
    assert not ((found.cell0 >= 7) & (found.cell0 < 14)).any()
    assert len(found.cell0) == (SHAPE[0] - 2) * (SHAPE[1] - 2)


def test_union_of_both_directions():
    first, second = moved_descriptors(0, 0)
    second[0, 1] = second[0, 0]
    found = match_cells((first, second), (everywhere(), everywhere()), (SHAPE, SHAPE), 0.3)
    pairs = set(zip(found.cell0.tolist(), found.cell1.tolist(), strict=True))
    assert {(0, 0), (0, 1)} <= pairs, "two columns ask for the same row, and both are heard"
    assert len(pairs) == len(found.cell0), "no match is told twice"


def test_a_point_between_two_cells_is_placed_between_them():
    first, second = moved_descriptors(0, 0, sharpness=12.0)
    between = (second[0, 16] + second[0, 17]) / 2**0.5
    first[0, 16] = between
    found = match_cells((first, second), (everywhere(), everywhere()), (SHAPE, SHAPE), 0.2)
    row = (found.cell0 == 16).nonzero()[0, 0]
    place = found.cell1[row] % 7 + found.offset1[row, 0]
    assert abs(place - 2.5) < 0.05
