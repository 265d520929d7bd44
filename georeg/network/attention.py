"""Self and cross attention over the 1/8 grid, with keys and values aggregated stepwise.

Queries stay at the full grid; keys and values are reduced by a 2x2 mean and, for a reduction of 4, by a strided
depthwise convolution as well (the aggregated attention of Efficient LoFTR, Wang et al., CVPR 2024, and of DGIM).
Self layers turn queries and keys by their place (two-axis rotary positions, Su et al. 2021).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from georeg.network.config import NetworkConfig

ROTARY_BASE = 100.0


class Aggregation(nn.Module):
    """(B, H, W, C) to (B, H / r, W / r, C)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.reduction = reduction
        self.conv = None
        if reduction == 4:
            self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
            nn.init.constant_(self.conv.weight, 1.0 / 9.0)

    def forward(self, x: Tensor) -> Tensor:
        if self.reduction == 1:
            return x
        x = F.avg_pool2d(x.permute(0, 3, 1, 2), 2)
        if self.conv is not None:
            x = self.conv(x)
        return x.permute(0, 2, 3, 1)


def rotary_table(
    height: int, width: int, step: float, channels: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines for a grid whose neighbours are `step` cells apart, each (height width, channels / 2).

    The first half of the angles follows x, the second half y.
    """
    count = channels // 4
    frequency = ROTARY_BASE ** (-torch.arange(count, device=device) / count)
    place = (step - 1) / 2
    x = (torch.arange(width, device=device) * step + place)[None, :, None] * frequency
    y = (torch.arange(height, device=device) * step + place)[:, None, None] * frequency
    angle = torch.cat([x.expand(height, -1, -1), y.expand(-1, width, -1)], -1).flatten(0, 1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn (..., N, D) by the table's angles, pairing channel k with channel k + D / 2."""
    cosine, sine = (t.to(x.dtype) for t in table)
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


class AttentionLayer(nn.Module):
    """Each cell of `x` gathers a message from `source` (itself, or the other image) and is updated by it."""

    def __init__(self, channels: int, heads: int, reduction: int, rotary: bool) -> None:
        super().__init__()
        self.heads = heads
        self.rotary = rotary
        self.aggregate = Aggregation(channels, reduction)
        self.norm_x = nn.LayerNorm(channels)
        self.norm_source = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.merge = nn.Linear(channels, channels, bias=False)
        self.expand = nn.Linear(2 * channels, 2 * channels)
        self.contract = nn.Linear(2 * channels, channels)
        nn.init.zeros_(self.contract.bias)

    def forward(self, x: Tensor, source: Tensor, source_mask: Tensor | None) -> Tensor:
        """x (B, H, W, C), source (B, H', W', C), source_mask (B, 1, 1, K) bool over the reduced cells."""
        b, h, w, c = x.shape
        normed = self.norm_x(x)
        aggregated = self.norm_source(self.aggregate(source))
        query = self.split(self.query(normed.flatten(1, 2)))
        key, value = (self.split(t) for t in self.key_value(aggregated.flatten(1, 2)).chunk(2, -1))
        if self.rotary:
            query, key = self.turn(query, key, (h, w), (aggregated.shape[1], aggregated.shape[2]))
        message = attend(query, key, value, source_mask)
        message = self.merge(message.transpose(1, 2).reshape(b, h, w, c))
        update = self.contract(F.relu_(self.expand(torch.cat([normed, message], -1))))
        return x + update

    def split(self, x: Tensor) -> Tensor:
        """(B, N, C) to (B, heads, N, C / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def turn(
        self, query: Tensor, key: Tensor, query_shape: tuple[int, int], key_shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        channels, device = query.shape[-1], query.device
        step = float(self.aggregate.reduction)
        query = rotate(query, rotary_table(*query_shape, 1.0, channels, device))
        return query, rotate(key, rotary_table(*key_shape, step, channels, device))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention, (B, heads, N, D); in single precision on CPUs, whose kernel for halves is slow."""
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=mask)


class Interaction(nn.Module):
    """Alternating self and cross attention of two images."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        shape = (config.channels[2], config.heads, config.reduction)
        self.reduction = config.reduction
        self.self_layers = nn.ModuleList(AttentionLayer(*shape, rotary=True) for _ in range(config.layers))
        self.cross_layers = nn.ModuleList(AttentionLayer(*shape, rotary=False) for _ in range(config.layers))

    def forward(self, x0: Tensor, x1: Tensor, valid0: Tensor, valid1: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, H, W, C) of both images and their valid cells (B, H, W) bool; sizes may differ between the images."""
        mask0, mask1 = self.key_mask(valid0), self.key_mask(valid1)
        if x0.shape == x1.shape:
            return self.together(torch.cat([x0, x1]), torch.cat([mask0, mask1]))
        for self_layer, cross_layer in zip(self.self_layers, self.cross_layers, strict=True):
            x0, x1 = self_layer(x0, x0, mask0), self_layer(x1, x1, mask1)
            x0, x1 = cross_layer(x0, x1, mask1), cross_layer(x1, x0, mask0)
        return x0, x1

    def together(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images of one size, stacked along the batch: half as many, larger operations."""
        half = len(x) // 2
        other_mask = mask.roll(half, 0)
        for self_layer, cross_layer in zip(self.self_layers, self.cross_layers, strict=True):
            x = self_layer(x, x, mask)
            x = cross_layer(x, x.roll(half, 0), other_mask)
        return x[:half], x[half:]

    def key_mask(self, valid: Tensor) -> Tensor:
        """(B, 1, 1, K) bool: reduced cells with any valid cell in them; all of them where an image has none."""
        b, h, w = valid.shape
        r = self.reduction
        mask = valid.view(b, h // r, r, w // r, r).amax((2, 4)).flatten(1)
        return (mask | ~mask.any(1, keepdim=True))[:, None, None]
