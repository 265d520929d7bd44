"""Fixtures that any test may use: small simulated scenes with their truth, made by the script behind sample_data/."""

import csv
import importlib.util
import json
import resource
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from affine import Affine

from .rasters import UTM, write

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A suite started in the background inherits an ignored Ctrl-C, and would hand that on to what it tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class SimulatedPair:
    """A simulated pair on disk: SAR (moving) and optical (reference), with its truth.

    `moving_xy` and `reference_xy` are (N, 2) corner-based pixels that show the same ground; `matrix` is the homography
    through them, moving px -> reference px.
    """

    moving: str
    reference: str
    matrix: np.ndarray
    moving_xy: np.ndarray
    reference_xy: np.ndarray

    def error_px(self, transform) -> float:
        """Mean distance between where a transform (moving px -> reference px) puts points and where they are."""
        return float(np.linalg.norm(transform(self.moving_xy) - self.reference_xy, axis=1).mean())


def load_pair(folder: Path) -> SimulatedPair:
    truth = json.loads((folder / "truth.json").read_text())
    arrays = (np.array(truth[key], float) for key in ("matrix", "moving_xy", "reference_xy"))
    return SimulatedPair(str(folder / truth["moving"]), str(folder / truth["reference"]), *arrays)


def load_script(path: Path):
    """Import a script that belongs to no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def full_disk(limit: int):
    """As if the disk were full: no file may grow beyond `limit` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture(scope="session")
def sample_pair() -> SimulatedPair:
    """The committed pair of sample_data/: 672 px SAR, 864 px optical."""
    return load_pair(ROOT / "sample_data")


@pytest.fixture(scope="session")
def simulate():
    """`simulate(folder, seed, extent_m, looks)` of sample_data/simulate.py."""
    return load_script(ROOT / "sample_data" / "simulate.py").simulate


@pytest.fixture(scope="session")
def small_pair(simulate, tmp_path_factory) -> SimulatedPair:
    """A quick pair: 336 px SAR, 432 px optical, one village or two. Do not write into its folder."""
    return load_pair(simulate(tmp_path_factory.mktemp("small_pair"), seed=5, extent_m=2400.0, looks=4))


@pytest.fixture
def tiny_benchmark(tmp_path) -> Path:
    """A benchmark of one image pair on all tracks, true by construction."""
    root = tmp_path / "benchmark"
    where = root / "pairs" / "made" / "sar-optical" / "one"
    where.mkdir(parents=True)
    row = {"id": "one", "set": "made", "modality_pair": "sar-optical", "width_ref": 64, "height_ref": 50}
    write_csv(root / "manifest.csv", [row | {"width_tgt": 40, "height_tgt": 30}])
    write_csv(root / "split.csv", [{"id": "one", "split": "dev", "group": "remote-sensing"}])
    pixels = np.arange(64 * 50, dtype=np.uint8).reshape(50, 64)
    cv2.imwrite(str(where / "reference.png"), pixels)
    cv2.imwrite(str(where / "target.png"), pixels[5:35, 8:48])
    matrix = [[1, 0, 8], [0, 1, 5], [0, 0, 1]]
    (where / "truth.json").write_text(
        json.dumps(
            {"kind": "shift", "matrix": matrix, "landmarks": [[8, 5, 0, 0]], "published_matrix": matrix}
        )
    )
    half = np.diag([0.5, 0.5, 1])
    recipe = {"scale": 0.5, "width": 20, "height": 15, "warp": half.tolist()}
    recipe["matrix"] = (np.array(matrix) @ np.linalg.inv(half)).tolist()
    (root / "hard").mkdir()
    (root / "hard" / "recipes.json").write_text(json.dumps({"one": recipe}))
    geocoded = root / "geocoded" / "sar-optical" / "geo"
    geocoded.mkdir(parents=True)
    for name, at in (("reference", 0), ("target", 8)):
        place = Affine(10, 0, 5e5 + 10 * at, 0, -10, 6e6 - 10 * at)
        write(geocoded / f"{name}.tif", pixels[at : at + 32, at : at + 32], crs=UTM, transform=place)
    moves = [{"name": "p0", "dx_px": 3, "dy_px": -4, "rotation_deg": 0}]
    truth = {"matrix": [[1, 0, 8], [0, 1, 8], [0, 0, 1]], "use_as_truth": "matrix", "perturbations": moves}
    (geocoded / "truth.json").write_text(json.dumps(truth))
    return root


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
