"""Checkpoints that survive a full disk, and a shadow copy of the weights that averages over steps."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from georeg.errors import InputError, ResourceError

FORMAT = "georeg.checkpoint/1"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write beside the final name and rename; raises ResourceError, and the older checkpoint survives."""
    partial = path.with_name(path.name + ".part")
    try:
        torch.save({"format": FORMAT, **content}, partial)
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise ResourceError(
            f"cannot write the checkpoint {path}: {error}; the last good one is still there: "
            "free some space and go on with --resume"
        ) from error


def load_checkpoint(path: Path, network: str, training: str) -> dict[str, Any]:
    """Read a checkpoint of the same network.

    Args:
        path: the file.
        network: JSON of the network config this run has.
        training: JSON of the training config this run has.

    Raises:
        InputError: missing, damaged, or of another network or another run.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"nothing to resume: {path} does not exist; leave --resume out to begin") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"the checkpoint {path} cannot be read: {error}; begin again with --init weights"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of georeg")
    if content["network"] != network:
        raise InputError(
            f"the checkpoint {path} is of another network config: {content['network']} instead of {network}"
        )
    if content["training"] != training:
        raise InputError(
            f"the checkpoint {path} is of another training config: resume with the config the run was begun with "
            f"({path.parent / 'config.json'}), or begin a new run with --init {path.parent / 'weights.safetensors'}"
        )
    return content


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers, quick at the start."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        live = network.state_dict()
        floating = [name for name, tensor in self.state.items() if tensor.is_floating_point()]
        averages: list[Tensor] = [self.state[name] for name in floating]
        torch._foreach_lerp_(averages, [live[name] for name in floating], 1 - decay)
        for name in self.state.keys() - set(floating):
            self.state[name].copy_(live[name])

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.updates = saved["updates"]
        for name, tensor in saved["state"].items():
            self.state[name].copy_(tensor)


def learning_rate(step: int, steps: int, peak: float, warmup: int, final_share: float) -> float:
    """Linear rise over `warmup` steps, then a cosine from `peak` to `final_share` of it at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    along = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * along)))
