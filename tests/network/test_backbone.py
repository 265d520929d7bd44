import pytest
import torch

from georeg.network.backbone import Backbone, RepBlock, Stem
from georeg.network.config import CONFIGS


def lively(module):
    """Give the norms statistics that differ from their initial ones."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
    return module.eval()


@pytest.mark.parametrize(("channels", "stride"), [((6, 6), 1), ((6, 10), 1), ((6, 6), 2)])
@torch.inference_mode()
def test_fused_block_is_the_same_function(channels, stride):
    torch.manual_seed(0)
    block = lively(RepBlock(*channels, stride=stride))
    x = torch.randn(2, channels[0], 12, 16)
    before = block(x)
    block.fuse()
    assert len(list(block.parameters())) == 1
    torch.testing.assert_close(block(x), before, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_block_is_the_sum_of_its_three_branches():
    block = RepBlock(4, 4, activation=False).eval()
    x = torch.randn(1, 4, 8, 8)
    branches = torch.nn.functional.conv2d(x, block.weight3, padding=1)
    branches = branches + torch.nn.functional.conv2d(x, block.weight1) + x
    torch.testing.assert_close(block(x), block.norm(branches), atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_stem_fuses():
    stem = lively(Stem(5))
    x = torch.randn(1, 1, 16, 16)
    before = stem(x)
    stem.fuse()
    torch.testing.assert_close(stem(x), before, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_levels_halve():
    half, quarter, eighth = Backbone(CONFIGS["tiny"]).eval()(torch.randn(1, 1, 64, 96))
    assert [tuple(t.shape[1:]) for t in (half, quarter, eighth)] == [(24, 32, 48), (48, 16, 24), (96, 8, 12)]
