"""Ends a program if QGIS itself dies without a chance to do so (a crash, a kill); POSIX only.

A small shell waits for a word on a pipe whose other end QGIS holds. The word means that all is well; the end of the
pipe without it means that QGIS is gone.
"""

from __future__ import annotations

import contextlib
import subprocess
from types import TracebackType

from .environment import WINDOWS

SCRIPT = 'read -r word || { kill -s INT -- "-$1"; sleep 5; kill -s KILL -- "-$1"; }'


class Guard:
    """Watches over one process group from `with` to its end."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._shell: subprocess.Popen | None = None

    def __enter__(self) -> Guard:
        if not WINDOWS:
            with contextlib.suppress(OSError):  # no shell, no guard: all else works
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", SCRIPT, "sh", str(self._group)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shell is not None:
            self._shell.communicate(b"done\n")
