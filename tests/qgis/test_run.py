"""Running a program that keeps georeg's contract: results, failures in words, cancelling the whole tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from georeg_qgis.executable import process, run
from georeg_qgis.executable.command import Machine, Match, OldExecutable
from georeg_qgis.executable.failure import GeoregFailed, failure_sentence
from georeg_qgis.executable.outcome import Outcome
from georeg_qgis.executable.process import Cancelled, ProgramMissing, end_all, run_program
from georeg_qgis.executable.run import georeg_version, run_georeg

PLUGIN = str(Path(__file__).parents[2] / "qgis_plugin")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a script with a #! line")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(name.encode())
    return str(tmp_path / "a.tif"), str(tmp_path / "b.tif")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _arguments(program: str, pair: tuple[str, str], tmp_path: Path) -> list[str]:
    request = Match(*pair, output=str(tmp_path / "out.tif"), registration=str(tmp_path / "r.json"))
    return request.arguments(program, Machine())


def test_a_good_run_gives_progress_files_and_the_result(fake_georeg, pair, tmp_path) -> None:
    reports: list = []
    result = run_georeg(_arguments(fake_georeg, pair, tmp_path), reports.append)
    outcome = Outcome.from_json(result)
    assert (outcome.verdict, outcome.inliers, outcome.accuracy) == ("pass", 431, "7.1 m (0.71 px)")
    assert reports[0].stage == "overview"
    assert reports[-1].stage == "report"
    assert (tmp_path / "out.tif").read_bytes() == b"a.tif"


def test_the_program_gets_a_clean_environment(fake_georeg, pair, tmp_path, logged, monkeypatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/usr/lib/qgis")
    monkeypatch.setenv("PROJ_LIB", "/usr/share/qgis/proj")
    run_georeg(_arguments(fake_georeg, pair, tmp_path))
    environment = logged()["environment"]
    assert "PYTHONHOME" not in environment
    assert "PROJ_LIB" not in environment


def test_text_between_the_progress_lines_is_passed_on(fake_georeg, pair, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "noise")
    texts: list[str] = []
    run_georeg(_arguments(fake_georeg, pair, tmp_path), on_text=texts.append)
    assert texts == ["georeg: WARNING: no nodata value is set", "{broken json", "{}"]


@pytest.mark.parametrize(
    ("mode", "code", "sentence"),
    [
        (
            "nooverlap",
            3,
            "The images do not overlap: 12 km lie between them. "
            "Try “Position stored in the files: ignore it” (under More options).",
        ),
        ("fail", 3, "7 matches found, 20 needed: try “Kind” of the image to align: sar."),
        ("usage", 2, "No such option: --nonsense"),
        ("input", 4, "a.tif is truncated: copy it again."),
        ("memory", 5, "Memory ran out: try a smaller memory limit (Settings > Options > GeoReg)"),
        ("diskfull", 5, "No space left to write out.tif: free some and try again"),
        ("silent", 3, "The images could not be registered."),
        ("garbage", 0, "georeg ended well, but its answer is not the JSON that was asked for."),
    ],
)
def test_failures_speak_with_georegs_own_sentence(
    mode, code, sentence, fake_georeg, pair, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FAKE_GEOREG", mode)
    with pytest.raises(GeoregFailed) as failure:
        run_georeg(_arguments(fake_georeg, pair, tmp_path))
    assert str(failure.value) == sentence
    assert failure.value.code == code
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(("mode", "words"), [("crash", "memory ran out"), ("traceback", "ValueError: a bug")])
def test_crashes_are_explained(mode, words, fake_georeg, pair, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", mode)
    with pytest.raises(GeoregFailed, match=words):
        run_georeg(_arguments(fake_georeg, pair, tmp_path))


def test_a_code_without_words_still_has_a_sentence() -> None:
    assert failure_sentence(42, []) == "georeg ended with exit code 42 and no message."
    assert failure_sentence(4, ['{"stage": "tiles", "done": 1, "total": 2}']).startswith("An input image")


@pytest.mark.parametrize("mode", ["sleep", "stubborn"])
def test_cancel_ends_the_whole_tree(mode, fake_georeg, pair, tmp_path, logged, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", mode)
    monkeypatch.setattr(process, "INTERRUPT_GRACE_S", 0.5)
    monkeypatch.setattr(process, "TERMINATE_GRACE_S", 0.3)
    asked = threading.Event()
    with pytest.raises(Cancelled):
        run_georeg(
            _arguments(fake_georeg, pair, tmp_path), lambda progress: asked.set(), is_cancelled=asked.is_set
        )
    entry = logged("child")
    time.sleep(0.1)
    assert not _alive(entry["pid"])
    assert not _alive(entry["child"])


def test_cancel_before_the_first_word(fake_georeg, pair, tmp_path, logged, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_georeg(_arguments(fake_georeg, pair, tmp_path), is_cancelled=lambda: True)
    assert time.monotonic() - started < 5


def test_an_error_in_the_listener_ends_the_program_too(
    fake_georeg, pair, tmp_path, logged, monkeypatch
) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "sleep")

    def broken(progress) -> None:
        raise RuntimeError("the dialog is gone")

    with pytest.raises(RuntimeError, match="dialog"):
        run_georeg(_arguments(fake_georeg, pair, tmp_path), broken)
    assert not _alive(logged("child")["pid"])


def test_end_all_ends_what_runs_in_other_threads(fake_georeg, pair, tmp_path, logged, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run_georeg(_arguments(fake_georeg, pair, tmp_path))
        except GeoregFailed as failure:
            failures.append(failure)

    worker = threading.Thread(target=work)
    worker.start()
    entry = logged("child")
    end_all()
    worker.join(10)
    assert not worker.is_alive()
    assert not _alive(entry["child"])
    assert [failure.code for failure in failures] == [130]


def test_the_program_ends_when_qgis_is_killed(fake_georeg, logged, monkeypatch) -> None:
    """What starts the program here stands for QGIS."""
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    code = f"""
import sys
sys.path.insert(0, {PLUGIN!r})
from georeg_qgis.executable.process import run_program
run_program([{fake_georeg!r}, "match"])
"""
    qgis = subprocess.Popen([sys.executable, "-c", code])
    entry = logged("child")
    qgis.kill()
    qgis.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (_alive(entry["pid"]) or _alive(entry["child"])):
        time.sleep(0.05)
    assert not _alive(entry["pid"])
    assert not _alive(entry["child"])


def test_a_child_left_behind_by_a_crash_is_ended(tmp_path) -> None:
    script = 'sleep 100 & echo $! > "$1"; exit 1'
    finished = run_program(["/bin/sh", "-c", script, "sh", str(tmp_path / "pid")])
    assert finished.code == 1
    time.sleep(0.1)
    assert not _alive(int((tmp_path / "pid").read_text()))


def test_much_output_does_not_block(tmp_path) -> None:
    finished = run_program(["/bin/sh", "-c", "seq 1 60000; seq 1 60000 >&2"])
    assert len(finished.stdout.splitlines()) == 60000
    assert finished.stderr_lines[-1] == "60000"


def test_a_program_that_cannot_start_is_named() -> None:
    with pytest.raises(ProgramMissing, match="/nowhere/georeg could not be started"):
        run_program(["/nowhere/georeg"])


def test_an_old_program_is_refused(fake_georeg, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "old")
    with pytest.raises(OldExecutable, match=r"0\.0\.3 is too old"):
        georeg_version(fake_georeg)


def test_a_program_that_never_answers_is_given_up(fake_georeg, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "hanging")
    monkeypatch.setattr(run, "PATIENCE_S", 0.5)
    with pytest.raises(OldExecutable, match="said nothing"):
        georeg_version(fake_georeg)


def test_cancel_while_the_version_is_asked(fake_georeg, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "hanging")
    started = time.monotonic()
    with pytest.raises(Cancelled):
        georeg_version(fake_georeg, lambda: time.monotonic() > started + 0.3)
    assert time.monotonic() < started + 20


def test_the_version_is_asked_once_for_one_file(fake_georeg, monkeypatch) -> None:
    assert georeg_version(fake_georeg) == "0.1.0"
    monkeypatch.setenv("FAKE_GEOREG", "old")
    assert georeg_version(fake_georeg) == "0.1.0"
    os.utime(fake_georeg, (1, 1))
    with pytest.raises(OldExecutable):
        georeg_version(fake_georeg)


def test_the_program_leads_a_session_of_its_own(fake_georeg, pair, tmp_path, logged, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_GEOREG", "sleep")
    program = subprocess.Popen([fake_georeg, "match"], start_new_session=True)
    try:
        assert os.getsid(logged("child")["child"]) == program.pid
    finally:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
