"""The doctor's report in a few lines."""

from __future__ import annotations

import json

from click.testing import CliRunner
from georeg_cli.main import cli
from georeg_qgis.executable.doctor import describe


def test_a_report_with_everything() -> None:
    report = {
        "devices": [
            {"device": "cpu", "description": "8 threads", "memory_bytes": None},
            {"device": "cuda:0", "description": "Card", "memory_bytes": 8 * 1024**3},
        ],
        "weights": [{"name": "tiny"}, {"name": "base"}],
        "drivers": {"GTiff": True, "JP2OpenJPEG": False},
        "problems": ["the weights base are damaged"],
    }
    assert describe(report) == [
        "Device: cpu (8 threads)",
        "Device: cuda:0 (Card, 8 GB)",
        "Weights: tiny, base",
        "File formats that it cannot read: JP2OpenJPEG",
        "Problem: the weights base are damaged",
    ]


def test_an_empty_report_says_what_follows() -> None:
    assert describe({}) == ["Weights: none, so images are matched by structure"]


def test_georegs_own_report_is_understood() -> None:
    answer = CliRunner().invoke(cli, ["doctor", "--json"])
    lines = describe(json.loads(answer.stdout))
    assert any(line.startswith("Device: cpu (") for line in lines)
