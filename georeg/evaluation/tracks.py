"""The further tracks of a benchmark: hard geometry, and GeoTIFFs whose geocoding was moved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from georeg.errors import InputError
from georeg.evaluation.benchmark import Case, matrix_from_centres, read_benchmark, read_json


def hard_cases(folder: str | Path, into: str | Path, group: str = "remote-sensing") -> list[Case]:
    """Pairs whose moving image is warped by the recipe's homography (any rotation, scale 0.5 to 2).

    Args:
        folder: the benchmark folder, with `hard/recipes.json`.
        into: a folder for the warped images, `<id>.png` each.
        group: one of GROUPS; only remote-sensing pairs have recipes.
    """
    recipes = read_json(Path(folder) / "hard" / "recipes.json")
    cases = []
    for case in read_benchmark(folder, group):
        if case.id in recipes:
            cases.append(_hard_case(case, recipes[case.id], Path(into) / f"{case.id}.png"))
    return cases


def _hard_case(case: Case, recipe: dict[str, Any], path: Path) -> Case:
    import cv2

    image = cv2.imread(case.moving, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError(f"the benchmark image {case.moving} cannot be read")
    if recipe["scale"] < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 / recipe["scale"])
    size = int(recipe["width"]), int(recipe["height"])
    cv2.imwrite(str(path), cv2.warpPerspective(image, np.array(recipe["warp"]), size, flags=cv2.INTER_CUBIC))
    return replace(
        case,
        moving=str(path),
        moving_size=size,
        truth=matrix_from_centres(recipe["matrix"]),
        landmarks=np.zeros((0, 4)),
    )


def geocoded_cases(folder: str | Path, into: str | Path) -> list[Case]:
    """GeoTIFF pairs, each once per move of its truth.json; errors are scored in reference pixels as they are.

    Args:
        folder: the benchmark folder, with `geocoded/<modality pair>/<id>/`.
        into: a folder for the moved GeoTIFFs, `<id>.<move>.tif` each.
    """
    cases = []
    for where in sorted((Path(folder) / "geocoded").glob("*/*"), key=lambda path: path.name):
        truth = read_json(where / "truth.json")
        for move in truth["perturbations"]:
            cases.append(_geocoded_case(where, truth, move, Path(into)))
    if not cases:
        raise InputError(f"{folder} has no geocoded pairs: it needs geocoded/<modality pair>/<id>/target.tif")
    return cases


def _geocoded_case(where: Path, truth: dict[str, Any], move: dict[str, Any], into: Path) -> Case:
    name = f"{where.name}.{move['name']}"
    moved = into / f"{name}.tif"
    size = write_moved(where / "target.tif", moved, move)
    matrix = truth["matrix"] if truth["use_as_truth"] == "matrix" else truth["own_alignment"]["image_matrix"]
    return Case(
        id=name,
        modality_pair=where.parent.name,
        moving=str(moved),
        reference=str(where / "reference.tif"),
        moving_size=size,
        truth=matrix_from_centres(matrix),
        landmarks=np.zeros((0, 4)),
        scale=1.0,
    )


def write_moved(source: Path, target: Path, move: dict[str, Any]) -> tuple[int, int]:
    """Copy a GeoTIFF with its geotransform moved by (dx_px, dy_px) and turned about the centre; (width, height)."""
    import rasterio
    from rasterio.transform import Affine

    with rasterio.open(source) as image:
        profile, pixels, size = image.profile, image.read(), (image.width, image.height)
        centre = (image.width / 2, image.height / 2)
        wrong = Affine.translation(move["dx_px"], move["dy_px"]) @ Affine.rotation(
            move["rotation_deg"], centre
        )
        profile.update(driver="GTiff", transform=image.transform @ wrong)
    for key in ("photometric", "blockxsize", "blockysize", "tiled", "interleave", "compress"):
        profile.pop(key, None)
    with rasterio.open(target, "w", **profile) as sink:
        sink.write(pixels)
    return size
