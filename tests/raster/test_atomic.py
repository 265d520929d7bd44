"""Outputs appear whole or not at all, and every refusal comes before anything is lost."""

import errno
import os
import resource
import signal

import numpy as np
import pytest

from georeg.errors import InputError, ResourceError, UsageError
from georeg.raster.atomic import atomic_output, check_output

from ..rasters import write


def test_output_appears_at_the_end_with_its_sidecars(tmp_path):
    final = tmp_path / "out.tif"
    with atomic_output(final) as temporary:
        temporary.write_text("new")
        temporary.with_name(temporary.name + ".aux.xml").write_text("aux")
        assert temporary.parent == tmp_path
        assert not final.exists()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"out.tif": "new", "out.tif.aux.xml": "aux"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_failure_leaves_what_was_there(tmp_path, error):
    final = tmp_path / "out.tif"
    final.write_text("old")

    def interrupted():
        with atomic_output(final, overwrite=True) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"out.tif": "old"}


def test_stale_sidecars_go_with_the_file_they_belonged_to(tmp_path):
    (tmp_path / "out.tif").write_text("old")
    (tmp_path / "out.tif.aux.xml").write_text("old")
    with atomic_output(tmp_path / "out.tif", overwrite=True) as temporary:
        temporary.write_text("new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"out.tif": "new"}


def test_inputs_and_existing_files_are_safe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.tif").write_text("old")
    (tmp_path / "link.tif").symlink_to(tmp_path / "in.tif")
    for name in ("in.tif", str(tmp_path / "in.tif"), "link.tif", "./in.tif"):
        with pytest.raises(UsageError, match="also an input"):
            check_output(name, [tmp_path / "in.tif"], overwrite=True)
    with pytest.raises(UsageError, match="--overwrite"):
        check_output("in.tif")
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path)


def test_missing_and_unwritable_folders(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist: create it"):
        check_output(tmp_path / "none" / "out.tif")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="may not be written to"):
        check_output(tmp_path / "out.tif")


def test_full_disk_is_one_sentence(tmp_path):
    def full():
        with atomic_output(tmp_path / "out.tif"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError, match=r"disk is full: .*out.tif could not be written"):
        full()
    assert not list(tmp_path.iterdir())


def test_raster_that_does_not_fit_is_a_full_disk(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        with (
            pytest.raises(ResourceError, match="disk is full"),
            atomic_output(tmp_path / "out.tif") as temporary,
        ):
            write(temporary, np.ones((800, 800), np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())
