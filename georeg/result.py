"""What a registration is once it is done: transform, tie points, quality, and its JSON form (georeg.registration/1)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from georeg.geometry.pixelmap import PixelMap
from georeg.scene import FloatArray, Scene

SCHEMA = "georeg.registration/1"


@dataclass(frozen=True)
class Tie:
    """Tie points of a registration, in whole-scene pixel-corner coordinates.

    Attributes:
        moving_xy, reference_xy: (N, 2).
        confidence: (N,) in 0..1.
        inlier: (N,) bool, used in the final fit.
        check: (N,) bool, held out of the fit that `holdout` figures were measured with.
        residual_px: (N, 2) reference minus transformed moving, in reference pixels.
    """

    moving_xy: FloatArray
    reference_xy: FloatArray
    confidence: npt.NDArray[np.float64]
    inlier: npt.NDArray[np.bool_]
    check: npt.NDArray[np.bool_]
    residual_px: FloatArray


@dataclass(frozen=True)
class Quality:
    """How good a registration is and why it is believed.

    Attributes:
        verdict: "pass", "warn" or "fail".
        reasons: one plain sentence each, never empty unless the verdict is "pass".
        probability_correct: calibrated, 0..1.
        rmse_px: over the inliers, reference pixels.
        holdout_rmse_px, ce90_px, ce90_m: over spatially held-out check points (ce90_m None without a known GSD).
        coverage: share of the overlap within reach of an inlier, 0..1.
        matches, inliers: counts.
    """

    verdict: str
    reasons: tuple[str, ...]
    probability_correct: float
    rmse_px: float | None
    holdout_rmse_px: float | None
    ce90_px: float | None
    ce90_m: float | None
    coverage: float
    matches: int
    inliers: int


@dataclass(frozen=True)
class TileRecord:
    """One tile of the tile stage, for the report: its window on the reference and what came of it."""

    col: int
    row: int
    width: int
    height: int
    matches: int
    inliers: int


@dataclass(frozen=True)
class Registration:
    """One moving scene registered to one reference scene.

    Attributes:
        moving, reference: the scenes.
        transform: moving px -> reference px; None where nothing could be estimated.
        tie: the tie points.
        quality: the figures and the verdict.
        tiles: what each tile gave.
        run: version, weights, matcher, options resolved, seed, device, seconds per stage, tiles used.
    """

    moving: Scene
    reference: Scene
    transform: PixelMap | None
    tie: Tie
    quality: Quality
    tiles: tuple[TileRecord, ...] = ()
    run: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The whole of registration.json as plain values; georeg/registration.schema.json describes them."""
        return {
            "schema": SCHEMA,
            "moving": scene_to_json(self.moving),
            "reference": scene_to_json(self.reference),
            "transform": None if self.transform is None else self.transform.to_json(),
            "quality": plain(asdict(self.quality)),
            "run": plain(self.run),
        }


def scene_to_json(scene: Scene) -> dict[str, Any]:
    """A scene as plain values; `georeg.registration.stored` makes the scene from them again."""
    return {
        "path": scene.path,
        "size": [scene.grid.width, scene.grid.height],
        "crs": scene.grid.crs_wkt,
        "geotransform": None if scene.grid.geotransform is None else list(scene.grid.geotransform),
        "geocoding": scene.geocoding,
        "gcps": None if scene.gcps is None else scene.gcps.tolist(),
        "band_count": scene.band_count,
        "bands": list(scene.bands),
        "dtype": scene.dtype,
        "nodata": None if scene.nodata is None or not math.isfinite(scene.nodata) else scene.nodata,
        "modality": str(scene.modality),
        "modality_given": scene.modality_given,
        "gsd_m": scene.gsd_m,
        "mask": scene.mask_path,
        "tags": plain(scene.tags),
    }


def plain(value: Any) -> Any:
    """The same value in types that JSON has; numbers that are not finite become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else str(value)
