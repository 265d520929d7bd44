"""One process or several under torchrun: who am I, which device is mine, and the network wrapped accordingly."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from georeg.network.devices import pick_device


@dataclass(frozen=True)
class Processes:
    """Rank of this process, how many there are, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.count == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.count == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item() > 0)

    def gather(self, value: object) -> list[object]:
        """The value of every process, in the order of their ranks."""
        if self.count == 1:
            return [value]
        values: list[object] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def close(self) -> None:
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join_processes(device: str = "auto") -> Processes:
    """Read torchrun's environment and join its group (gloo on the CPU, nccl on CUDA).

    Raises:
        UsageError: a device that is not there.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    chosen = pick_device(device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Processes(rank, count, chosen)
