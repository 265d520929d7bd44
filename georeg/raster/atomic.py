"""Outputs that appear whole or not at all: written beside their final name, renamed at the end."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from georeg.errors import GeoregError, InputError, ResourceError, UsageError
from georeg.raster.files import first_sentence, from_gdal, is_local, same_file

_SIDECARS = (".aux.xml", ".ovr", ".msk", ".ovr.tmp", ".msk.ovr.tmp", "-journal", "-wal", "-shm", ".work.tif")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = (
    "no space left",
    "disk quota",
    "file too large",
    "write error",
    "writeerror",
    "tiffappendtostrip",
    "tiffrewritedirectory",
    "failed to write whole xml",
    "free disk space",
)


@contextmanager
def atomic_output(
    path: str | os.PathLike[str], inputs: Sequence[str | os.PathLike[str]] = (), overwrite: bool = False
) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename what was written there at the end, remove it on any failure.

    Paths in GDAL's virtual file systems (/vsi...) are written directly.

    Args:
        path: the final name.
        inputs: files that must not be overwritten.
        overwrite: replace an existing file.

    Raises:
        UsageError: `path` is one of the inputs, or exists and `overwrite` is False.
        InputError: the folder is missing or may not be written to.
        ResourceError: the disk is full.
    """
    final = Path(path)
    check_output(path, inputs, overwrite)
    if not is_local(os.fspath(path)):
        yield final
        return
    temporary = final.with_name(f".{final.stem}.{os.getpid()}-{secrets.token_hex(4)}{final.suffix}")
    try:
        with _writing(final):
            yield temporary
            _rename(temporary, final)
    finally:
        for leftover in _with_sidecars(temporary):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)


def check_output(
    path: str | os.PathLike[str], inputs: Sequence[str | os.PathLike[str]] = (), overwrite: bool = False
) -> None:
    """Refuse an output before any work is done; raises as `atomic_output` does."""
    final = Path(path)
    for source in inputs:
        if same_file(source, final):
            raise UsageError(f"The output {final} is also an input: give the output another name.")
    if not is_local(os.fspath(path)):
        return
    if final.is_dir():
        raise UsageError(f"The output {final} is a folder: give a file name in it.")
    if final.exists() and not overwrite:
        raise UsageError(f"The output {final} exists: add --overwrite to replace it, or give another name.")
    folder = final.parent
    if not folder.is_dir():
        raise InputError(f"The folder {folder} of the output {final.name} does not exist: create it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"The folder {folder} may not be written to: choose another or change its permissions."
        )


@contextmanager
def _writing(final: Path) -> Iterator[None]:
    """Turn write errors into one sentence."""
    try:
        yield
    except GeoregError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise _disk_full(final) from error
        if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
            raise InputError(f"{final} may not be written ({error}): choose another folder.") from error
        if isinstance(error, OSError) or from_gdal(error):
            raise _other(final, error) from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that the disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(word in str(error).lower() for word in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _disk_full(final: Path) -> ResourceError:
    return ResourceError(
        f"The disk is full: {final} could not be written and nothing was left behind; "
        f"free some space in {final.parent} or write elsewhere."
    )


def _other(final: Path, error: BaseException) -> ResourceError:
    return ResourceError(
        f"{final} could not be written ({first_sentence(error)}) and nothing was left behind; "
        f"see whether {final.parent} has space left."
    )


def _with_sidecars(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + ending) for ending in _SIDECARS)]


def _rename(temporary: Path, final: Path) -> None:
    """Move the file and its .aux.xml, .ovr, .msk; sidecars of a file that was there before go away."""
    for source, target in zip(_with_sidecars(temporary), _with_sidecars(final), strict=True):
        if source.exists():
            os.replace(source, target)
        elif target != final:
            target.unlink(missing_ok=True)
