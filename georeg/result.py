"""What a registration is once it is done: transform, tie points, quality, and its JSON form (georeg.registration/1)."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        """The whole of registration.json as plain values."""
        raise NotImplementedError
