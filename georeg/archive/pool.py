"""A pool of worker processes on this machine that outlives the death of any of them.

Each worker is a fresh process that works on one pair at a time and keeps what it has loaded (the network) for the
next. A worker that dies takes only its own pair with it, and is replaced; workers die when the process that started
them does, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from georeg.archive.manifest import Record
from georeg.archive.work import THREAD_VARIABLES, Unit, lost, run_unit, settle_worker, single_threaded

_SPAWN = multiprocessing.get_context("spawn")


class Executor(Protocol):
    """Works on units somewhere."""

    @property
    def room(self) -> int:
        """How many units can be submitted now."""

    def submit(self, unit: Unit) -> None:
        """Start a unit; only while there is room."""

    def results(self) -> Iterator[tuple[Unit, Record]]:
        """Wait for at least one unit to end and give all that have ended."""

    def close(self) -> None:
        """Stop all work at once."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    unit: Unit | None = None


class LocalPool:
    """`count` worker processes; the devices, where there are several, are shared out among them in turn.

    Use as a context manager, or call `close`.
    """

    def __init__(self, count: int, devices: tuple[str, ...] = ()) -> None:
        assert count >= 1, count
        self._devices = devices
        self._workers: list[_Worker | None] = [None] * count

    @property
    def room(self) -> int:
        return sum(worker is None or worker.unit is None for worker in self._workers)

    def submit(self, unit: Unit) -> None:
        place = next(i for i, worker in enumerate(self._workers) if worker is None or worker.unit is None)
        worker = self._workers[place] = self._workers[place] or _started()
        worker.unit = unit
        device = self._devices[place % len(self._devices)] if self._devices else unit.device
        with suppress(OSError):  # a worker that died while it was idle is found dead by `results`
            worker.connection.send(replace(unit, job=single_threaded(unit.job), device=device))

    def results(self) -> Iterator[tuple[Unit, Record]]:
        busy = {
            worker.connection: place for place, worker in enumerate(self._workers) if worker and worker.unit
        }
        for connection in wait(list(busy)):
            assert isinstance(connection, Connection)
            place = busy[connection]
            worker = self._workers[place]
            assert worker is not None
            assert worker.unit is not None
            unit = worker.unit
            try:
                record = connection.recv()
                worker.unit = None
            except (EOFError, OSError):
                record = lost(unit, _cause(worker.process))
                _stop(worker)
                self._workers[place] = None
            yield unit, record

    def close(self) -> None:
        for place, worker in enumerate(self._workers):
            if worker is not None:
                _stop(worker)
                self._workers[place] = None

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _started() -> _Worker:
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
    with _single_threads():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _single_threads() -> Iterator[None]:
    """THREAD_VARIABLES at 1 for the processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _stop(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.kill()
    worker.process.join()


def _cause(process: BaseProcess) -> str:
    process.join(5.0)
    code = process.exitcode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _serve(connection: Connection) -> None:
    """A worker's life: take a unit, work, answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    settle_worker()
    try:
        while True:
            connection.send(run_unit(connection.recv()))
    except (EOFError, OSError):
        return


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
