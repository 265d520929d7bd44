"""Temporary files of a run that was ended by force go; everything else stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from georeg_qgis.executable import process
from georeg_qgis.executable.failure import GeoregFailed
from georeg_qgis.executable.leftovers import Outputs
from georeg_qgis.executable.process import Cancelled
from georeg_qgis.executable.run import run_georeg

from georeg.raster.atomic import atomic_output


def test_what_georeg_leaves_when_it_is_killed_is_found(tmp_path: Path) -> None:
    """Against georeg's own way to name temporary files."""
    output = tmp_path / "out v2.tif"
    written = Outputs([str(output)])
    with atomic_output(output) as temporary:
        temporary.write_bytes(b"half")
        (tmp_path / (temporary.name + ".aux.xml")).write_bytes(b"half")
        assert len(written.tidy()) == 2
        assert not temporary.exists()
        temporary.write_bytes(b"whole")
    assert output.read_bytes() == b"whole"


def test_other_files_stay(tmp_path: Path) -> None:
    old = tmp_path / ".out.12-0123abcd.tif"
    others = [
        tmp_path / name for name in (".other.12-0123abcd.tif", ".out.tif", "out.tif", ".out.12-0123abcd.txt")
    ]
    for path in (old, *others):
        path.write_bytes(b"")
    os.utime(old, (1000, 1000))
    paths = [str(tmp_path / "out.tif"), "", str(tmp_path / "no" / "out.tif")]
    assert Outputs(paths).withdraw() == []
    assert old.exists()
    assert all(path.exists() for path in others)


def test_whole_outputs_are_withdrawn_if_they_are_new(tmp_path: Path) -> None:
    old, new = tmp_path / "old.tif", tmp_path / "new.tif"
    old.write_bytes(b"before")
    written = Outputs([str(old), str(new)])
    old.write_bytes(b"replaced")
    new.write_bytes(b"whole")
    assert written.withdraw() == [str(new)]
    assert old.exists()


def test_a_run_that_ends_with_qgis_leaves_none(fake_georeg, tmp_path, monkeypatch) -> None:
    """georeg has written one output whole when QGIS is closed and it is asked to stop."""
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    output = tmp_path / "out.tif"

    def close(progress) -> None:
        output.write_bytes(b"whole")
        threading.Thread(target=process.end_all).start()

    arguments = [fake_georeg, "match", "--", "a.tif", "b.tif", str(output)]
    with pytest.raises(GeoregFailed):
        run_georeg(arguments, close, outputs=[str(output)])
    assert not output.exists()


def test_a_cancelled_run_leaves_none(fake_georeg, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "killed_while_writing")
    monkeypatch.setattr(process, "INTERRUPT_GRACE_S", 0.2)
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.2)
    output = tmp_path / "out.tif"
    seen: list = []
    arguments = [fake_georeg, "match", "--", "a.tif", "b.tif", str(output)]
    with pytest.raises(Cancelled):
        run_georeg(arguments, seen.append, is_cancelled=lambda: bool(seen), outputs=[str(output)])
    assert seen
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []
