"""The frame of the command line: cheap help, completion, exit codes, verbosity."""

import errno
import logging
import os
import signal
import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner
from georeg_cli import main as frame
from georeg_cli.main import COMMANDS, cli, explain

from georeg import errors

HEAVY = {"torch", "numpy", "rasterio", "cv2", "scipy", "pyogrio"}


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, timeout=60
    )


@pytest.mark.parametrize("start", ["import georeg", "from georeg_cli.main import cli; cli(['--help'])"])
def test_neither_the_import_nor_the_help_loads_anything_heavy(start):
    ending = f"import sys, atexit; atexit.register(lambda: print('loaded:', {HEAVY} & set(sys.modules)))"
    done = python(f"{ending}\n{start}")
    assert done.returncode == 0, done.stderr
    assert "loaded: set()" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name):
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0, done.stderr
    assert f"georeg {name}" in done.stdout
    assert "Example" in done.stdout


def test_every_option_has_a_help_text():
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        bare = [p.opts for p in command.params if isinstance(p, click.Option) and not p.help]
        assert not bare, (name, bare)


def test_completion_lists_the_commands():
    done = python(
        "from georeg_cli.main import main; main()",
        _GEOREG_COMPLETE="bash_complete",
        COMP_WORDS="georeg ",
        COMP_CWORD="1",
    )
    assert {line.split(",")[1] for line in done.stdout.split()} == set(COMMANDS)


def test_version_and_unknown_commands():
    assert CliRunner().invoke(cli, ["--version"]).stdout.strip() == f"georeg, version {version('georeg')}"
    done = CliRunner().invoke(cli, ["mach"])
    assert done.exit_code == 2
    assert "No such command 'mach'" in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("a"), 2),
        (errors.NotRegistrableError("a"), 3),
        (errors.InputError("a"), 4),
        (errors.ResourceError("a"), 5),
        (errors.BatchFailedError("a"), 6),
        (MemoryError(), 5),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), 5),
        (OSError(errno.ENOSPC, "No space left on device", "out.tif"), 5),
        (OSError(errno.EACCES, "Permission denied", "out.tif"), 1),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_errors_have_their_exit_codes(error, code):
    assert explain(error)[0] == code
    assert explain(error)[1]


@pytest.fixture
def command(monkeypatch):
    """Put a command of its own into the group: `command(function)` and then `georeg try`."""

    def install(function):
        monkeypatch.setattr(frame.LazyGroup, "get_command", lambda *args: click.command("try")(function))
        return lambda: CliRunner().invoke(cli, ["try"])

    return install


def failing(error):
    def function():
        raise error

    return function


def test_an_error_is_one_line_on_standard_error(command):
    done = command(failing(errors.InputError("a.tif does not exist: check the path.")))()
    assert done.exit_code == 4
    assert done.stderr == "georeg: error: a.tif does not exist: check the path.\n"
    assert done.stdout == ""


def test_an_unexpected_error_says_how_to_learn_more(command):
    done = command(failing(ZeroDivisionError("division by zero")))()
    assert done.exit_code == 1
    assert "unexpected ZeroDivisionError: division by zero" in done.stderr
    assert "-v" in done.stderr


def test_v_shows_where_an_unexpected_error_came_from(command, caplog):
    with caplog.at_level(logging.INFO, "georeg"):
        command(failing(errors.InputError("a.tif does not exist: check the path.")))()
        assert "Traceback" not in caplog.text
        command(failing(ZeroDivisionError("division by zero")))()
        assert "in function" in caplog.text


def test_ctrl_c_ends_with_130(command):
    done = command(failing(KeyboardInterrupt()))()
    assert done.exit_code == 130
    assert "interrupted" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_130_and_run_what_cleans_up(number):
    code = f"""
import os, signal, time, click
from georeg_cli import main
def body():
    try:
        os.kill(os.getpid(), {int(number)})
        time.sleep(5)
    finally:
        print("cleaned")
main.LazyGroup.get_command = lambda *args: click.command("try")(body)
import sys; sys.argv = ["georeg", "try"]
main.main()
"""
    done = python(code)
    assert (done.returncode, done.stdout.strip()) == (130, "cleaned")


def test_a_reader_that_goes_away_is_no_fuss():
    code = "import sys; sys.argv = ['georeg', '--help']; from georeg_cli.main import main; main()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    with child.stderr as stream:
        said = stream.read()
    assert child.wait(timeout=60) in (0, 1)
    assert said == b""
