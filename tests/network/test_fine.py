"""The fine stage: template correlation of learned features."""

import pytest
import torch

from georeg.network import CONFIGS
from georeg.network.fine import FAINT, REACH, SHIFTS, FineMatcher, refined_shift, saturate, windows


def field(seed=0, rows=40, columns=48):
    return torch.randn(1, rows, columns, 24, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def matcher():
    return FineMatcher(CONFIGS["tiny"])


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-3, 3), (1, 2)])
@torch.inference_mode()
def test_a_shifted_picture_is_found_at_its_shift(matcher, shift):
    image = saturate(field())
    moved = image.roll((shift[1], shift[0]), (1, 2))
    centre = torch.tensor([[12, 15], [30, 20], [20, 25]])
    place0, place1, probability = matcher((image, moved), torch.zeros(3, dtype=torch.int64), centre, centre)
    torch.testing.assert_close(place0, 2.0 * centre)
    torch.testing.assert_close(
        place1 - place0, 2.0 * torch.tensor(shift).expand(3, 2).float(), atol=0.05, rtol=0
    )
    assert (probability > 0.9).all()


@torch.inference_mode()
def test_half_a_position_is_found_too(matcher):
    smooth = torch.nn.functional.avg_pool2d(field(rows=80, columns=96).permute(0, 3, 1, 2), 9, 1, 4)
    image, moved = smooth[..., ::2, ::2], smooth[..., ::2, 1::2]
    centre = torch.tensor([[20, 20], [15, 22], [30, 18]])
    maps = tuple(saturate(10 * m.permute(0, 2, 3, 1)) for m in (image, moved))
    place0, place1, _ = matcher(maps, torch.zeros(3, dtype=torch.int64), centre, centre)
    torch.testing.assert_close(place1 - place0, torch.tensor([[-1.0, 0.0]]).expand(3, 2), atol=0.35, rtol=0)


@torch.inference_mode()
def test_nothing_to_see_means_no_certainty(matcher):
    flat = torch.zeros(1, 40, 48, 24)
    centre = torch.tensor([[20, 20]])
    _, place1, probability = matcher((flat, flat), torch.tensor([0]), centre, centre)
    assert probability.item() <= 9.001 / SHIFTS**2
    assert place1.isfinite().all()


@torch.inference_mode()
def test_matches_at_the_border_stay_finite_and_near(matcher):
    image = saturate(field())
    centre = torch.tensor([[0, 0], [47, 39], [-4, 43]])
    _, place1, probability = matcher((image, image), torch.zeros(3, dtype=torch.int64), centre, centre)
    assert probability.isfinite().all()
    assert ((place1 - 2 * centre).abs() <= 2 * REACH + 2).all()


def test_windows_are_zero_off_the_grid():
    found = windows(torch.ones(1, 5, 6, 2), torch.tensor([0]), torch.tensor([[0, 4]]), 1)
    assert found[0, ..., 0].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]


@torch.inference_mode()
def test_the_scores_are_the_weighted_normalised_correlation(matcher):
    maps = saturate(field(1)), saturate(field(2))
    centre0, centre1 = torch.tensor([[14, 20]]), torch.tensor([[20, 17]])
    scores = matcher.scores(maps, torch.tensor([0]), centre0, centre1).view(SHIFTS, SHIFTS)
    weight = (matcher.weight()[:, None] * matcher.weight())[..., None]
    template = maps[0][0, 15:26, 9:20]
    for dx, dy in ((0, 0), (-3, 2), (3, 3)):
        window = maps[1][0, 17 + dy - 5 : 17 + dy + 6, 20 + dx - 5 : 20 + dx + 6]
        energy = (weight * template**2).sum() * (weight * window**2).sum()
        expected = matcher.log_sharpness.exp() * (weight * template * window).sum() / (energy + FAINT).sqrt()
        assert scores[dy + REACH, dx + REACH].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_weight_is_a_gaussian_of_sum_one(matcher):
    weight = matcher.weight()
    assert weight.sum().item() == pytest.approx(1)
    assert weight.argmax() == 5
    torch.testing.assert_close(weight, weight.flip(0))


@torch.inference_mode()
def test_the_energy_is_that_of_the_template_off_the_grid_too(matcher):
    fine_map = saturate(field(3))
    centre = torch.tensor([[20, 18], [0, 0], [50, -4]])
    images = torch.zeros(3, dtype=torch.int64)
    weight = (matcher.weight()[:, None] * matcher.weight())[..., None]
    energy = matcher.energy(fine_map, images, centre, REACH)
    for dx, dy in ((0, 0), (-3, 2), (3, 3)):
        template = windows(fine_map, images, centre + torch.tensor([dx, dy]), matcher.half_side)
        expected = (weight * template**2).sum((1, 2, 3))
        torch.testing.assert_close(energy[:, dy + REACH, dx + REACH], expected, atol=1e-6, rtol=1e-4)


def test_a_peak_at_the_rim_is_read_from_what_is_there():
    scores = torch.zeros(1, SHIFTS, SHIFTS)
    scores[0, 0, 6] = 20.0
    shift, probability = refined_shift(scores.flatten(1))
    torch.testing.assert_close(shift, torch.tensor([[6.0, 0.0]]), atol=1e-3, rtol=0)
    assert probability > 0.99
