"""Everything a user can ask of one registration, in one place, with its defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from georeg.geometry.transforms import KINDS
from georeg.scene import Modality

MATCHERS = ("auto", "network", "structural", "hybrid")
PRIORS = ("auto", "geocoding", "none")

Progress = Callable[[str, int, int, str], None]
"""progress(stage, done, total, message); stages are "overview", "tiles", "write", ..."""


def no_progress(stage: str, done: int, total: int, message: str) -> None:
    """The progress callback of those who do not want to know."""


@dataclass(frozen=True)
class MatchOptions:
    """How to register one pair.

    Attributes:
        bands, reference_bands: 1-based bands to match; None lets georeg choose.
        moving_modality, reference_modality: None means inferred.
        transform: a kind of `georeg.geometry.transforms.KINDS` or "auto".
        matcher: "auto" takes whatever docs/benchmark.md shows to be best.
        weights: a name of the shipped register, or a .safetensors file; None for the default.
        device: "auto", "cpu", "cuda" or "cuda:N".
        prior: "geocoding" trusts the files' own geocoding for a start, "none" ignores it, "auto" uses it where
            it exists and falls back to a blind search when it does not fit.
        search_radius_m: how far the geocoding may be off; None lets georeg choose and enlarge it.
        target_accuracy_m: matching stops once the predicted accuracy is better than this; None stops at about 0.1 px.
        exhaustive: match every tile.
        mask, reference_mask: paths to raster or vector masks.
        num_threads: CPU threads; 0 for all.
        memory_bytes: for pixels in hand: limits the threads that resample and, in a batch, the pairs at a time.
        seed: of every random draw.
    """

    bands: tuple[int, ...] | None = None
    reference_bands: tuple[int, ...] | None = None
    moving_modality: Modality | None = None
    reference_modality: Modality | None = None
    transform: str = "auto"
    matcher: str = "auto"
    weights: str | None = None
    device: str = "auto"
    prior: str = "auto"
    search_radius_m: float | None = None
    target_accuracy_m: float | None = None
    exhaustive: bool = False
    mask: str | None = None
    reference_mask: str | None = None
    num_threads: int = 0
    memory_bytes: int = 2 * 1024**3
    seed: int = 0

    def __post_init__(self) -> None:
        assert self.transform in ("auto", *KINDS), self.transform
        assert self.matcher in MATCHERS, self.matcher
        assert self.prior in PRIORS, self.prior

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
