"""georeg in an environment of its own: made, used, removed; half an installation is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from georeg_qgis.executable.installation import (
    Installation,
    InstallationFailed,
    find_python,
    python_problem,
)
from georeg_qgis.executable.process import Cancelled

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake Python is a script with a #! line")

FAKE_PYTHON = """#!/bin/sh
echo "python $*"
case "$*" in
  *"-m venv"*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
  *"pip install"*BROKEN*) echo "ERROR: no matching distribution" >&2; exit 1;;
  *"pip install"*EMPTY*) ;;
  *"pip install"*SLOW*) sleep 60;;
  *"pip install"*) printf '#!/bin/sh\\n' > "$(dirname "$0")/georeg"; chmod +x "$(dirname "$0")/georeg";;
esac
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    path = tmp_path / "python3"
    path.write_text(FAKE_PYTHON)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation.in_profile(str(tmp_path / "profile"))


def test_install_then_remove(installation, python) -> None:
    log: list[str] = []
    program = installation.install(python, "georeg.whl", log.append)
    assert Path(program).is_file()
    assert installation.exists
    assert any("pip install" in line and "georeg.whl" in line for line in log)
    assert installation.remove()
    assert not installation.folder.exists()
    assert not installation.remove()


def test_pip_runs_only_inside_the_new_environment(installation, python) -> None:
    make, install = installation.commands(python, "georeg.whl")
    assert make == [python, "-m", "venv", str(installation.environment)]
    assert install[0].startswith(str(installation.environment))


@pytest.mark.parametrize(
    ("source", "words"), [("BROKEN", "no matching distribution"), ("EMPTY", "no georeg program")]
)
def test_a_failed_installation_leaves_nothing(source, words, installation, python) -> None:
    with pytest.raises(InstallationFailed, match=words):
        installation.install(python, source)
    assert not installation.folder.exists()


def test_a_cancelled_installation_leaves_nothing(installation, python) -> None:
    log: list[str] = []
    with pytest.raises(Cancelled):
        installation.install(python, "SLOW", log.append, lambda: any("pip" in line for line in log))
    assert not installation.folder.exists()


def test_a_folder_of_the_users_is_never_touched(installation, python) -> None:
    installation.folder.mkdir(parents=True)
    (installation.folder / "mine.txt").write_text("precious")
    with pytest.raises(InstallationFailed, match="not made by this plugin"):
        installation.install(python, "georeg.whl")
    assert not installation.remove()
    assert (installation.folder / "mine.txt").read_text() == "precious"


def test_files_of_the_users_survive_the_removal(installation, python) -> None:
    installation.install(python, "georeg.whl")
    (installation.folder / "mine.txt").write_text("precious")
    installation.remove()
    assert (installation.folder / "mine.txt").read_text() == "precious"


def test_what_cannot_be_deleted_stays_known(installation, python, monkeypatch) -> None:
    installation.install(python, "georeg.whl")
    monkeypatch.setattr("shutil.rmtree", lambda *arguments, **options: None)
    with pytest.raises(InstallationFailed, match="still running"):
        installation.remove()
    assert installation.exists


def test_an_old_python_is_refused(tmp_path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3.9\n")
    old.chmod(0o755)
    assert "3.9; georeg needs Python 3.11" in python_problem(str(old))
    assert find_python(str(tmp_path)) is None


def test_a_python_that_cannot_make_environments_is_refused(tmp_path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho \"No module named 'ensurepip'\" >&2\nexit 1\n")
    broken.chmod(0o755)
    assert "python3-venv" in python_problem(str(broken))
