"""What `georeg doctor` reports, in the few lines that a user of QGIS wants to read."""

from __future__ import annotations

from typing import Any

GIGABYTE = 1024**3


def describe(report: dict[str, Any]) -> list[str]:
    """The devices, the weights, and every problem, one line each."""
    lines = [f"Device: {_device(entry)}" for entry in report.get("devices") or []]
    weights = [str(entry.get("name")) for entry in report.get("weights") or [] if isinstance(entry, dict)]
    lines.append(f"Weights: {', '.join(weights) or 'none, so images are matched by structure'}")
    missing = [name for name, there in (report.get("drivers") or {}).items() if not there]
    if missing:
        lines.append(f"File formats that it cannot read: {', '.join(missing)}")
    lines.extend(f"Problem: {problem}" for problem in report.get("problems") or [])
    return lines


def _device(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    memory = entry.get("memory_bytes")
    details = [str(entry.get("description") or ""), f"{memory / GIGABYTE:.0f} GB" if memory else ""]
    return f"{entry.get('device')} ({', '.join(filter(None, details))})"
