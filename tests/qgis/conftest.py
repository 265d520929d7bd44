"""The parts of the QGIS plugin that need no QGIS, tested against a program that stands in for georeg."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "qgis_plugin"
sys.path.insert(0, str(PLUGIN))


@pytest.fixture
def fake_georeg(tmp_path: Path) -> str:
    """An executable that keeps georeg's contract."""
    program = tmp_path / "bin" / "georeg"
    program.parent.mkdir()
    script = (PLUGIN / "tests" / "fake_georeg.py").read_text(encoding="utf-8")
    program.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """What the fake program says of itself, once it has."""
    log = tmp_path / "log.json"
    monkeypatch.setenv("FAKE_GEOREG_LOG", str(log))

    def read(key: str = "pid") -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if log.exists() and (entry := json.loads(log.read_text()))[key] is not None:
                return entry
            time.sleep(0.02)
        raise AssertionError("the fake program said nothing")

    return read
