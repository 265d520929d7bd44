"""Where the results of one registration go, and whether they can go there: checked before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from georeg.errors import InputError, UsageError
from georeg.raster.atomic import check_output
from georeg.raster.files import is_local, same_file

SUFFIXES = {
    "points": ((".gpkg", ".geojson", ".json", ".csv", ".points"), "tie points"),
    "report": ((".html", ".htm"), "a report"),
}


@dataclass(frozen=True)
class Destinations:
    """Paths of the outputs that are wanted; None where one is not.

    Attributes:
        raster: the registered image.
        registration: registration.json.
        points: tie points, in the format of the suffix; several paths for several formats.
        report: the HTML page.
    """

    raster: str | None = None
    registration: str | None = None
    points: str | tuple[str, ...] | None = None
    report: str | None = None

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """Name and path of each that is wanted."""
        return [
            (name, os.fspath(path))
            for name, given in vars(self).items()
            for path in (given if isinstance(given, tuple) else (given,))
            if path is not None
        ]

    def written(self, with_raster: bool) -> list[str]:
        """Paths of what is there after the run."""
        return [path for name, path in self.wanted if with_raster or name != "raster"]

    def check(self, inputs: Sequence[str], overwrite: bool) -> None:
        """Raise UsageError or InputError unless every output can be written without losing anything.

        Args:
            inputs: paths that are read and must not be written.
            overwrite: whether existing files may be replaced.
        """
        for name, path in self.wanted:
            if name in SUFFIXES:
                _check_suffix(path, *SUFFIXES[name])
        paths = [path for _, path in self.wanted]
        for index, path in enumerate(paths):
            if any(same_file(path, other) for other in paths[:index]):
                raise UsageError(f"Two outputs are to be written to {path}: give each its own name.")
            check_place(path, inputs, overwrite)


def check_place(path: str, inputs: Sequence[str], overwrite: bool) -> None:
    """Refuse an output that would destroy something or cannot be written; tries to write beside it.

    Raises:
        UsageError: it is an input, a folder, or exists already.
        InputError: its folder is missing or read-only.
    """
    if not is_local(path):
        return
    check_output(path, inputs, overwrite)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"Nothing can be written into {folder} ({error.strerror}): name another folder."
        ) from error


def _check_suffix(path: str, suffixes: tuple[str, ...], what: str) -> None:
    if Path(path).suffix.lower() not in suffixes:
        raise UsageError(f"{path} is no file for {what}: let its name end with one of {', '.join(suffixes)}.")
