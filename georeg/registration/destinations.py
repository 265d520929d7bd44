"""Where the results of one registration go, and whether they can go there: checked before any work is done."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from georeg.errors import UsageError
from georeg.raster.files import is_local, same_file

POINT_SUFFIXES = (".gpkg", ".geojson", ".json", ".csv", ".points")
REPORT_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class Destinations:
    """Paths of the outputs that are wanted; None where one is not.

    Attributes:
        raster: the registered image.
        registration: registration.json.
        points: tie points, in the format of the suffix.
        report: the HTML page.
    """

    raster: str | None = None
    registration: str | None = None
    points: str | None = None
    report: str | None = None

    @property
    def wanted(self) -> dict[str, str]:
        """Name -> path of those that are wanted."""
        return {name: os.fspath(path) for name, path in vars(self).items() if path is not None}

    def written(self, with_raster: bool) -> list[str]:
        """Paths of what is there after the run."""
        return [path for name, path in self.wanted.items() if with_raster or name != "raster"]

    def check(self, inputs: Iterable[str], overwrite: bool) -> None:
        """Raise UsageError unless every output can be written without losing anything.

        Args:
            inputs: paths that are read and must not be written.
            overwrite: whether existing files may be replaced.
        """
        _check_suffix(self.points, POINT_SUFFIXES, "tie points")
        _check_suffix(self.report, REPORT_SUFFIXES, "a report")
        paths = list(self.wanted.values())
        inputs = list(inputs)
        for index, path in enumerate(paths):
            _check_apart(path, inputs, paths[:index])
            if is_local(path):
                _check_place(Path(path), overwrite)


def _check_suffix(path: str | None, suffixes: tuple[str, ...], what: str) -> None:
    if path is not None and Path(path).suffix.lower() not in suffixes:
        raise UsageError(f"{path} is no file for {what}: let its name end with one of {', '.join(suffixes)}.")


def _check_apart(path: str, inputs: list[str], others: list[str]) -> None:
    for name in inputs:
        if same_file(path, name):
            raise UsageError(f"The output {path} is one of the inputs: give it another name.")
    for name in others:
        if same_file(path, name):
            raise UsageError(f"Two outputs are to be written to {path}: give each its own name.")


def _check_place(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise UsageError(f"The output {path} is a folder: name a file in it.")
    if path.exists() and not overwrite:
        raise UsageError(f"The output {path} exists already: add --overwrite to replace it, or name another.")
    if not path.parent.is_dir():
        raise UsageError(f"The folder {path.parent} does not exist: make it first, or name another.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UsageError(
            f"Nothing can be written into the folder {path.parent} ({error.strerror}): name another one."
        ) from error
