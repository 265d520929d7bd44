"""What this machine offers a batch, and what a pair took of it: cores, memory, peak memory."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from georeg.threads import core_count

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

BASE_BYTES = 512 * 1024**2
"""What a worker keeps from its first pair that needed the network on: the interpreter, GDAL, torch, the network and the
memory of its passes. Until then it is 170 MB, but nobody knows which pairs will need it."""


def available_bytes() -> int:
    """Memory that can still be taken without swapping, within a container's limit."""
    free = _meminfo("MemAvailable")
    limit = _words("/sys/fs/cgroup/memory.max")
    if limit and limit[0].isdigit():
        used = _words("/sys/fs/cgroup/memory.current")
        free = min(free, int(limit[0]) - (int(used[0]) if used else 0))
    return max(free, 0)


def worker_count(memory_bytes: int, cores: int | None = None, free_bytes: int | None = None) -> int:
    """How many pairs to work on at once: one a core, as many as fit into four fifths of the free memory.

    Args:
        memory_bytes: what one pair may take (`MatchOptions.memory_bytes`); half of it is what a pair takes on average.
        cores, free_bytes: of the machine; measured where None.
    """
    cores = core_count() if cores is None else cores
    free = available_bytes() if free_bytes is None else free_bytes
    return max(1, min(cores, int(0.8 * free / (BASE_BYTES + memory_bytes / 2))))


def gpu_count(device: str) -> int:
    """GPUs that `device` ("auto", "cpu", "cuda", "cuda:N") can mean on this machine.

    A process of its own looks, so that this one, which only hands out work, need not hold torch.
    """
    if device == "cpu":
        return 0
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        count = pool.submit(_all_gpus).result()
    return min(count, 1) if ":" in device else count


def _all_gpus() -> int:
    from georeg.network.devices import devices

    return sum(item["device"] != "cpu" for item in devices())


def reset_peak() -> bool:
    """Start measuring peak memory anew; False where the system cannot (only Linux can, and not in every container)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Peak resident memory of this process since `reset_peak` (not on Linux: since its start; 0 if unknown)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _meminfo(name: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _words(path: str) -> list[str]:
    try:
        return Path(path).read_text().split()
    except OSError:
        return []
