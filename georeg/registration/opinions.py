"""Two matchers' answers to one question: which is believed, and what both together say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from georeg.result import Registration

CONTRADICTION_PX = 10.0
"""Answers farther apart than this (pixels of a reference of 640 px, mean of the corners) cannot both be right."""


def surer(first: Registration, second: Registration) -> Registration:
    """The first answer, unless it is refused or contradicted, and the second one is held to be more probable.

    A contradicted answer is never passed.
    """
    if second.quality.probability_correct <= first.quality.probability_correct:
        return first
    if first.transform is None:
        return second
    apart = apart_px(first, second)
    if apart > CONTRADICTION_PX:
        return doubted(
            second, f"another matcher puts its corners elsewhere: {apart:.0f} px of an image of 640 px"
        )
    return second if first.quality.verdict == "fail" else first


def agree(first: Registration, second: Registration, work_step: float) -> bool:
    """Whether both answers say the same, but for their accuracy: on the whole scene and at full detail.

    `work_step` is the reference pixels per pixel of the coarser scene.
    """
    within = CONTRADICTION_PX * work_step
    return apart_px(first, second) <= CONTRADICTION_PX and corners_apart_px(first, second) <= within


def as_probable_as(best: Registration, together: Registration) -> Registration:
    """What both matchers' tie points say together, believed as far as the better answer was by itself.

    The probability is calibrated on one matcher's matches, and these were chosen because they agree.
    """
    if together.transform is None:
        return best
    quality = replace(
        together.quality,
        verdict=best.quality.verdict,
        reasons=best.quality.reasons,
        probability_correct=best.quality.probability_correct,
    )
    return replace(together, quality=quality, run=best.run)


def doubted(answer: Registration, reason: str) -> Registration:
    """The answer with one more reason against it, so that the best verdict is "warn"."""
    quality = answer.quality
    verdict = "warn" if quality.verdict == "pass" else quality.verdict
    return replace(answer, quality=replace(quality, verdict=verdict, reasons=(*quality.reasons, reason)))


def apart_px(first: Registration, second: Registration) -> float:
    """As `corners_apart_px`, in pixels of a reference of 640 px."""
    grid = first.reference.grid
    return corners_apart_px(first, second) * 640 / max(grid.width, grid.height)


def corners_apart_px(first: Registration, second: Registration) -> float:
    """Mean distance of the moving scene's corners between two answers, reference pixels."""
    if first.transform is None or second.transform is None:
        return math.inf
    corners = first.moving.grid.corners_xy
    return float(np.linalg.norm(first.transform(corners) - second.transform(corners), axis=1).mean())
