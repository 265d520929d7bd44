"""What matching costs on large scenes, against reading, warping and writing the same raster with rasterio alone.

    python benchmarks/big_scene.py [--sizes 1000 5000 10000 20000] [--kinds same cross] [--folder DIR] [--json]

For each size a seeded pair is made on disk, block by block: a uint16 reference and a moving image of the same ground,
shifted by (37.3, -21.6) pixels and turned by 0.3 degrees though its geocoding says otherwise. "same" is another day of
the same sensor (gain, noise); "cross" is a SAR-like rendering (class backscatter, speckle). Then, one after the other,
each in a process of its own: a plain rasterio read + warp (bilinear, with the true transform) + write, `georeg match`
without an output, and `georeg match` that writes the raster in the same format. Wall and CPU seconds (children
included) and the peak resident memory are measured with getrusage; the error is the mean over a 20 x 20 grid.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

SHIFT_PX, TURN_DEG = (37.3, -21.6), 0.3
PIXEL_M = 10.0
BLOCK = 512
CRS = "EPSG:32633"
ORIGIN = Affine(PIXEL_M, 0, 400_000, 0, -PIXEL_M, 5_700_000)


# ------------------------------------------------------------------------------------------------------ scenes


class Ground:
    """An endless landscape that can be looked at anywhere: values depend on the place alone, not on the block."""

    COARSE = 4
    """The smooth texture is drawn at every fourth pixel and interpolated."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.lattices = [(cell, rng.normal(size=(64, 64)).astype(np.float32)) for cell in (331.0, 83.0, 19.0)]
        self.turn = rng.uniform(0, np.pi)
        self.parcels = rng.integers(0, 6, (97, 101), dtype=np.uint8)

    def look(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Surface class (0 to 6) and smooth texture, (H, W) each, at places in reference pixels."""
        texture = self.texture(x, y)
        c, s = math.cos(self.turn), math.sin(self.turn)
        u = (c * x + s * y + 12 * texture).astype(np.float32)
        v = (c * y - s * x).astype(np.float32)
        kinds = self.parcels[np.floor(u / 71).astype(np.int32) % 97, np.floor(v / 53).astype(np.int32) % 101]
        roads = (np.abs(u % 640 - 320) < 2.2) | (np.abs(v % 580 - 290) < 2.2)
        return np.where(roads, np.uint8(6), kinds), texture

    def texture(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros(x[:: self.COARSE, :: self.COARSE].shape, np.float32)
        for weight, (cell, lattice) in zip((1.0, 0.6, 0.35), self.lattices, strict=True):
            at = [np.mod(v[:: self.COARSE, :: self.COARSE] / cell, 63).astype(np.float32) for v in (x, y)]
            total += weight * cv2.remap(lattice, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        scale = np.array([[self.COARSE, 0, 0], [0, self.COARSE, 0]], float)
        return cv2.warpAffine(total, scale, x.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


Render = Callable[[np.ndarray, np.ndarray, np.random.Generator, int], np.ndarray]


def optical(kind: np.ndarray, texture: np.ndarray, rng: np.random.Generator, day: int) -> np.ndarray:
    tones = np.array([900, 1300, 1700, 2100, 2600, 3000, 600], np.float32) * (1 + 0.12 * day)
    return tones[kind] + 180 * texture + 25 * rng.standard_normal(kind.shape, np.float32)


def radar(kind: np.ndarray, texture: np.ndarray, rng: np.random.Generator, day: int) -> np.ndarray:
    power = np.array([0.5, 2.4, 0.9, 3.6, 0.6, 1.5, 0.12], np.float32)[kind] * (1 + 0.15 * texture).clip(0.5)
    return 900 * np.sqrt(power * rng.standard_gamma(4, kind.shape, np.float32) / 4)


def write_scene(
    path: Path, size: int, to_reference: Affine, render: Render, day: int, ground: Ground
) -> None:
    """Draw a scene block by block; `to_reference` maps its pixels to reference pixels."""
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint16", "crs": CRS}
    profile |= {
        "transform": ORIGIN,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", zlevel=1, predictor=2, BIGTIFF="IF_SAFER", **profile) as sink:
        for row in range(0, size, BLOCK):
            for col in range(0, size, BLOCK):
                window = Window(col, row, min(BLOCK, size - col), min(BLOCK, size - row))
                cols, rows = np.meshgrid(
                    np.arange(window.width) + col + 0.5, np.arange(window.height) + row + 0.5
                )
                x, y = to_reference @ (cols.ravel(), rows.ravel())
                kind, texture = ground.look(np.reshape(x, cols.shape), np.reshape(y, cols.shape))
                pixels = render(kind, texture, np.random.default_rng((day, row, col)), day)
                sink.write(np.clip(pixels, 1, 65535).astype(np.uint16), 1, window=window)
        sink.build_overviews([2, 4, 8, 16], rasterio.enums.Resampling.average)


def true_transform(size: int) -> Affine:
    """Moving px -> reference px."""
    return Affine.translation(*SHIFT_PX) @ Affine.rotation(TURN_DEG, (size / 2, size / 2))


def make_pair(folder: Path, size: int, kind: str) -> tuple[Path, Path]:
    """The paths of moving and reference, made if they are not there yet."""
    ground = Ground(size)
    reference, moving = folder / f"reference_{size}.tif", folder / f"moving_{size}_{kind}.tif"
    if not reference.exists():
        write_scene(reference, size, Affine.identity(), optical, 0, ground)
    if not moving.exists():
        write_scene(moving, size, true_transform(size), optical if kind == "same" else radar, 1, ground)
    return moving, reference


# ------------------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock and on the CPUs, and peak resident memory in GB."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    output: str


MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, text=True)
wall = time.perf_counter() - start
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = usage.ru_utime + usage.ru_stime
with open(sys.argv[1], "w") as file:
    json.dump([wall, cpu, usage.ru_maxrss / 1e6, done.returncode, done.stdout], file)
"""


def measure(*command: str) -> Cost:
    """Run a command in a process of its own and say what it cost; a refusal (3) is a result, any other failure ends."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as result:
        subprocess.run([sys.executable, "-c", MEASURE, result.name, *command], check=True)
        wall, cpu, peak, code, output = json.load(result)
    if code not in (0, 3):
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return Cost(wall, cpu, peak, output)


def plain_warp(moving: str, reference: str, output: str) -> None:
    """Read, warp by the true transform and write with rasterio alone, in strips, as a tiled deflate GeoTIFF."""
    from rasterio.enums import Resampling
    from rasterio.vrt import WarpedVRT

    with rasterio.open(reference) as grid, rasterio.open(moving) as image:
        true = grid.transform @ true_transform(image.width)
        profile = grid.profile
        with (
            WarpedVRT(image, src_transform=true, crs=grid.crs, transform=grid.transform, width=grid.width,
                      height=grid.height, resampling=Resampling.bilinear, nodata=0, src_nodata=0) as warped,
            rasterio.open(output, "w", **profile | {"nodata": 0}) as sink,
        ):  # fmt: skip
            for row in range(0, grid.height, BLOCK):
                window = Window(0, row, grid.width, min(BLOCK, grid.height - row))
                sink.write(warped.read(1, window=window), 1, window=window)


def error_px(registration: dict, size: int) -> float:
    """Mean distance to the truth over a 20 x 20 grid, in pixels."""
    if registration["transform"] is None:
        return math.inf
    steps = np.linspace(0.0, size, 20)
    points = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    mapped = cv2.perspectiveTransform(points[None], np.array(registration["transform"]["matrix"]))[0]
    return float(np.linalg.norm(mapped - np.column_stack(true_transform(size) @ points.T), axis=1).mean())


def run(folder: Path, size: int, kind: str, more: list[str]) -> dict[str, object]:
    """All three measurements of one pair."""
    moving, reference = map(str, make_pair(folder, size, kind))
    georeg = [sys.executable, "-m", "georeg_cli", "match", moving, reference]
    out = str(folder / "out.tif")
    floor = measure(sys.executable, __file__, "--plain-warp", moving, reference, out)
    match = measure(*georeg, "--json", *more)
    whole = measure(*georeg, out, "--json", "--overwrite", "-f", "GTiff", "--co", "COMPRESS=DEFLATE", "--co",
                    "ZLEVEL=1", "--co", "PREDICTOR=2", "--co", "TILED=YES", *more)  # fmt: skip
    Path(out).unlink(missing_ok=True)
    registration = json.loads(match.output)
    return {
        "size": size, "kind": kind, "warp": asdict(floor), "match": asdict(match), "whole": asdict(whole),
        "matching_over_warp": match.cpu_s / floor.cpu_s, "error_px": error_px(registration, size),
        "verdict": registration["quality"]["verdict"], "tiles": registration["run"].get("tiles"),
    }  # fmt: skip


HEAD = (
    "size   kind   | match: wall s  cpu s  GB | and write: wall s  cpu s  GB | rasterio alone: wall s  cpu s  GB "
    "| match/warp cpu  error px"
)


def line(row: dict) -> str:
    costs = [row[name] for name in ("match", "whole", "warp")]
    cells = " | ".join(f"{c['wall_s']:8.1f} {c['cpu_s']:8.1f} {c['peak_gb']:5.2f}" for c in costs)
    end = f"{row['matching_over_warp']:6.2f} {row['error_px']:8.3f} {row['verdict']}"
    return f"{row['size']:<6} {row['kind']:<6} | {cells} | {end}"


def main() -> None:
    if sys.argv[1:2] == ["--plain-warp"]:
        plain_warp(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 10_000, 20_000])
    parser.add_argument("--kinds", nargs="+", choices=("same", "cross"), default=["same", "cross"])
    parser.add_argument("--folder", help="keep the scenes here, to be used again")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("more", nargs="*", help="further options of georeg match, after --")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(args.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(HEAD, file=sys.stderr)
        rows = []
        for size in args.sizes:
            for kind in args.kinds:
                start = time.perf_counter()
                rows.append(run(folder, size, kind, args.more))
                print(line(rows[-1]), f"({time.perf_counter() - start:.0f} s in all)", file=sys.stderr)
    print(json.dumps(rows) if args.json else "\n".join([HEAD, *map(line, rows)]))


if __name__ == "__main__":
    main()
