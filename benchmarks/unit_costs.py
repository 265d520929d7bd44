"""What one Sentinel-size pair costs, and what a million of them would: the figures behind docs/scaling.md.

    python benchmarks/unit_costs.py [--size 10980] [--kind cross] [--matcher structural] [--folder DIR] [--json]

In a fresh process on one thread, as a batch worker does it: start (imports), register, write the companions (report,
tie points, registration.json), write the raster. For each step CPU seconds (user and system), bytes read and written
(as the kernel counts read and write calls) and the peak resident memory so far. The pair is that of big_scene.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

PAIRS = 1_000_000


@dataclass
class Step:
    """What one step took."""

    cpu_s: float
    wall_s: float
    read_mb: float
    written_mb: float
    peak_mb: float


def _now() -> tuple[float, float, float, float]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return (
        usage.ru_utime + usage.ru_stime,
        time.perf_counter(),
        int(io["rchar"]) / 1e6,
        int(io["wchar"]) / 1e6,
    )


@contextmanager
def step(name: str, steps: dict[str, Step]) -> Iterator[None]:
    before = _now()
    yield
    spent = [after - start for after, start in zip(_now(), before, strict=True)]
    steps[name] = Step(*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def measure(moving: Path, reference: Path, matcher: str, folder: Path) -> tuple[dict[str, Step], dict]:
    """The steps of one pair, and its registration.json."""
    steps: dict[str, Step] = {}
    with step("start", steps):
        import cv2

        from georeg.output.options import OutputOptions
        from georeg.registration import register
        from georeg.registration.deliver import write_delivery
        from georeg.registration.destinations import Destinations
        from georeg.registration.options import MatchOptions

        cv2.setNumThreads(1)
    with step("register", steps):
        registration = register(str(moving), str(reference), MatchOptions(num_threads=1, matcher=matcher))
    once = OutputOptions(overwrite=True, num_threads=1)
    names = {"registration": "r.json", "points": "p.gpkg", "report": "r.html"}
    with step("companions", steps):
        write_delivery(registration, Destinations(**{k: str(folder / v) for k, v in names.items()}), once)
    with step("raster", steps):
        write_delivery(registration, Destinations(raster=str(folder / "o.tif")), once)
    sizes = {path.name: path.stat().st_size / 1e6 for path in folder.iterdir()}
    return steps, {"quality": asdict(registration.quality), "run": registration.run, "sizes_mb": sizes}


def plan(steps: dict[str, Step], sizes: dict[str, float]) -> dict[str, float]:
    """The arithmetic for PAIRS pairs; `start` is paid once a worker and left out."""
    pair = [steps[name] for name in ("register", "companions", "raster")]
    cpu_s = sum(one.cpu_s for one in pair)
    return {
        "cpu_s_a_pair": cpu_s,
        "core_hours": PAIRS * cpu_s / 3600,
        "hours_on_1000_cores": PAIRS * cpu_s / 3600 / 1000,
        "read_tb": PAIRS * sum(one.read_mb for one in pair) / 1e6,
        "written_tb": PAIRS * sum(sizes.values()) / 1e6,
        "read_mb_a_core_second": sum(one.read_mb for one in pair) / cpu_s,
        "peak_mb": max(one.peak_mb for one in pair),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=10980)
    parser.add_argument("--kind", choices=("same", "cross", "shift"), default="cross")
    parser.add_argument("--matcher", default="auto")
    parser.add_argument("--folder", type=Path, help="where the scenes lie or are made")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    from big_scene import make_pair

    with tempfile.TemporaryDirectory() as scratch:
        moving, reference = make_pair(given.folder or Path(scratch), given.size, given.kind)
        (outputs := Path(scratch) / "out").mkdir()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
            steps, found = worker.submit(measure, moving, reference, given.matcher, outputs).result()
    sums = plan(steps, found["sizes_mb"])
    if given.json:
        print(
            json.dumps({"steps": {k: asdict(v) for k, v in steps.items()}, "plan": sums} | found, default=str)
        )
        return
    quality = found["quality"]
    print(
        f"{moving.name}: {quality['verdict']}, CE90 {quality['ce90_px']} px, tiles {found['run'].get('tiles_used')}"
    )
    print("| step | CPU s | wall s | read MB | written MB | peak MB |\n|---|---|---|---|---|---|")
    for name, one in steps.items():
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in asdict(one).values()) + " |")
    for name, value in {**{f"size of {k}, MB": v for k, v in found["sizes_mb"].items()}, **sums}.items():
        print(f"{name}: {value:,.2f}")


if __name__ == "__main__":
    main()
