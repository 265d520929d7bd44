"""Tensors of a network, read from and written to files of the weights register."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from georeg.errors import InputError, ResourceError
from georeg.network.config import NetworkConfig
from georeg.network.model import MatchingNetwork
from georeg.network.weights import CONFIG_KEY, Weights


def load_state(weights: Weights) -> dict[str, Tensor]:
    """All tensors of the file as float32 (halves are widened), on the CPU."""
    try:
        with safe_open(weights.path, framework="pt") as stream:
            state = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{weights.path} cannot be read: {error}") from error
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_network(weights: Weights) -> MatchingNetwork:
    """The network with these weights, in evaluation mode, not fused.

    Raises:
        InputError: the tensors do not fit the network the file says it is.
    """
    network = MatchingNetwork(weights.config)
    fill_network(network, load_state(weights), str(weights.path))
    return network.eval()


def fill_network(network: MatchingNetwork, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy tensors into the network; raises InputError with the first names that do not fit."""
    own = network.state_dict()
    wrong = sorted(name for name in own.keys() | state.keys() if _shape(own, name) != _shape(state, name))
    if wrong:
        shown = ", ".join(wrong[:3])
        raise InputError(
            f"{origin} does not fit network {network.config.name!r}: {len(wrong)} tensors, e.g. {shown}"
        )
    network.load_state_dict(state)


def _shape(state: Mapping[str, Tensor], name: str) -> torch.Size | None:
    return state[name].shape if name in state else None


def save_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    config: NetworkConfig,
    notes: Mapping[str, str],
    half: bool = False,
) -> None:
    """Write tensors as safetensors, beside the final name and then renamed.

    Args:
        path: the file to write.
        state: state_dict of an unfused network.
        config: of the network.
        notes: further metadata, such as steps.
        half: store floating point as float16.

    Raises:
        ResourceError: the file cannot be written (disk full); an older file of that name survives.
    """
    path = Path(path)
    tensors = {}
    for name, tensor in state.items():
        value = tensor.detach().to("cpu")
        tensors[name] = (value.half() if half and value.is_floating_point() else value.clone()).contiguous()
    partial = path.with_name(path.name + ".part")
    try:
        save_file(tensors, partial, metadata={**notes, CONFIG_KEY: config.to_json()})
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise ResourceError(
            f"cannot write {path}: {error}; free some space and go on with --resume"
        ) from error
