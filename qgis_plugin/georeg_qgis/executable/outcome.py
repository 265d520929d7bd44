"""What georeg found, read from its registration.json, in words that need no training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERDICTS = {"pass": "Aligned", "warn": "Aligned, but check it", "fail": "Not aligned"}
MEANINGS = {
    "Accuracy": "Nine of ten check points, which were not used for the fit, lie closer than this.",
    "Tie points": "Points that agree with the transform, of all that were matched.",
    "Overlap covered": "The part of the common area that has tie points nearby.",
    "Chance it is right": "How often georeg was right on test pairs that looked like this one.",
    "Transform": "The simplest one that the tie points do not contradict.",
}
TRANSFORMS = {
    "shift": "Shift",
    "similarity": "Shift, rotation, scale",
    "affine": "Affine",
    "homography": "Perspective",
    "polynomial2": "Polynomial, 2nd order",
    "polynomial3": "Polynomial, 3rd order",
    "tps": "Thin-plate spline",
}


@dataclass(frozen=True)
class Outcome:
    """The figures of one registration that a user asks for.

    Attributes:
        verdict: "pass", "warn" or "fail".
        reasons: one sentence each.
        ce90_m, ce90_px: nine of ten check points are closer than this; None where unknown.
        inliers, matches: tie points used, tie points found.
        probability: that the registration is right, 0..1; None where unknown.
        coverage: share of the overlap with tie points nearby, 0..1; None where unknown.
        transform: kind of transform, "" where nothing was estimated.
    """

    verdict: str
    reasons: tuple[str, ...]
    ce90_m: float | None
    ce90_px: float | None
    inliers: int
    matches: int
    probability: float | None
    coverage: float | None
    transform: str

    @classmethod
    def from_json(cls, registration: dict[str, Any]) -> Outcome:
        """Read a registration.json; raises ValueError where it is something else."""
        quality = registration.get("quality")
        if not isinstance(quality, dict) or quality.get("verdict") not in VERDICTS:
            raise ValueError("This is not a registration.json of georeg: it has no quality.verdict.")
        transform = registration.get("transform") or {}
        return cls(
            verdict=quality["verdict"],
            reasons=tuple(str(reason) for reason in quality.get("reasons") or ()),
            ce90_m=_number(quality.get("ce90_m")),
            ce90_px=_number(quality.get("ce90_px")),
            inliers=int(quality.get("inliers") or 0),
            matches=int(quality.get("matches") or 0),
            probability=_number(quality.get("probability_correct")),
            coverage=_number(quality.get("coverage")),
            transform=str(transform.get("kind") or ""),
        )

    @property
    def headline(self) -> str:
        return VERDICTS[self.verdict]

    @property
    def accuracy(self) -> str:
        """ "0.8 m (0.40 px)"; "unknown" where georeg could not measure it."""
        pixels = None if self.ce90_px is None else f"{_short(self.ce90_px)} px"
        metres = None if self.ce90_m is None else f"{_short(self.ce90_m)} m"
        if metres and pixels:
            return f"{metres} ({pixels})"
        return metres or pixels or "unknown"

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Label and value of each figure on the result card."""
        rows = [("Accuracy", self.accuracy), ("Tie points", f"{self.inliers} used of {self.matches}")]
        if self.coverage is not None:
            rows.append(("Overlap covered", f"{round(100 * self.coverage)} %"))
        if self.probability is not None:
            rows.append(("Chance it is right", _percent(self.probability)))
        if self.transform:
            rows.append(("Transform", TRANSFORMS.get(self.transform, self.transform)))
        return rows


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _short(value: float) -> str:
    """Two significant digits below 10, whole numbers above."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _percent(share: float) -> str:
    if share > 0.99:
        return "over 99 %"
    return "under 1 %" if share < 0.01 else f"{round(100 * share)} %"
