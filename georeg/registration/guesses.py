"""The network's guesses at where the moving window lies: turns and scales tried in small images, then ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from georeg.geometry.transforms import MatrixTransform, apply_matrix
from georeg.matching.protocol import Correspondences, Matcher, PatchPair
from georeg.matching.sweep import Hypothesis
from georeg.registration.estimate import estimate
from georeg.registration.frames import warp_patch
from georeg.scene import FloatArray, Patch

TURN_DEG = 45.0
"""The network matches across turns of half this."""
SCALE_STEP = 1.6
"""And across scales up to this."""
RANKING_PX = 224
"""Long side of the reference while guesses are ranked: at 192 px the right one came first less often."""
CLOSER_PX = 288
"""The same for a closer look, at twice the cost: there the right one came first wherever it had not before."""
RANKING_THRESHOLD_PX = 6.0


def turns(rotations_deg: Sequence[float]) -> list[float]:
    """Turns TURN_DEG apart that cover the wanted rotations, the smallest first."""
    wanted = {round(r / TURN_DEG) * TURN_DEG % 360 for r in rotations_deg}
    return sorted(wanted, key=lambda r: min(r, 360 - r))


def scale_groups(scales: Sequence[float]) -> list[list[float]]:
    """Scales SCALE_STEP apart that cover the wanted ones: first 1 alone, then its neighbours, then theirs."""
    low, high = min(scales), max(scales)
    groups = [[SCALE_STEP**sign * SCALE_STEP ** (sign * n) for sign in (-1, 1)] for n in range(4)]
    wanted = [[s for s in group if low / 1.3 <= s <= high * 1.3] for group in groups]
    return [[1.0], *(group for group in wanted if group)]


def centred(moving: Patch, reference: Patch, rotation_deg: float, scale: float) -> Hypothesis:
    """The moving window turned and scaled about its centre, the centre on the reference's centre."""
    c, s = scale * np.cos(np.radians(rotation_deg)), scale * np.sin(np.radians(rotation_deg))
    matrix: FloatArray = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    centre = np.array([moving.shape[1], moving.shape[0]]) / 2
    matrix[:2, 2] = np.array([reference.shape[1], reference.shape[0]]) / 2 - matrix[:2, :2] @ centre
    return Hypothesis(matrix, rotation_deg, scale, 0.0)


def ranked(
    moving: Patch, reference: Patch, guesses: Sequence[Hypothesis], matcher: Matcher, long_side_px: int
) -> list[Hypothesis]:
    """The guesses as the matcher corrects them, the most certain first; those without support are dropped.

    Args:
        moving, reference: windows.
        guesses: between the windows.
        long_side_px: of the reference when they are matched.

    Returns:
        Hypotheses whose score is the certainty of the transform fitted to the matches.
    """
    factor = min(1.0, long_side_px / max(reference.shape))
    small_moving, small_reference = shrink(moving, factor), shrink(reference, factor)
    reduce_moving, reduce_reference = reduction(moving, small_moving), reduction(reference, small_reference)
    matrices = [reduce_reference @ guess.matrix @ np.linalg.inv(reduce_moving) for guess in guesses]
    found = []
    for guess, matches in zip(
        guesses, match_warped(small_moving, small_reference, matrices, matcher), strict=True
    ):
        fitted = estimate(matches, RANKING_THRESHOLD_PX, "affine") if len(matches) >= 6 else None
        if fitted is not None and isinstance(fitted.fit.transform, MatrixTransform):
            better = np.linalg.inv(reduce_reference) @ fitted.fit.transform.matrix @ reduce_moving
            found.append(replace(guess, matrix=better, score=fitted.certainty))
    return sorted(found, key=lambda h: -h.score)


def match_warped(
    moving: Patch, reference: Patch, matrices: Sequence[FloatArray], matcher: Matcher
) -> list[Correspondences]:
    """Matches between two windows, found after the moving one was warped by each matrix (moving px -> reference px)."""
    pairs = [PatchPair(warp_patch(moving, matrix, reference.shape), reference) for matrix in matrices]
    return [
        replace(found, moving_xy=apply_matrix(np.asarray(np.linalg.inv(matrix), np.float64), found.moving_xy))
        for matrix, found in zip(matrices, matcher.match(pairs), strict=True)
    ]


def shrink(patch: Patch, factor: float) -> Patch:
    """The patch at `factor` of its size, antialiased."""
    shape = max(8, round(patch.shape[0] * factor)), max(8, round(patch.shape[1] * factor))
    return (
        patch
        if shape == patch.shape
        else warp_patch(patch, np.diag([*_ratio(shape, patch.shape), 1.0]), shape)
    )


def reduction(patch: Patch, smaller: Patch) -> FloatArray:
    """(3, 3) pixels of a patch -> pixels of the shrunk one."""
    return np.diag([*_ratio(smaller.shape, patch.shape), 1.0])


def _ratio(shape: tuple[int, int], of: tuple[int, int]) -> tuple[float, float]:
    return shape[1] / of[1], shape[0] / of[0]
