"""A larger network that begins where a smaller one has come to."""

from dataclasses import replace

import pytest
import torch

from georeg.errors import InputError
from georeg.network import CONFIGS
from georeg.network.grow import grow_state, places
from georeg.network.model import MatchingNetwork

TINY = CONFIGS["tiny"]
DEEPER = replace(TINY, name="deeper", layers=3)
WIDER = replace(TINY, name="wider", channels=(24, 48, 144), heads=6)


@pytest.fixture
def trained():
    """The state of a small network whose running statistics and embeddings are no longer those of the start."""
    torch.manual_seed(0)
    network = MatchingNetwork(TINY).train()
    for _ in range(3):
        network(*views(0), *valid())
    with torch.no_grad():
        network.token.embedding.normal_(std=0.1)
    return network.eval()


def views(seed):
    noise = torch.randn(2, 1, 1, 24, 24, generator=torch.Generator().manual_seed(seed))
    first, second = torch.nn.functional.interpolate(
        noise.flatten(1, 2), scale_factor=4, mode="bicubic"
    ).unsqueeze(2)
    return first, second


def valid():
    return torch.ones(1, 1, 96, 96, dtype=torch.bool), torch.ones(1, 1, 96, 96, dtype=torch.bool)


def grown(trained, config):
    torch.manual_seed(1)
    network = MatchingNetwork(config)
    network.load_state_dict(grow_state(trained.state_dict(), TINY, network))
    return network


@torch.inference_mode()
def test_more_layers_change_nothing_at_first(trained):
    before, after = (n.eval()(*views(5), *valid()) for n in (trained, grown(trained, DEEPER)))
    torch.testing.assert_close(after.coarse0, before.coarse0, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.fine1, before.fine1, atol=1e-5, rtol=1e-4)


def test_what_was_there_is_there_and_reads_nothing_new(trained):
    old, new = trained.state_dict(), grown(trained, WIDER).state_dict()
    name = "interaction.cross_layers.1.expand.weight"
    rows = new[name][:192]
    assert torch.equal(torch.cat([rows[:, :96], rows[:, 144:240]], 1), old[name])
    assert not rows[:, 96:144].any()
    assert not rows[:, 240:].any()
    kernel = new["backbone.at_eighth.1.weight3"]
    assert torch.equal(kernel[:96, :96], old["backbone.at_eighth.1.weight3"])
    assert not kernel[:96, 96:].any()
    keys, values = new["interaction.self_layers.0.key_value.weight"].chunk(2)
    assert torch.equal(
        torch.cat([keys[:96, :96], values[:96, :96]]), old["interaction.self_layers.0.key_value.weight"]
    )


@torch.inference_mode()
def test_a_wider_backbone_has_the_same_first_channels(trained):
    image = views(3)[0]
    before, after = trained.backbone(image)[2], grown(trained, WIDER).eval().backbone(image)[2]
    torch.testing.assert_close(after[:, :96], before)
    assert after[:, 96:].abs().mean() > 0.1, "the new channels say something from the start"


def test_all_that_is_new_learns():
    torch.manual_seed(0)
    small = MatchingNetwork(TINY)
    network = grown(small, CONFIGS["small"]).train()
    start = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    for seed in range(3):
        features = network(*views(seed), *valid())
        centre = torch.tensor([[9, 9], [20, 30]])
        shifts = network.fine.scores(
            (features.fine0, features.fine1), torch.tensor([0, 0]), centre, centre + 1
        )
        loss = (features.coarse0 @ features.coarse1.transpose(1, 2)).square().mean()
        loss = loss + features.modality0.square().mean() - shifts.log_softmax(1)[:, 10].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if torch.equal(p, start[name])]
    assert still == []


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, name="odd", channels=(24, 48, 128)),
        replace(WIDER, name="blocks", blocks=(0, 2, 3)),
        CONFIGS["base"],
        replace(TINY, name="flat", layers=1),
    ],
)
def test_no_growth_into_another_shape(trained, config):
    with pytest.raises(InputError, match="cannot begin with weights of 'tiny'"):
        grown(trained, config)


def test_places():
    assert places(4, 6, 1).tolist() == [0, 1, 2, 3]
    assert places(4, 6, 2).tolist() == [0, 1, 3, 4]
