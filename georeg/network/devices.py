"""The devices torch can compute on."""

from __future__ import annotations

from typing import Any

import torch


def devices() -> list[dict[str, Any]]:
    """One record per device: name as --device takes it, description, memory in bytes (None for the CPU's)."""
    found: list[dict[str, Any]] = [
        {"device": "cpu", "description": f"{torch.get_num_threads()} threads", "memory_bytes": None}
    ]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            {
                "device": f"cuda:{index}",
                "description": properties.name,
                "memory_bytes": properties.total_memory,
            }
        )
    return found
