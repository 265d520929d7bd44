"""What can be known before any work: every refusal names the cause and the remedy."""

from __future__ import annotations

import numpy as np

from georeg.errors import InputError, NotRegistrableError
from georeg.scene import Patch, Scene

SMALLEST_PX = 32
LEAST_VALID = 0.01


def check_pair(moving: Scene, reference: Scene) -> None:
    """Refuse scenes that are too small to match.

    Raises:
        NotRegistrableError: a side is shorter than SMALLEST_PX.
    """
    for role, scene in (("moving", moving), ("reference", reference)):
        if min(scene.grid.shape) < SMALLEST_PX:
            raise NotRegistrableError(
                f"The {role} image {scene.name} has {scene.grid.width} x {scene.grid.height} pixels, at least "
                f"{SMALLEST_PX} x {SMALLEST_PX} are needed: give a larger image."
            )


def check_patch(patch: Patch, role: str, scene: Scene) -> None:
    """Refuse an overview that holds nothing to match.

    Raises:
        InputError: no pixel is valid.
        NotRegistrableError: all valid pixels have one value.
    """
    share = float(patch.valid.mean())
    if share == 0:
        bands = ", ".join(map(str, scene.bands))
        raise InputError(
            f"The {role} image {scene.name} has no valid pixel in band {bands} (all nodata, masked or NaN): "
            f"choose another band with --{'band' if role == 'moving' else 'reference-band'}, or check nodata and mask."
        )
    if not np.any(patch.pixels[patch.valid]):
        raise NotRegistrableError(
            f"The {role} image {scene.name} has one single value in all its valid pixels, nothing can be matched: "
            "choose another band or another image."
        )
