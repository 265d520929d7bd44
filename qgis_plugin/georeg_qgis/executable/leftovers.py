"""What a run leaves behind that did not come to its end.

georeg writes every output beside its final name, as .NAME.PID-RANDOM.SUFFIX, renames it when it is whole, and removes
it when it is interrupted. Two things remain for the plugin: temporary files of a run that was ended by force (always
so on Windows), and outputs that were whole already when the user cancelled.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

CLOCK_TOLERANCE_S = 2.0


class Outputs:
    """The outputs of a run that begins now; files that are there already are never removed."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [Path(path) for path in paths if path]
        self._new = [path for path in self._paths if not path.exists()]
        self._started = time.time()

    def withdraw(self) -> list[str]:
        """Remove what the run made, whole or half; returns the paths."""
        return self.tidy() + [str(path) for path in self._new if _removed(path)]

    def tidy(self) -> list[str]:
        """Remove the run's temporary files; returns the paths."""
        half = [path for output in self._paths for path in _temporary_files(output)]
        return [str(path) for path in half if self._is_of_this_run(path) and _removed(path)]

    def _is_of_this_run(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime >= self._started - CLOCK_TOLERANCE_S
        return False


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _temporary_files(output: Path) -> list[Path]:
    pattern = re.compile(
        rf"\.{re.escape(output.stem)}\.\d+-[0-9a-f]{{8}}{re.escape(output.suffix)}(\..+|-.+)?"
    )
    try:
        names = os.listdir(output.parent)
    except OSError:
        return []
    return [output.parent / name for name in names if pattern.fullmatch(name)]
