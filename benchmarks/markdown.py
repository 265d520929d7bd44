"""Turns what `georeg evaluate --json` or `benchmarks/peers.py --json` printed into rows of a Markdown table.

    python benchmarks/markdown.py NAME=FILE.json ... [--by-modality]

Without --by-modality one row per file (all pairs); with it one row per pair of modalities of each file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = {
    "n": "pairs", "SR@3": "SR@3", "SR@5": "SR@5", "SR@10": "SR@10", "AUC@3": "AUC@3", "AUC@5": "AUC@5",
    "AUC@10": "AUC@10", "NCM": "NCM", "precision": "prec", "false_confidence": "false", "landmark_rmse_px": "lm px",
    "seconds": "s",
}  # fmt: skip


def cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in ("n", "NCM"):
        return f"{value:.0f}"
    return f"{value:.1f}" if key in ("seconds", "landmark_rmse_px") else f"{value:.2f}".removeprefix("0")


def rows(name: str, summary: dict[str, dict[str, Any]], by_modality: bool) -> list[str]:
    chosen = summary if by_modality else {"all": summary["all"]}
    return [
        f"| {name} {'' if key == 'all' else key} | ".replace("  |", " |")
        + " | ".join(cell(column, row.get(column)) for column in COLUMNS) + " |"
        for key, row in chosen.items()
    ]  # fmt: skip


def main() -> None:
    by_modality = "--by-modality" in sys.argv
    print("| | " + " | ".join(COLUMNS.values()) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    for argument in sys.argv[1:]:
        if "=" in argument:
            name, _, path = argument.partition("=")
            print("\n".join(rows(name, json.loads(Path(path).read_text())["summary"], by_modality)))


if __name__ == "__main__":
    main()
