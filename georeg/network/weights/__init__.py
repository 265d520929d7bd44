"""The weights register: shipped weights by name, any others by path; safetensors with the config in their metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from georeg.errors import InputError, ResourceError, UsageError
from georeg.network.config import NetworkConfig
from georeg.network.model import MatchingNetwork

FOLDER = Path(__file__).resolve().parent
CONFIG_KEY = "georeg_network"
PREFERRED = ("base", "tiny")


@dataclass(frozen=True)
class Weights:
    """One file of weights.

    Attributes:
        name: of the register, or the file's own name.
        path: where it lies.
        config: of the network it belongs to.
        sha256: hex digest of the file.
        notes: the other metadata, such as "steps".
    """

    name: str
    path: Path
    config: NetworkConfig
    sha256: str
    notes: Mapping[str, str]


def shipped() -> tuple[str, ...]:
    """Names of the weights that came with georeg, the preferred one first."""
    found = {path.stem for path in FOLDER.glob("*.safetensors")}
    first = [name for name in PREFERRED if name in found]
    return (*first, *sorted(found - set(first)))


def find_weights(name_or_path: str | Path | None = None) -> Weights:
    """Look weights up by name or path; None takes the preferred shipped ones.

    Raises:
        UsageError: no such name and no such file.
        InputError: the file is not georeg weights, or damaged.
    """
    path = resolve(name_or_path)
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = dict(stream.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable safetensors file: {error}") from error
    if CONFIG_KEY not in metadata:
        raise InputError(f"{path} holds no georeg network: its metadata lack {CONFIG_KEY!r}")
    config = NetworkConfig.from_json(metadata.pop(CONFIG_KEY))
    return Weights(path.stem, path, config, sha256_of(path), metadata)


def resolve(name_or_path: str | Path | None) -> Path:
    """The file behind a name, a path or None."""
    names = shipped()
    if name_or_path is None:
        if not names:
            raise UsageError(
                "no weights came with this georeg: give a file with --weights, or --matcher structural"
            )
        return FOLDER / f"{names[0]}.safetensors"
    if str(name_or_path) in names:
        return FOLDER / f"{name_or_path}.safetensors"
    path = Path(name_or_path)
    if not path.is_file():
        raise UsageError(
            f"no weights {str(name_or_path)!r}: give a file or one of {', '.join(names) or 'none shipped'}"
        )
    return path


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


def sha256_of(path: str | Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
