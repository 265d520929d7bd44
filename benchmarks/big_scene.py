"""What matching costs on large scenes, against reading, warping and writing the same raster with rasterio alone.

    python benchmarks/big_scene.py [--sizes 1000 5000 10000 20000] [--kinds same cross] [--folder DIR] [--json]
    python benchmarks/big_scene.py --sizes 10980 --kinds shift --arosics VENV/bin/python
    python benchmarks/big_scene.py --sizes 5000 40000 --only-match --repeat 3

For each size a seeded pair is drawn on disk, block by block (landscape.py): an optical uint16 reference, and a moving
image of the same ground, shifted by (37.3, -21.6) pixels though its geocoding says otherwise. "same" is another day of
the same sensor (gain, crops, noise), turned by 0.3 degrees too; "cross" the same seen by a radar; "shift" is "same"
without the turn. Then, one after the other, each in a process of its own: a plain rasterio read + warp (bilinear, with
the true transform) + write, `georeg match` without an output, `georeg match` that writes the raster in the same format,
and AROSICS, global and local, where a Python that has it is named. CPU seconds (user and system) and peak resident
memory are the kernel's (wait4), bytes read those of its read calls, the start of Python (30 MB) included; the error is
the mean distance from the truth over a 20 x 20 grid. With --repeat every line is the run of median CPU time, and the
sizes take turns, so that a busy spell of the machine meets all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import cv2
import landscape
import numpy as np
import rasterio
from affine import Affine
from landscape import Ground, Sensor, draw, optical, radar
from rasterio.enums import Resampling
from rasterio.windows import Window

SHIFT_PX = (37.3, -21.6)
TURN_DEG = {"same": 0.3, "cross": 0.3, "shift": 0.0}
PIXEL_M = 10.0
BLOCK = 512
CRS = "EPSG:32633"
ORIGIN = Affine(PIXEL_M, 0, 400_000, 0, -PIXEL_M, 5_700_000)
SEED = 6
LARGEST_DRAWN = 20_000
"""Larger scenes are those of half the size enlarged twice, with fresh noise: to draw them takes hours."""
STAMP = "DRAWN_BY"
"""The tag of a scene that tells which code drew it (see `drawing`)."""
PEER = Path(__file__).with_name("peer_arosics.py")
PEERS = ("global", "local")
MEASURED = {"warp": "rasterio: read, warp, write", "match": "georeg match", "whole": "georeg match, and write",
            "arosics_global": "AROSICS global", "arosics_local": "AROSICS local"}  # fmt: skip


# ------------------------------------------------------------------------------------------------------ scenes


def write_scene(
    path: Path, size: int, to_reference: Affine, sensor: Sensor, day: int, overviews: bool
) -> None:
    """Draw a scene block by block; `to_reference` maps its pixels to reference pixels."""
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint16", "crs": CRS}
    profile |= {"transform": ORIGIN, "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    profile |= {"compress": "deflate", "zlevel": 1, "predictor": 2, "BIGTIFF": "IF_SAFER"}
    ground, centred = Ground(SEED), Affine.translation(-size / 2, -size / 2) @ to_reference
    with rasterio.open(path, "w", **profile) as sink:
        sink.update_tags(**{STAMP: drawing()})
        for row in range(0, size, BLOCK):
            for col in range(0, size, BLOCK):
                shape = min(BLOCK, size - row), min(BLOCK, size - col)
                pixels = draw(ground, sensor, centred, col, row, shape, day)
                window = Window(col, row, shape[1], shape[0])
                sink.write(np.clip(np.rint(pixels), 1, 65535).astype(np.uint16), 1, window=window)
    if overviews:
        _add_overviews(path)


def enlarge(half: Path, path: Path, day: int) -> None:
    """A scene of twice the size: bicubic, with noise of its own."""
    with rasterio.open(half) as source:
        profile = source.profile | {
            "width": 2 * source.width,
            "height": 2 * source.height,
            "zlevel": 1,
            "predictor": 2,
        }
        with rasterio.open(path, "w", **profile) as sink:
            sink.update_tags(**{STAMP: drawing()})
            for row in range(0, source.height, BLOCK // 2):
                for col in range(0, source.width, BLOCK // 2):
                    window = Window(
                        col, row, min(BLOCK // 2, source.width - col), min(BLOCK // 2, source.height - row)
                    )
                    pixels = cv2.resize(
                        _with_margin(source, window, 4), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC
                    )
                    pixels = pixels[8:-8, 8:-8]
                    rng = np.random.default_rng((day, row, col, 2))
                    pixels = pixels * (1 + 0.02 * rng.standard_normal(pixels.shape, np.float32))
                    where = Window(2 * col, 2 * row, pixels.shape[1], pixels.shape[0])
                    sink.write(np.clip(np.rint(pixels), 1, 65535).astype(np.uint16), 1, window=where)
    _add_overviews(path)


def _with_margin(source: rasterio.DatasetReader, window: Window, margin: int) -> np.ndarray:
    """The window's pixels and some around it, the scene's edge repeated, float32."""
    left, top = min(window.col_off, margin), min(window.row_off, margin)
    right = min(source.width - window.col_off - window.width, margin)
    bottom = min(source.height - window.row_off - window.height, margin)
    wider = Window(
        window.col_off - left, window.row_off - top, left + window.width + right, top + window.height + bottom
    )
    missing = [(margin - top, margin - bottom), (margin - left, margin - right)]
    return np.pad(source.read(1, window=wider).astype(np.float32), missing, mode="edge")


def _add_overviews(path: Path) -> None:
    with rasterio.open(path, "r+") as sink:
        levels = [2**k for k in range(1, 8) if max(sink.shape) >> k >= 128]
        sink.build_overviews(levels, Resampling.average)


def true_transform(size: int, kind: str) -> Affine:
    """Moving px -> reference px."""
    if size > LARGEST_DRAWN:
        return Affine.scale(2) @ true_transform(size // 2, kind) @ Affine.scale(0.5)
    return Affine.translation(*SHIFT_PX) @ Affine.rotation(TURN_DEG[kind], (size / 2, size / 2))


@cache
def drawing() -> str:
    """What the scenes are drawn by, in short: it changes with the code, the seed and the truth."""
    code = (landscape, write_scene, enlarge, _with_margin, true_transform)
    words = [*map(inspect.getsource, code), repr((SEED, SHIFT_PX, TURN_DEG, BLOCK, LARGEST_DRAWN))]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def is_drawn(path: Path) -> bool:
    """Whether the scene lies there and was drawn as it would be now; says so where it was not."""
    if not path.exists():
        return False
    with rasterio.open(path) as scene:
        current = scene.tags().get(STAMP) == drawing()
    if not current:
        print(f"{path} was drawn by other code: drawn anew", file=sys.stderr)
    return current


def make_pair(folder: Path, size: int, kind: str, overviews: bool = True) -> tuple[Path, Path]:
    """The paths of moving and reference, made if they are not there yet or were made by other code."""
    end = ".tif" if overviews else "_plain.tif"
    reference, moving = folder / f"reference_{size}{end}", folder / f"moving_{size}_{kind}{end}"
    if size > LARGEST_DRAWN:
        halves = make_pair(folder, size // 2, kind)
        for day, (half, path) in enumerate(zip(halves, (moving, reference), strict=True)):
            if not is_drawn(path):
                enlarge(half, partial := path.with_suffix(".partial"), day)
                partial.rename(path)
        return moving, reference
    scenes = ((reference, Affine.identity(), optical, 0),
              (moving, true_transform(size, kind), radar if kind == "cross" else optical, 1))  # fmt: skip
    for path, place, sensor, day in scenes:
        if not is_drawn(path):
            partial = path.with_suffix(".partial")
            write_scene(partial, size, place, sensor, day, overviews)
            partial.rename(path)
    return moving, reference


# ------------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and on the CPUs, peak resident memory in GB, MB read, what was printed, the exit code."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    read_mb: float
    output: str
    code: int


MEASURE = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1] + ".out", "w"))
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but its accounts can still be read
wall = time.perf_counter() - start
io = dict(line.split(": ") for line in open(f"/proc/{child.pid}/io").read().splitlines())
_, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6, int(io["rchar"]) / 1e6,
               open(sys.argv[1] + ".out").read(), os.waitstatus_to_exitcode(status)], file)
"""


def measure(*command: str) -> Cost:
    """Run a command in a process of its own and say what it cost; a refusal (3) is a result, any other failure ends."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cost.json"
        subprocess.run([sys.executable, "-c", MEASURE, str(result), *command], check=True)
        cost = Cost(*json.loads(result.read_text()))
    if cost.code not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {cost.code}")
    return cost


def plain_warp(moving: str, reference: str, output: str, kind: str) -> None:
    """Read, warp by the true transform and write with rasterio alone, in strips, as a tiled deflate GeoTIFF."""
    from rasterio.vrt import WarpedVRT

    with rasterio.open(reference) as grid, rasterio.open(moving) as image:
        true = grid.transform @ true_transform(image.width, kind)
        profile = grid.profile
        with (
            WarpedVRT(image, src_transform=true, crs=grid.crs, transform=grid.transform, width=grid.width,
                      height=grid.height, resampling=Resampling.bilinear, nodata=0, src_nodata=0) as warped,
            rasterio.open(output, "w", **profile | {"nodata": 0, "zlevel": 1, "predictor": 2}) as sink,
        ):  # fmt: skip
            for row in range(0, grid.height, BLOCK):
                window = Window(0, row, grid.width, min(BLOCK, grid.height - row))
                sink.write(warped.read(1, window=window), 1, window=window)


def error_px(matrix: list[list[float]] | None, size: int, kind: str) -> float:
    """Mean distance to the truth over a 20 x 20 grid, in pixels."""
    if matrix is None:
        return math.inf
    steps = np.linspace(0.0, size, 20)
    points = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    mapped = cv2.perspectiveTransform(points[None], np.array(matrix, float))[0]
    true = np.column_stack(true_transform(size, kind) @ points.T)
    return float(np.linalg.norm(mapped - true, axis=1).mean())


def run(folder: Path, size: int, kind: str, args: argparse.Namespace) -> dict:
    """One measurement of everything that is asked for on one pair."""
    moving, reference = map(str, make_pair(folder, size, kind, not args.no_overviews))
    georeg = [sys.executable, "-m", "georeg_cli", "match", moving, reference]
    row: dict = {"size": size, "kind": kind, "match": asdict(measure(*georeg, "--json", *args.more))}
    registration = json.loads(row["match"]["output"])
    transform = registration["transform"]
    row["match"]["error_px"] = error_px(transform and transform["matrix"], size, kind)
    row |= {"verdict": registration["quality"]["verdict"], "transform": transform and transform["kind"],
            "tiles": registration["run"].get("tiles_used")}  # fmt: skip
    if args.only_match:
        return row
    out = str(folder / "out.tif")
    row["warp"] = asdict(measure(sys.executable, __file__, "--plain-warp", moving, reference, out, kind))
    row["whole"] = asdict(measure(*georeg, out, "--json", "--overwrite", "-f", "GTiff", "--co", "COMPRESS=DEFLATE",
                                  "--co", "ZLEVEL=1", "--co", "PREDICTOR=2", "--co", "TILED=YES",
                                  *args.more))  # fmt: skip
    Path(out).unlink(missing_ok=True)
    for how in PEERS if args.arosics else ():
        row[f"arosics_{how}"] = peer(args.arosics, moving, reference, how, size, kind)
    return row


def median_run(rows: list[dict]) -> dict:
    """Of several runs of one pair, for each thing measured the run of median CPU time."""
    typical = dict(rows[0])
    for name in MEASURED:
        if name in typical:
            typical[name] = sorted((row[name] for row in rows), key=lambda cost: cost["cpu_s"])[
                len(rows) // 2
            ]
    return typical


def peer(python: str, moving: str, reference: str, how: str, size: int, kind: str) -> dict:
    """AROSICS on the same pair: its cost and its error."""
    cost = measure(python, str(PEER), moving, reference, how)
    matrix = json.loads(cost.output.splitlines()[-1])["matrix"]
    return asdict(cost) | {"error_px": error_px(matrix, size, kind)}


# ------------------------------------------------------------------------------------------------------ the table

HEAD = (
    "| size, px | kind | what | wall, s | CPU, s | peak, GB | read, MB | CPU over warp's | error, px | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def lines(row: dict) -> list[str]:
    """The table's lines of one pair."""
    return [line(row, name, row[name]) for name in MEASURED if name in row]


def line(row: dict, name: str, cost: dict) -> str:
    share = f"{cost['cpu_s'] / row['warp']['cpu_s']:.2f}" if "warp" in row else ""
    error = f"{cost['error_px']:.3f}" if "error_px" in cost else ""
    verdict = f"{row['verdict']}, {row['tiles']} tiles" if name == "match" else ""
    return (
        f"| {row['size']:,} | {row['kind']} | {MEASURED[name]} | {cost['wall_s']:.1f} | {cost['cpu_s']:.1f} | "
        f"{cost['peak_gb']:.3f} | {cost['read_mb']:.0f} | {share} | {error} | {verdict} |"
    )


def growth(rows: list[dict]) -> list[str]:
    """How matching grows from the smallest to the largest scene of each kind."""
    said = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        first, *_, last = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["size"])
        cpu, peak = (last["match"][name] / first["match"][name] for name in ("cpu_s", "peak_gb"))
        said.append(
            f"{kind}, {first['size']:,} to {last['size']:,} px: CPU x {cpu:.2f}, peak memory x {peak:.2f}"
        )
    return said


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 10_000, 20_000])
    parser.add_argument("--kinds", nargs="+", choices=tuple(TURN_DEG), default=["same", "cross"])
    parser.add_argument("--folder", help="keep the scenes here, to be used again")
    parser.add_argument("--no-overviews", action="store_true", help="scenes without reduced images")
    parser.add_argument(
        "--only-match", action="store_true", help="nothing but `georeg match` without an output"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="medians of N runs")
    parser.add_argument("--arosics", metavar="PYTHON", help="an interpreter that can import arosics")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("more", nargs="*", help="further options of georeg match, after --")
    return parser.parse_args()


def main() -> None:
    if sys.argv[1:2] == ["--plain-warp"]:
        plain_warp(*sys.argv[2:])
        return
    args = arguments()
    pairs = [(size, kind) for size in args.sizes for kind in args.kinds]
    runs: dict[tuple[int, str], list[dict]] = {pair: [] for pair in pairs}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(HEAD, file=sys.stderr)
        for pair in pairs * args.repeat:
            start = time.perf_counter()
            runs[pair].append(run(folder, *pair, args))
            print("\n".join(lines(runs[pair][-1])), file=sys.stderr)
            print(f"({time.perf_counter() - start:.0f} s in all)", file=sys.stderr)
    rows = [median_run(of_pair) for of_pair in runs.values()]
    table = [
        HEAD,
        *(one for row in rows for one in lines(row)),
        *(growth(rows) if len(args.sizes) > 1 else ()),
    ]
    print(json.dumps(rows) if args.json else "\n".join(table))


if __name__ == "__main__":
    main()
