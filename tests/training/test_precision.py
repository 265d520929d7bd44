"""Training with halves where the processor is made for them."""

import pytest
import torch

from georeg.network import CONFIGS, devices
from georeg.network.devices import halves_pay
from georeg.network.model import MatchingNetwork
from georeg.training.losses import LossWeights
from georeg.training.trainer import TrainingStep

from .test_losses import moved_batch


@pytest.mark.parametrize(
    ("half", "single", "pays"), [(1.0, 2.5, True), (1.0, 1.1, False), (300.0, 1.0, False)]
)
def test_halves_are_used_where_they_are_clearly_faster(monkeypatch, half, single, pays):
    seconds = {torch.bfloat16: half, torch.float32: single}
    monkeypatch.setattr(devices, "fastest_product", lambda matrix: seconds[matrix.dtype])
    assert halves_pay.__wrapped__(torch.device("cpu")) is pays


def test_halves_are_used_on_cards_without_asking():
    assert halves_pay(torch.device("cuda"))


def test_a_step_with_halves_is_nearly_the_step_without():
    torch.manual_seed(0)
    network, batch = MatchingNetwork(CONFIGS["tiny"]).eval(), moved_batch()
    found = {}
    for halves in (False, True):
        network.zero_grad()
        total, _ = TrainingStep(network, LossWeights(), halves)(batch, torch.Generator().manual_seed(0))
        total.backward()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters()])
        found[halves] = total.item(), gradient
    assert found[True][0] == pytest.approx(found[False][0], rel=0.02)
    assert found[True][0] != found[False][0], "the halves were really used"
    assert torch.cosine_similarity(found[True][1], found[False][1], dim=0) > 0.98
