"""Remedies by the names that things have in QGIS."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from georeg_cli.main import cli
from georeg_qgis.executable.wording import NAMES, in_qgis


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("the images do not overlap.", "The images do not overlap."),
        (
            "no match: try --prior none.",
            "No match: try “Position stored in the files: ignore it” (under More options).",
        ),
        (
            "--search-radius, --mask or another band may help",
            "“How far the position may be off” (under More options), “Mask of the moving image” or another "
            "band may help",
        ),
        (
            "--search-radius METRES looks farther",
            "“How far the position may be off” (under More options) looks farther",
        ),
        ("try --masking", "Try --masking"),
        ("", ""),
        (
            "a.tif is gone: try --moving-modality sar.",
            "a.tif is gone: try “Kind” of the image to align: sar.",
        ),
    ],
)
def test_options_get_their_names(sentence: str, words: str) -> None:
    assert in_qgis(sentence) == words


def test_every_option_named_here_exists() -> None:
    help_text = CliRunner().invoke(cli, ["match", "--help"]).output
    assert all(option.split()[0] in help_text for option in NAMES)
