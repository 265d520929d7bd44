"""What the data engine costs: CPU milliseconds a pair as training draws them, and a view for each look of the bank.

    python benchmarks/data_engine.py ARCHIVE [--view-px 192] [--batch 16] [--batches 10] [--limit 400] [--device cpu]

CPU time of this process is counted (on a GPU: wall time after synchronising), so that other work on the
machine matters less. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from georeg.engine.archive import read_archive
from georeg.engine.engine import DataEngine, EngineConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--view-px", type=int, default=192)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    archive = read_archive(options.archive, limit=options.limit)
    config = EngineConfig(view_px=options.view_px)
    engine = DataEngine(archive, config, options.device, torch.Generator().manual_seed(0))
    for _ in range(3):
        engine.batch(options.batch)
    pairs = milliseconds(lambda: engine.batch(options.batch), options.batches, engine.device) / options.batch
    views = torch.rand(4, 1, options.view_px, options.view_px, device=engine.device)
    with torch.no_grad():
        looks = {
            look.name: milliseconds(lambda look=look: look.render(views, engine.random), 5, engine.device)
            / len(views)
            for look in engine.bank
        }
    slowest = dict(
        sorted(((name, round(value, 2)) for name, value in looks.items()), key=lambda item: -item[1])
    )
    print(
        json.dumps({"view_px": options.view_px, "ms_a_pair": round(pairs, 2), "ms_a_view": slowest}, indent=1)
    )


def milliseconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Mean milliseconds of `work`: process CPU time on a CPU, wall time on a GPU."""
    work()
    clock = time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        clock = time.perf_counter
    start = clock()
    for _ in range(repeats):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000.0 * (clock() - start) / repeats


if __name__ == "__main__":
    main()
