"""What every matcher takes and gives back.

A matcher sees pairs of windows of any equal or different size and returns correspondences in the windows' own
pixel-corner coordinates. It knows nothing of scenes, files or geocoding; the registration room maps windows to scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from georeg.scene import FloatArray, Patch


@dataclass(frozen=True)
class PatchPair:
    """Two windows that may show the same ground.

    In the tile stage both were resampled into the reference frame, so the same pixel shows nearly the same ground;
    in the overview stage a hypothesis (rotation, scale) has been applied to the moving one before.
    """

    moving: Patch
    reference: Patch


@dataclass(frozen=True)
class Correspondences:
    """Point pairs, with how sure the matcher is of each.

    Attributes:
        moving_xy: (N, 2) pixel-corner coordinates in the moving window.
        reference_xy: (N, 2) pixel-corner coordinates in the reference window.
        confidence: (N,) in 0..1; comparable within one matcher only.
    """

    moving_xy: FloatArray
    reference_xy: FloatArray
    confidence: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.confidence)

    def __getitem__(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice) -> Correspondences:
        return Correspondences(self.moving_xy[index], self.reference_xy[index], self.confidence[index])

    def share(self, chosen: npt.NDArray[np.bool_]) -> float:
        """Of the chosen ones among all, each counting by its confidence; 0 where there are none."""
        return float(self.confidence[chosen].sum() / max(self.confidence.sum(), 1e-9))

    @classmethod
    def empty(cls) -> Correspondences:
        return cls(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))

    @classmethod
    def concatenate(cls, parts: Sequence[Correspondences]) -> Correspondences:
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([p.moving_xy for p in parts]),
            np.concatenate([p.reference_xy for p in parts]),
            np.concatenate([p.confidence for p in parts]),
        )


class Matcher(Protocol):
    """Implemented by `StructuralMatcher` and `NetworkMatcher`."""

    @property
    def name(self) -> str:
        """Short name for registration.json: "structural", "network" or "hybrid"."""

    @property
    def weights_sha256(self) -> str | None:
        """Checksum of the weights in use; None where there are none."""

    def match(self, pairs: Sequence[PatchPair]) -> list[Correspondences]:
        """Match each pair; the list is as long as `pairs`, with empty Correspondences where nothing matched."""
