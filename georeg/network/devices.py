"""Which devices there are and which one a name means."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import torch

from georeg.errors import UsageError
from georeg.threads import thread_count


def pick_device(name: str = "auto", local_rank: int | None = None) -> torch.device:
    """The torch device behind auto, cpu, cuda or cuda:N.

    Args:
        name: "auto" is CUDA where there is any, else the CPU.
        local_rank: which card "cuda" means for one of several processes.

    Raises:
        UsageError: no such name, or a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"{name!r} is no device: choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda" or not torch.cuda.is_available():
        raise UsageError(f"this PyTorch sees no device {name!r}: choose --device cpu")
    index = device.index if device.index is not None else local_rank or 0
    if index >= torch.cuda.device_count():
        raise UsageError(f"there is no {name!r}: this machine has {torch.cuda.device_count()} CUDA devices")
    return torch.device("cuda", index)


def devices() -> list[dict[str, Any]]:
    """Every device as plain values: device, description, memory_bytes (None for the CPU)."""
    threads = torch.get_num_threads()
    found: list[dict[str, Any]] = [
        {"device": "cpu", "description": f"{threads} threads, {cpu_instructions()}", "memory_bytes": None}
    ]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            found.append(
                {"device": f"cuda:{index}", "description": card.name, "memory_bytes": int(card.total_memory)}
            )
    return found


def use_threads(count: int) -> None:
    """Let torch use this many CPU threads; 0 for one per core."""
    torch.set_num_threads(thread_count(count))


@cache
def halves_pay(device: torch.device) -> bool:
    """Whether products of bfloat16 numbers are clearly faster than those of single precision there.

    They are on CUDA. On CPUs it is measured: with the instructions for it they take less than half the time, without
    them hundreds of times as long.
    """
    if device.type != "cpu":
        return True
    single = torch.ones(512, 256)
    return 1.3 * fastest_product(single.bfloat16()) < fastest_product(single)


def fastest_product(matrix: torch.Tensor) -> float:
    """Seconds of the fastest of five products of the matrix and its transpose."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix.T
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def cpu_instructions() -> str:
    """The vector instructions PyTorch uses, such as AVX512."""
    return torch.backends.cpu.get_cpu_capability()
