"""Temporary files that georeg could not remove because it was ended by force (always so on Windows).

georeg writes every output beside its final name, as .NAME.PID-RANDOM.SUFFIX, and renames it at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

CLOCK_TOLERANCE_S = 2.0


def remove_leftovers(outputs: Iterable[str], started: float) -> list[str]:
    """Remove the temporary files of these outputs that were written since `started` (seconds since the epoch).

    Returns: the paths of what was removed.
    """
    removed = []
    for output in map(Path, filter(None, outputs)):
        for path in _temporary_files(output):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime >= started - CLOCK_TOLERANCE_S:
                    path.unlink()
                    removed.append(str(path))
    return removed


def _temporary_files(output: Path) -> list[Path]:
    pattern = re.compile(
        rf"\.{re.escape(output.stem)}\.\d+-[0-9a-f]{{8}}{re.escape(output.suffix)}(\..+|-.+)?"
    )
    try:
        names = os.listdir(output.parent)
    except OSError:
        return []
    return [output.parent / name for name in names if pattern.fullmatch(name)]
