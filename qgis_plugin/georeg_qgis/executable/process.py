"""Run a program, watch it, and end it with all its children when the user wants so.

Only `subprocess` and threads: it works the same in a QGIS worker thread, in `qgis_process` and in a test.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable

from .environment import WINDOWS, clean_environment
from .guard import Guard

POLL_S = 0.1
INTERRUPT_GRACE_S = 6.0
TERMINATE_GRACE_S = 2.0
KEPT_LINES = 2000

_live: set[subprocess.Popen] = set()
_live_lock = threading.Lock()


class Cancelled(Exception):
    """The user cancelled; the program and its children have ended."""


class ProgramMissing(Exception):
    """The program could not be started at all."""


@dataclass(frozen=True)
class Finished:
    """How a program ended.

    Attributes:
        code: exit code; negative for a signal.
        stdout: all of it.
        stderr_lines: the last lines (at most KEPT_LINES).
    """

    code: int
    stdout: str
    stderr_lines: list[str]


def run_program(
    arguments: Sequence[str],
    on_line: Callable[[str], None] = lambda line: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    environment: Mapping[str, str] | None = None,
    merged: bool = False,
) -> Finished:
    """Run a program to its end; every line of its stderr goes to `on_line`, in the calling thread.

    With `merged` its stdout is read as if it were stderr, line by line in the order of writing.

    Raises:
        ProgramMissing: it could not be started.
        Cancelled: `is_cancelled` became true; nothing of it is left running.
    """
    process = _start(arguments, clean_environment(environment or os.environ, arguments[0]), merged)
    with _live_lock:
        _live.add(process)
    with Guard(process.pid):
        try:
            return _watch(process, on_line, is_cancelled)
        finally:
            end_tree(process)
            with _live_lock:
                _live.discard(process)


def end_all(grace_s: float = 3.0) -> None:
    """End every program that still runs (QGIS is closing)."""
    with _live_lock:
        processes = list(_live)
    for process in processes:
        end_tree(process, grace_s)


def end_tree(process: subprocess.Popen, grace_s: float | None = None) -> None:
    """End a program and its children: asked first, so that it can tidy up, then by force.

    Of a program that has ended by itself, only children that it left behind are ended.
    """
    if process.poll() is not None:
        if not WINDOWS:
            _signal_group(process.pid, signal.SIGKILL)
        return
    if WINDOWS:
        _end_tree_windows(process.pid)
    else:
        _end_group(process, INTERRUPT_GRACE_S if grace_s is None else grace_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _start(arguments: Sequence[str], environment: Mapping[str, str], merged: bool) -> subprocess.Popen:
    options = {}
    if WINDOWS:
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True
    try:
        return subprocess.Popen(
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            env=dict(environment),
            encoding="utf-8",
            errors="replace",
            **options,
        )
    except OSError as cause:
        raise ProgramMissing(f"{arguments[0]} could not be started: {cause.strerror or cause}.") from cause


def _watch(
    process: subprocess.Popen, on_line: Callable[[str], None], is_cancelled: Callable[[], bool]
) -> Finished:
    output: list[str] = []
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    if process.stderr is None:
        readers = [_thread(lambda: _pump(process.stdout, lines))]
    else:
        readers = [
            _thread(lambda: _read(process.stdout, output)),
            _thread(lambda: _pump(process.stderr, lines)),
        ]
    kept: list[str] = []
    while process.poll() is None:
        if is_cancelled():
            raise Cancelled
        _pass_on(lines, kept, on_line)
        time.sleep(POLL_S)
    for (
        reader
    ) in readers:  # a grandchild that outlives the program may hold the pipes open: do not wait for it
        reader.join(2)
    _pass_on(lines, kept, on_line)
    return Finished(process.returncode, "".join(output), kept)


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _read(stream, output: list[str]) -> None:
    with stream:
        output.append(stream.read())


def _pump(stream, lines: queue.SimpleQueue[str]) -> None:
    with stream:
        for line in stream:
            lines.put(line.rstrip("\r\n"))


def _pass_on(lines: queue.SimpleQueue[str], kept: list[str], on_line: Callable[[str], None]) -> None:
    for line in _waiting(lines):
        kept.append(line)
        del kept[:-KEPT_LINES]
        on_line(line)


def _waiting(lines: queue.SimpleQueue[str]) -> Iterator[str]:
    with contextlib.suppress(queue.Empty):
        while True:
            yield lines.get_nowait()


def _end_group(process: subprocess.Popen, grace_s: float) -> None:
    """POSIX: the program leads its own session, so its group is the whole tree."""
    for number, patience_s in ((signal.SIGINT, grace_s), (signal.SIGTERM, TERMINATE_GRACE_S)):
        _signal_group(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            break
    _signal_group(process.pid, signal.SIGKILL)  # those of the group that are still there


def _signal_group(group: int, number: int) -> None:
    """Send a signal to a process group; nothing where there is no such group any more."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end_tree_windows(pid: int) -> None:
    subprocess.run(
        ["taskkill", "/PID", str(pid), "/T", "/F"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        creationflags=subprocess.CREATE_NO_WINDOW,
    )
