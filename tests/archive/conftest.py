"""Pairs that cost nothing, in a folder of their own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that worker processes find fake_delivery

from georeg.archive.pairs import Pair


@pytest.fixture
def make_pairs(tmp_path):
    """make_pairs("pass", "fail", ...): a pair for each, named p0, p1, ..., that acts as the words say."""
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "reference.tif").write_text("reference")

    def make(*words: str) -> list[Pair]:
        pairs = []
        for number, text in enumerate(words):
            moving = inputs / f"p{number}.tif"
            moving.write_text(text)
            pairs.append(Pair(str(moving), str(inputs / "reference.tif"), origin=f"line {number}"))
        return pairs

    return make
