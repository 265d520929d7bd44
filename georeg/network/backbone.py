"""The convolutional part: one grey channel to features at 1/2, 1/4 and 1/8.

Blocks are re-parameterisable in the manner of RepVGG (Ding et al., CVPR 2021): a 3x3, a 1x1 and an identity branch that
become one 3x3 convolution. Here the branches share one normalisation, so that the kernels can be added before the
convolution and a training step costs no more than a plain network's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from georeg.network.config import NetworkConfig


class RepBlock(nn.Module):
    """3x3 + 1x1 + identity, batch norm, rectifier; `fuse` folds all into one convolution with a bias."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, activation: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.activation = activation
        self.weight3 = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        self.weight1 = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        nn.init.kaiming_normal_(self.weight3, nonlinearity="relu")
        nn.init.kaiming_normal_(self.weight1, nonlinearity="relu")
        with_identity = stride == 1 and channels_in == channels_out
        self.identity = nn.Parameter(torch.ones(channels_out)) if with_identity else None
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(channels_out)
        self.bias: Tensor | None
        self.register_buffer("bias", None)

    def kernel(self) -> Tensor:
        """(out, in, 3, 3): the three branches as one kernel."""
        centre: Tensor = self.weight1
        if self.identity is not None:
            centre = centre + torch.diag(self.identity)[:, :, None, None]
        return self.weight3 + F.pad(centre, (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is None:
            x = F.conv2d(x, self.weight3, self.bias, self.stride, padding=1)
        else:
            x = self.norm(F.conv2d(x, self.kernel(), None, self.stride, padding=1))
        return F.relu_(x) if self.activation else x

    @torch.no_grad()
    def fuse(self) -> None:
        """Fold branches and normalisation into one kernel and bias; for inference only, cannot be undone."""
        if self.norm is None:
            return
        scale, bias = folded_norm(self.norm)
        fused = nn.Parameter((self.kernel() * scale[:, None, None, None]).contiguous(), requires_grad=False)
        self.weight3 = fused
        del self.weight1
        self.bias = bias
        self.identity = None
        self.norm = None


def folded_norm(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(scale, bias) that a batch norm applies in evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


class Stem(nn.Module):
    """5x5 convolution with stride 2 from the grey image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, 5, stride=2, padding=2, bias=False)
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return F.relu_(x if self.norm is None else self.norm(x))

    @torch.no_grad()
    def fuse(self) -> None:
        if self.norm is None:
            return
        scale, bias = folded_norm(self.norm)
        self.conv.weight.mul_(scale[:, None, None, None])
        self.conv.bias = nn.Parameter(bias, requires_grad=False)
        self.norm = None


class Backbone(nn.Module):
    """Features of a grey image at 1/2, 1/4 and 1/8; position k of a grid with step s stands at pixel centre s k."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.channels
        blocks = config.blocks
        self.stem = Stem(half)
        self.at_half = nn.Sequential(*(RepBlock(half, half) for _ in range(blocks[0])))
        self.at_quarter = stage(half, quarter, blocks[1])
        self.at_eighth = stage(quarter, eighth, blocks[2])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 1, H, W) to features at 1/2, 1/4 and 1/8."""
        half = self.at_half(self.stem(image))
        quarter = self.at_quarter(half)
        return half, quarter, self.at_eighth(quarter)


def stage(channels_in: int, channels_out: int, blocks: int) -> nn.Sequential:
    """One halving block and `blocks` more."""
    rest = (RepBlock(channels_out, channels_out) for _ in range(blocks))
    return nn.Sequential(RepBlock(channels_in, channels_out, stride=2), *rest)
