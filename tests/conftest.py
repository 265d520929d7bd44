"""Fixtures that any test may use: small simulated scenes with their truth, made by the script behind sample_data/."""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

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
