"""Which program is run, and with which environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from georeg_qgis.executable.environment import (
    DROPPED,
    ExecutableMissing,
    clean_environment,
    find_executable,
    program_in,
)


def _program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_variables_of_qgis_are_dropped_and_others_kept() -> None:
    before = {
        **dict.fromkeys(DROPPED, "qgis"),
        "HOME": "/home/a",
        "PATH": "/usr/bin",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    after = clean_environment(before, "/opt/georeg/bin/georeg")
    assert not set(DROPPED) & set(after)
    assert after["HOME"] == "/home/a"
    assert after["CUDA_VISIBLE_DEVICES"] == "1"
    assert after["PATH"].split(os.pathsep) == ["/opt/georeg/bin", "/usr/bin"]


def test_every_variable_that_the_design_names_is_dropped() -> None:
    named = "PYTHONHOME PYTHONPATH PYTHONEXECUTABLE GDAL_DATA PROJ_LIB PROJ_DATA LD_LIBRARY_PATH VIRTUAL_ENV"
    assert set(named.split()) <= set(DROPPED)


def test_the_chosen_program_wins_then_the_own_one_then_the_path(tmp_path: Path) -> None:
    chosen, own = _program(tmp_path / "a" / "georeg"), _program(program_in(tmp_path / "own"))
    on_path = _program(tmp_path / "c" / "georeg")
    found = [
        find_executable(str(chosen), tmp_path / "own", str(on_path.parent)),
        find_executable("", tmp_path / "own", str(on_path.parent)),
        find_executable("", tmp_path / "nothing", str(on_path.parent)),
    ]
    assert [(one.path, one.origin) for one in found] == [
        (str(chosen), "settings"), (str(own), "plugin"), (str(on_path), "path"),
    ]  # fmt: skip


def test_a_folder_or_virtual_environment_may_be_chosen(tmp_path: Path) -> None:
    program = _program(program_in(tmp_path / "venv"))
    assert find_executable(str(tmp_path / "venv"), None, "").path == str(program)


def test_a_chosen_program_that_is_gone_is_not_replaced_by_another(tmp_path: Path) -> None:
    on_path = _program(tmp_path / "georeg")
    with pytest.raises(ExecutableMissing, match="not a program"):
        find_executable(str(tmp_path / "gone"), None, str(on_path.parent))


def test_no_program_at_all_says_where_to_choose_one() -> None:
    with pytest.raises(ExecutableMissing, match="Settings > Options > GeoReg"):
        find_executable("", None, "")
