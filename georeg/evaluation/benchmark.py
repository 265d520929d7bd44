"""Reads a benchmark folder: image pairs with known truth.

Layout: `manifest.csv` and `split.csv` list the pairs, `pairs/<set>/<modality pair>/<id>/` holds `reference.png`,
`target.png` (the moving image) and `truth.json`; `hard/recipes.json` and `geocoded/` belong to the further tracks
(see `tracks`). The files count pixel centres from 0; everything that leaves this room is in georeg's corner-based
pixels, and `matrix_from_centres` is the one place that converts.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from georeg.errors import InputError
from georeg.scene import FloatArray

GROUPS = ("remote-sensing", "natural", "all")
LONG_SIDE_PX = 640
"""Corner errors are stated at this long side of the reference image."""

_HALF_PIXEL = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Case:
    """One image pair with its truth.

    Attributes:
        id: unique within the track; predictions are stored under this name.
        modality_pair: e.g. "sar-optical".
        moving, reference: paths of the two images.
        moving_size: (width, height) of the moving image in pixels.
        truth: (3, 3) homography, moving px -> reference px (corner-based); None where only landmarks are known.
        landmarks: (N, 4) columns x_moving, y_moving, x_reference, y_reference (corner-based).
        scale: errors in reference pixels are multiplied by this before they are scored.
    """

    id: str
    modality_pair: str
    moving: str
    reference: str
    moving_size: tuple[int, int]
    truth: FloatArray | None
    landmarks: FloatArray
    scale: float


def matrix_from_centres(matrix: Any) -> FloatArray:
    """(3, 3) homography between 0-based pixel centres -> the same between corner-based pixels."""
    return _HALF_PIXEL @ np.asarray(matrix, float) @ np.linalg.inv(_HALF_PIXEL)


def matrix_to_centres(matrix: Any) -> FloatArray:
    """(3, 3) homography between corner-based pixels -> the same between 0-based pixel centres."""
    return np.linalg.inv(_HALF_PIXEL) @ np.asarray(matrix, float) @ _HALF_PIXEL


def read_benchmark(folder: str | Path, group: str = "remote-sensing", published: bool = False) -> list[Case]:
    """The pairs as they are, sorted by id.

    Args:
        folder: the benchmark folder.
        group: one of GROUPS.
        published: score against the published matrices; pairs without one are left out.

    Raises:
        InputError: the folder holds no readable benchmark.
    """
    root = Path(folder)
    cases = []
    for row in manifest_rows(root, group):
        where = root / "pairs" / row["set"] / row["modality_pair"] / row["id"]
        truth = read_json(where / "truth.json")
        matrix = truth.get("published_matrix") if published else _scored_matrix(truth)
        if published and not matrix:
            continue
        cases.append(_case(row, where, matrix, truth))
    return cases


def manifest_rows(root: Path, group: str) -> list[dict[str, str]]:
    """Rows of the manifest that belong to a group, sorted by id."""
    try:
        with (
            open(root / "manifest.csv", newline="") as manifest,
            open(root / "split.csv", newline="") as split,
        ):
            groups = {row["id"]: row["group"] for row in csv.DictReader(split)}
            rows = [row for row in csv.DictReader(manifest) if group in ("all", groups.get(row["id"]))]
            return sorted(rows, key=lambda row: row["id"])
    except (OSError, KeyError) as error:
        cause = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"no column {error}"
        raise InputError(
            f"{root} is not a benchmark folder ({cause}): it needs manifest.csv, split.csv and pairs/"
        ) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file of the benchmark."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"the benchmark file {path} cannot be read: {error}") from error


def _scored_matrix(truth: dict[str, Any]) -> Any:
    """The matrix to score against; None for pairs of which no single matrix is true."""
    return None if truth["kind"] == "landmarks" else truth["matrix"]


def _case(row: dict[str, str], where: Path, matrix: Any, truth: dict[str, Any]) -> Case:
    marks = np.asarray(truth.get("landmarks") or [], float).reshape(-1, 4)
    return Case(
        id=row["id"],
        modality_pair=row["modality_pair"],
        moving=str(where / "target.png"),
        reference=str(where / "reference.png"),
        moving_size=(int(row["width_tgt"]), int(row["height_tgt"])),
        truth=None if matrix is None else matrix_from_centres(matrix),
        landmarks=marks[:, [2, 3, 0, 1]] + 0.5,
        scale=LONG_SIDE_PX / max(int(row["width_ref"]), int(row["height_ref"])),
    )
