"""registration.json in words."""

from __future__ import annotations

from typing import Any

import pytest
from georeg_qgis.executable.outcome import MEANINGS, Outcome


def _registration(**quality: Any) -> dict[str, Any]:
    base = {"verdict": "pass", "reasons": [], "ce90_m": 0.834, "ce90_px": 0.4, "matches": 50, "inliers": 40}
    return {"quality": {**base, **quality}, "transform": {"kind": "homography"}}


def test_rows_say_what_a_user_asks() -> None:
    outcome = Outcome.from_json(_registration(coverage=0.5, probability_correct=0.998))
    assert outcome.headline == "Aligned"
    assert set(MEANINGS) == set(dict(outcome.rows))
    assert dict(outcome.rows) == {
        "Accuracy": "0.83 m (0.40 px)",
        "Tie points": "40 used of 50",
        "Overlap covered": "50 %",
        "Chance it is right": "over 99 %",
        "Transform": "Perspective",
    }


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ({"ce90_m": None}, "0.40 px"),
        ({"ce90_m": None, "ce90_px": None}, "unknown"),
        ({"ce90_m": 123.4, "ce90_px": 12.3}, "123 m (12 px)"),
    ],
)
def test_accuracy_without_metres_or_at_all(quality: dict[str, Any], words: str) -> None:
    assert Outcome.from_json(_registration(**quality)).accuracy == words


def test_a_failed_registration_has_no_transform() -> None:
    registration = {**_registration(verdict="fail", reasons=["7 matches"]), "transform": None}
    outcome = Outcome.from_json(registration)
    assert (outcome.headline, outcome.reasons, outcome.transform) == ("Not aligned", ("7 matches",), "")


@pytest.mark.parametrize("other", [{}, {"quality": None}, {"quality": {"verdict": "maybe"}}])
def test_another_json_file_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="registration"):
        Outcome.from_json(other)
