"""Begin a larger network where a smaller one has come to, instead of from chance.

After Net2Net (Chen, Goodfellow and Shlens, ICLR 2016): what the smaller network knows is copied, what is new has random
weights on its way in and none on its way out. So the larger network computes at first what the smaller one did (but for
the layer norms, which see the new channels too), and all that is new learns.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from georeg.errors import InputError
from georeg.network.config import NetworkConfig
from georeg.network.model import MatchingNetwork

NEW_DESCRIPTOR_SHARE = 0.1
"""New dimensions of the descriptor begin this small; were both images' zero, they would get no gradient."""

ROW_BLOCKS = {"key_value": 2}
COLUMN_BLOCKS = {"expand": 2, "classify": 2}
"""Matrices whose rows or columns are several vectors one after the other, each of which grows at its own end."""


def grow_state(
    state: Mapping[str, Tensor], before: NetworkConfig, network: MatchingNetwork
) -> dict[str, Tensor]:
    """State of `network`, freshly made, with what a smaller network has learnt.

    Args:
        state: state_dict of the smaller network.
        before: its shape.
        network: the larger one: wider at 1/8 by whole heads, with more layers, or both; else the same.

    Raises:
        InputError: it does not grow out of the smaller one.
    """
    check_growth(before, network.config)
    grown = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for name in grown:
        if name in state:
            grown[name] = grow_tensor(name, state[name], grown[name])
        elif name.endswith("contract.weight"):
            grown[name].zero_()  # a new layer adds nothing yet
    return grown


def check_growth(before: NetworkConfig, after: NetworkConfig) -> None:
    """Raise InputError unless a network of shape `after` can hold one of shape `before`."""
    wider = (
        after.heads * before.channels[2] == before.heads * after.channels[2] and after.heads >= before.heads
    )
    same = ("blocks", "reduction", "fine_channels", "modality_token")
    alike = all(getattr(before, name) == getattr(after, name) for name in same)
    deeper = after.layers >= before.layers
    if not (wider and deeper and alike and before.channels[:2] == after.channels[:2]):
        raise InputError(
            f"a network {after.name!r} cannot begin with weights of {before.name!r}: it may be wider at 1/8 by whole "
            f"heads, or have more layers, and must be the same otherwise"
        )


def grow_tensor(name: str, old: Tensor, new: Tensor) -> Tensor:
    """`new` with `old` in it: what was there before reads nothing of what is new."""
    if old.shape == new.shape:
        return old.clone()
    layer, kind = name.split(".")[-2:]
    if layer == "project":
        new *= NEW_DESCRIPTOR_SHARE
    if kind == "token":
        new.zero_()
    if layer == "norm" and kind in ("weight", "bias"):
        new[:] = old.mean()  # new channels as strong as the others
    rows = places(len(old), len(new), ROW_BLOCKS.get(layer, 1))
    if old.dim() == 1:
        new[rows] = old
        return new
    whole = torch.zeros(len(old), *new.shape[1:])
    whole[:, places(old.shape[1], new.shape[1], COLUMN_BLOCKS.get(layer, 1))] = old
    new[rows] = whole
    return new


def places(before: int, after: int, blocks: int) -> Tensor:
    """Where `before` values lie among `after`, both of so many equal blocks, each grown at its end: (before,) int64."""
    block = torch.arange(before // blocks)
    return torch.cat([block + k * (after // blocks) for k in range(blocks)])
