import numpy as np
import pytest
import torch

from georeg.errors import ResourceError, UsageError
from georeg.matching.network import NetworkMatcher
from georeg.matching.protocol import PatchPair
from georeg.network import CONFIGS
from georeg.network.model import MatchingNetwork
from georeg.network.state import save_weights
from georeg.network.weights import sha256_of
from georeg.scene import Modality, Patch


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    network = MatchingNetwork(CONFIGS["tiny"])
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, network.state_dict(), network.config, {})
    return path


def patch(rows=96, cols=96, seed=0, start=0):
    noise = torch.randn(1, 1, 60, 60, generator=torch.Generator().manual_seed(seed))
    whole = torch.nn.functional.interpolate(noise, (240, 240), mode="bicubic", align_corners=False)[
        0, 0
    ].numpy()
    pixels = whole[start : start + rows, start : start + cols].astype(np.float32)
    return Patch(pixels, np.ones(pixels.shape, bool), Modality.OPTICAL)


def test_centres_become_corners(weights):
    matcher = NetworkMatcher(weights, "cpu", threshold=0.0)
    found = matcher.match([PatchPair(patch(), patch())])[0]
    assert len(found) > 50
    np.testing.assert_allclose(found.moving_xy, found.reference_xy, atol=0.02)
    fraction = np.unique(found.moving_xy % 2)
    np.testing.assert_allclose(fraction, [0.5], err_msg="fine positions stand at even pixel centres")


def test_unrefined_matches_lie_near_the_refined_ones(weights):
    pair = PatchPair(patch(), patch(start=3))
    fine = NetworkMatcher(weights, "cpu", threshold=0.0).match([pair])[0]
    coarse = NetworkMatcher(weights, "cpu", threshold=0.0, refine=False).match([pair])[0]
    assert len(coarse) >= len(fine) > 50
    nearest = np.abs(fine.moving_xy[:, None] - coarse.moving_xy).max(-1).min(1)
    assert nearest.max() <= 1.0


def test_windows_of_any_size_and_order(weights):
    matcher = NetworkMatcher(weights, "cpu", threshold=0.0)
    sizes = [((96, 96), (96, 96)), ((70, 101), (96, 50)), ((96, 96), (96, 96))]
    pairs = [PatchPair(patch(*a, seed=i), patch(*b, seed=i)) for i, (a, b) in enumerate(sizes)]
    found = matcher.match(pairs)
    assert len(found) == 3
    for one, (moving, reference) in zip(found, sizes, strict=True):
        assert (one.moving_xy <= [moving[1], moving[0]]).all()
        assert (one.reference_xy <= [reference[1], reference[0]]).all()
    alone = matcher.match(pairs[2:])[0]
    assert abs(len(alone) - len(found[2])) <= 2
    assert ((found[0].confidence >= 0) & (found[0].confidence <= 1)).all()


def test_invalid_pixels_are_not_matched(weights):
    whole = patch()
    valid = whole.valid.copy()
    valid[:, :48] = False
    half = Patch(np.where(valid, whole.pixels, 0).astype(np.float32), valid, whole.modality)
    found = NetworkMatcher(weights, "cpu", threshold=0.0).match([PatchPair(half, whole)])[0]
    assert found.moving_xy[:, 0].min() > 36


def test_only_the_most_confident_matches_are_kept(weights):
    pair = PatchPair(patch(), patch(seed=2))
    everything = NetworkMatcher(weights, "cpu", threshold=0.0).match([pair])[0]
    some = NetworkMatcher(weights, "cpu", threshold=0.0, most=20).match([pair])[0]
    assert len(some) == 20 < len(everything)
    assert some.confidence.min() >= np.sort(everything.confidence)[-20] - 1e-9


def test_nothing_to_match(weights):
    empty = Patch(np.zeros((64, 64), np.float32), np.zeros((64, 64), bool), Modality.SAR)
    scrap = patch(10, 64)
    found = NetworkMatcher(weights, "cpu").match([PatchPair(empty, patch()), PatchPair(patch(), scrap)])
    assert [len(f) for f in found] == [0, 0]
    assert NetworkMatcher(weights, "cpu").match([]) == []


def test_the_batch_is_halved_when_memory_runs_out(weights, monkeypatch):
    matcher = NetworkMatcher(weights, "cpu", threshold=0.0, batch=4)
    real = matcher.match_batch

    def limited(pairs, shape):
        if len(pairs) > 1:
            raise torch.OutOfMemoryError("too much")
        return real(pairs, shape)

    monkeypatch.setattr(matcher, "match_batch", limited)
    found = matcher.match([PatchPair(patch(seed=i), patch(seed=i)) for i in range(4)])
    assert matcher.batch == 1
    assert all(len(f) > 0 for f in found)


def test_no_memory_for_a_single_pair(weights, monkeypatch):
    matcher = NetworkMatcher(weights, "cpu")

    def never(pairs, shape):
        raise torch.OutOfMemoryError("too much")

    monkeypatch.setattr(matcher, "match_batch", never)
    with pytest.raises(ResourceError, match="smaller tiles"):
        matcher.match([PatchPair(patch(), patch())])


def test_names(weights):
    matcher = NetworkMatcher(weights, "cpu")
    assert (matcher.name, matcher.weights_sha256) == ("network", sha256_of(weights))
    with pytest.raises(UsageError, match="no device"):
        NetworkMatcher(weights, "abacus")


def test_a_process_loads_the_same_weights_once(weights):
    first, second = NetworkMatcher(weights, "cpu"), NetworkMatcher(weights, "cpu")
    assert first.network is second.network
