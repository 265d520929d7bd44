from dataclasses import replace

import pytest
import torch

from georeg.network import CONFIGS, model
from georeg.network.config import FINE_PX
from georeg.network.fine import REACH
from georeg.network.model import MatchingNetwork, valid_cells


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MatchingNetwork(CONFIGS["tiny"]).eval()


def scene(rows=96, cols=128, seed=0):
    noise = torch.randn(1, 1, rows // 4, cols // 4, generator=torch.Generator().manual_seed(seed))
    image = torch.nn.functional.interpolate(noise, (rows, cols), mode="bicubic", align_corners=False)
    return (image - image.mean()) / image.std()


def all_of(image):
    return torch.ones_like(image, dtype=torch.bool)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("tiny", 0.5, 0.9), ("small", 1.6, 2.1), ("base", 4.0, 6.5)]
)
def test_sizes(name, low, high):
    millions = sum(p.numel() for p in MatchingNetwork(CONFIGS[name]).parameters()) / 1e6
    assert low < millions < high


@torch.inference_mode()
def test_an_image_matches_itself_in_place(network):
    image = scene()
    features = network(image, image, all_of(image), all_of(image))
    place0, place1, confidence = network.matches(features, 0.0)[0]
    assert len(confidence) >= 12 * 16 // 2
    torch.testing.assert_close(place0, place1, atol=0.01, rtol=0)


@torch.inference_mode()
def test_swapping_the_images_swaps_the_answer(network):
    first, second = scene(seed=1), scene(seed=2)
    there = network(first, second, all_of(first), all_of(second))
    back = network(second, first, all_of(second), all_of(first))
    torch.testing.assert_close(there.coarse0, back.coarse1, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(there.fine1, back.fine0, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_images_of_different_size_agree_with_a_batch_of_one(network):
    first, second = scene(64, 96), scene(96, 64)
    features = network(first, second, all_of(first), all_of(second))
    assert features.shape0 == (8, 12)
    assert features.shape1 == (12, 8)
    assert features.fine1.shape == (1, 48, 32, 24)


@torch.inference_mode()
def test_fusing_changes_nothing(network):
    image, other = scene(), scene(seed=3)
    before = network(image, other, all_of(image), all_of(other))
    fused = MatchingNetwork(network.config)
    fused.load_state_dict(network.state_dict())
    after = fused.fuse()(image, other, all_of(image), all_of(other))
    torch.testing.assert_close(after.coarse0, before.coarse0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.fine0, before.fine0, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_other_images_category_is_injected_and_can_be_given(network):
    torch.nn.init.normal_(network.token.embedding)
    image = scene()
    inferred = network(image, image, all_of(image), all_of(image))
    given = torch.tensor([1])
    told0 = network(image, image, all_of(image), all_of(image), given0=given)
    unknown = network(image, image, all_of(image), all_of(image), given0=torch.tensor([-1]))
    assert not torch.allclose(told0.coarse1, inferred.coarse1, atol=1e-3)
    torch.testing.assert_close(unknown.coarse1, inferred.coarse1)
    torch.nn.init.zeros_(network.token.embedding)


@torch.inference_mode()
def test_the_token_can_be_left_out():
    plain = MatchingNetwork(replace(CONFIGS["tiny"], modality_token=False)).eval()
    image = scene(32, 32)
    assert plain(image, image, all_of(image), all_of(image)).modality0 is None


def test_a_cell_is_valid_when_half_of_it_is():
    valid = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    valid[..., :8, :4] = True
    valid[..., :8, 8:11] = True
    assert valid_cells(valid).tolist() == [[[True, False], [False, False]]]


@torch.inference_mode()
def test_matches_are_the_same_however_many_are_refined_at_once(network, monkeypatch):
    image, other = scene(), scene(seed=1)
    features = network(image, other, all_of(image), all_of(other))
    whole = network.matches(features, 0.0)[0]
    monkeypatch.setattr(model, "FINE_MATCHES", 7)
    for one, other in zip(network.matches(features, 0.0)[0], whole, strict=True):
        torch.testing.assert_close(one, other)
    assert len(whole[0]) > 7
    assert all(len(t) == 0 for t in network.matches(features, 2.0)[0])


@torch.inference_mode()
def test_without_the_fine_stage_matches_stay_in_their_cells(network):
    first, second = scene(seed=6), scene(seed=7)
    valid = all_of(first)
    features = network(first, second, valid, valid, refine=False)
    assert features.fine0 is None
    assert features.fine1 is None
    coarse0, coarse1, _ = network.matches(features, 0.0)[0]
    fine0, fine1, _ = network.matches(network(first, second, valid, valid), 0.0)[0]
    assert len(coarse0) == len(fine0)
    assert ((coarse0 - fine0).abs() <= 1.0).all()  # rounded to the fine grid
    assert ((coarse1 - fine1).abs() <= FINE_PX * (REACH + 2)).all()
