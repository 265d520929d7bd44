"""Outputs that are either whole or not there: written beside their final name, renamed at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from georeg.errors import ResourceError

_COMPANIONS = (".aux.xml", ".ovr", ".msk", "-journal", "-wal", "-shm")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A temporary path beside `path`, with the same suffix, that takes its place if the block ends well.

    If the block raises anything, Ctrl-C included, the temporary file and what GDAL laid beside it are removed and what
    stood at `path` is left as it was. Paths within GDAL's virtual file systems (/vsi...) are written directly.

    Raises:
        ResourceError: the disk is full.
    """
    final = os.fspath(path)
    if final.startswith("/vsi"):
        yield final
        return
    target = Path(final)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield str(temporary)
        os.replace(temporary, target)
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ResourceError(
                f"There is no space left to write {final}: free some on that disk, or write elsewhere."
            ) from error
        raise
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    for name in (str(temporary), *(str(temporary) + suffix for suffix in _COMPANIONS)):
        Path(name).unlink(missing_ok=True)
