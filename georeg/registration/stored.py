"""Reads registration.json back: the file alone is enough to warp."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from georeg.errors import InputError
from georeg.geometry.pixelmap import PixelMap
from georeg.geometry.transforms import Transform, transform_from_json
from georeg.raster import GeocodingPrior
from georeg.result import SCHEMA, Quality, Registration, Tie
from georeg.scene import Grid, Modality, Scene


def read_registration(path: str | os.PathLike[str]) -> Registration:
    """The registration stored in a file, without its tie points and tiles.

    Raises:
        InputError: the file is missing, or holds no registration of this schema.
    """
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"The registration {name} does not exist: check the path.") from error
    except OSError as error:
        raise InputError(
            f"The registration {name} cannot be read ({error.strerror}): check the path and its permissions."
        ) from error
    return parse_registration(text, name)


def parse_registration(text: str, name: str) -> Registration:
    """The registration in a JSON text; `name` is what messages call it."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InputError(
            f"{name} holds no JSON ({error}): give what --registration or --json wrote."
        ) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(
            f"{name} holds no registration ({SCHEMA}): give what --registration or --json wrote."
        )
    try:
        return registration_from_json(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is not a whole {SCHEMA}: {type(error).__name__} {error}.") from error


def registration_from_json(content: dict[str, Any]) -> Registration:
    """The registration of `Registration.to_json`; KeyError, TypeError or ValueError where something is amiss."""
    moving, reference = scene_from_json(content["moving"]), scene_from_json(content["reference"])
    quality = dict(content["quality"])
    quality["reasons"] = tuple(quality["reasons"])
    return Registration(
        moving=moving,
        reference=reference,
        transform=_pixel_map(content["transform"], moving, reference),
        tie=_no_ties(),
        quality=Quality(**quality),
        run=content["run"],
    )


def scene_from_json(content: dict[str, Any]) -> Scene:
    """The scene of `georeg.result.scene_to_json`."""
    geotransform, gcps = content["geotransform"], content["gcps"]
    width, height = content["size"]
    grid = Grid(width, height, None if geotransform is None else tuple(geotransform), content["crs"])
    return Scene(
        path=content["path"],
        grid=grid,
        band_count=content["band_count"],
        dtype=content["dtype"],
        bands=tuple(content["bands"]),
        modality=Modality(content["modality"]),
        modality_given=content["modality_given"],
        nodata=content["nodata"],
        geocoding=content["geocoding"],
        gcps=None if gcps is None else np.asarray(gcps, float),
        gsd_m=content["gsd_m"],
        mask_path=content["mask"],
        tags=content["tags"],
    )


def _pixel_map(content: dict[str, Any] | None, moving: Scene, reference: Scene) -> PixelMap | None:
    if content is None:
        return None
    prior: Transform | None = None
    if content["prior"] == "geocoding":
        prior = GeocodingPrior.between(moving, reference)
        if prior is None:
            raise ValueError("its prior is the geocoding, but the scenes have none")
    return PixelMap(transform_from_json(content["correction"]), prior, moving.grid)


def _no_ties() -> Tie:
    nothing = np.zeros((0, 2))
    return Tie(nothing, nothing, np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), nothing)
