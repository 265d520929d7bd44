"""A file written through `replacing` is whole or not there, and what was there before survives a failure."""

import errno

import pytest

from georeg.errors import ResourceError
from georeg.output.atomic import replacing


def test_the_file_appears_at_the_end_only(tmp_path):
    final = tmp_path / "out.tif"
    with replacing(final) as temporary:
        assert temporary.endswith(".tif")
        with open(temporary, "w") as file:
            file.write("new")
        assert not final.exists()
    assert final.read_text() == "new"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    final = tmp_path / "out.tif"
    final.write_text("old")

    def fail():
        with replacing(final) as temporary:
            for name in (temporary, temporary + ".aux.xml"):
                with open(name, "w") as file:
                    file.write("half")
            raise error

    with pytest.raises(error):
        fail()
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(ResourceError, match="no space left to write"), replacing(tmp_path / "out.tif"):
        raise OSError(errno.ENOSPC, "No space left on device")
