"""A registration in a few plain lines, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from georeg.result import Registration


def summary_lines(registration: Registration, written: Sequence[str]) -> list[str]:
    """Verdict, accuracy, support, reasons and what was written."""
    quality, transform = registration.quality, registration.transform
    lines = [f"verdict    {quality.verdict}, right with probability {probability_text(registration)}"]
    if transform is not None:
        lines.append(
            f"transform  {transform.kind}, {registration.moving.name} to {registration.reference.name}"
        )
    lines.append(f"accuracy   {accuracy_text(registration)}")
    agreeing = f"{quality.inliers} of {quality.matches} matches agree"
    lines.append(f"support    {agreeing}, over {quality.coverage:.0%} of the overlap")
    lines += [f"because    {reason}" for reason in quality.reasons]
    return lines + [f"wrote      {path}" for path in written]


def probability_text(registration: Registration) -> str:
    """Two digits; certainty is never claimed."""
    probability = registration.quality.probability_correct
    return "> 0.99" if probability > 0.99 else f"{probability:.2f}"


def accuracy_text(registration: Registration) -> str:
    """RMSE and CE90 at the check points, in pixels and where it is known in metres."""
    quality = registration.quality
    if quality.holdout_rmse_px is None or quality.ce90_px is None:
        return "not known: too few check points"
    metres = "" if quality.ce90_m is None else f" ({quality.ce90_m:.2f} m)"
    figures = f"{quality.holdout_rmse_px:.2f} px RMSE, {quality.ce90_px:.2f} px CE90{metres}"
    return f"{figures}, at check points left out of the fit"
