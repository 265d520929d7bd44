"""How many CPU threads to use."""

from __future__ import annotations

import os
from pathlib import Path


def thread_count(asked: int) -> int:
    """What was asked for; for 0, one per core that this process may use."""
    return asked or core_count()


def core_count() -> int:
    """Cores this process may use: its affinity, and a container's CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return min(cores, max(1, round(int(quota) / int(period)))) if quota.isdigit() else cores
