"""georeg in a virtual environment of its own inside the QGIS profile: made on request, removed on request.

QGIS's own Python is never installed into: the environment is made by a Python that the user has on the
machine, and pip runs inside that environment only.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from .environment import WINDOWS, program_in
from .process import Cancelled, ProgramMissing, run_program

FOLDER = "georeg-program"
MARKER = "made-by-georeg-qgis.json"
OLDEST_PYTHON = (3, 11)
NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")
ASK_VERSION = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"


class InstallationFailed(Exception):
    """The installation did not come to its end; nothing of it is left."""


@dataclass(frozen=True)
class Installation:
    """The plugin's own georeg, in one folder of the QGIS profile.

    Attributes:
        folder: holds the virtual environment and the marker that says that the plugin made it.
    """

    folder: Path

    @classmethod
    def in_profile(cls, profile: str) -> Installation:
        return cls(Path(profile) / FOLDER)

    @property
    def environment(self) -> Path:
        return self.folder / "venv"

    @property
    def exists(self) -> bool:
        return (self.folder / MARKER).is_file()

    def install(
        self,
        python: str,
        source: str,
        log: Callable[[str], None] = lambda line: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> str:
        """Make the environment and install georeg into it.

        Args:
            python: a Python of the user's, 3.11 or newer.
            source: a georeg wheel, a source folder, or what else pip takes as one requirement.
            log: gets every line that venv and pip write.
            is_cancelled: asked all the time.

        Returns: path of the installed program.

        Raises:
            InstallationFailed: with the cause.
            Cancelled: the user cancelled. The folder is gone in both cases.
        """
        if self.folder.exists() and not self.exists:
            raise InstallationFailed(
                f"{self.folder} exists and was not made by this plugin: move it away first."
            )
        self.remove()
        self._mark(python, source)
        try:
            for arguments in self.commands(python, source):
                _run(arguments, log, is_cancelled)
            if not program_in(self.environment).is_file():
                raise InstallationFailed(f"{source} was installed, but it has no georeg program.")
        except (InstallationFailed, Cancelled):
            with contextlib.suppress(InstallationFailed):  # the first cause is what counts
                self.remove()
            raise
        return str(program_in(self.environment))

    def commands(self, python: str, source: str) -> list[list[str]]:
        """What `install` runs, one argument list each."""
        own_python = self.environment / ("Scripts/python.exe" if WINDOWS else "bin/python")
        return [
            [python, "-m", "venv", str(self.environment)],
            [str(own_python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", source],
        ]

    def remove(self) -> bool:
        """Delete the installation; False where there is none of the plugin's making.

        Raises:
            InstallationFailed: a part of it could not be deleted; what is left is still known as the plugin's.
        """
        if not self.exists:
            return False
        shutil.rmtree(self.environment, ignore_errors=True)
        if self.environment.exists():
            raise InstallationFailed(
                f"{self.environment} could not be deleted wholly: is georeg still running?"
            )
        (self.folder / MARKER).unlink()
        with contextlib.suppress(OSError):  # something of the user's lies in it: leave it
            self.folder.rmdir()
        return True

    def _mark(self, python: str, source: str) -> None:
        try:
            self.folder.mkdir(parents=True)
            (self.folder / MARKER).write_text(
                json.dumps({"python": python, "source": source}), encoding="utf-8"
            )
        except OSError as cause:
            raise InstallationFailed(
                f"{self.folder} cannot be written: {cause.strerror or cause}."
            ) from cause


def find_python(search_path: str | None = None, own_prefix: str = sys.prefix) -> str | None:
    """A Python on PATH that can make the environment; on Windows and macOS never the one inside QGIS."""
    for name in NAMES:
        candidate = shutil.which(name, path=search_path)
        if candidate and not _inside(candidate, own_prefix) and python_problem(candidate) is None:
            return candidate
    return None


def python_problem(python: str) -> str | None:
    """Why this Python cannot make the environment, in a sentence; None where it can."""
    try:
        answer = run_program([python, "-c", ASK_VERSION])
    except ProgramMissing as cause:
        return str(cause)
    if answer.code != 0:
        last = answer.stderr_lines[-1] if answer.stderr_lines else f"exit code {answer.code}"
        return (
            f"{python} cannot make virtual environments ({last}). On Debian and Ubuntu, install python3-venv."
        )
    numbers = tuple(int(part) for part in answer.stdout.strip().split("."))
    if numbers < OLDEST_PYTHON:
        return f"{python} is Python {answer.stdout.strip()}; georeg needs Python 3.11 or newer."
    return None


def _inside(candidate: str, prefix: str) -> bool:
    """Whether a Python belongs to a bundled QGIS; a Linux system Python is shared and fit for the purpose."""
    if sys.platform.startswith("linux"):
        return False
    return os.path.realpath(candidate).lower().startswith(os.path.realpath(prefix).lower())


def _run(arguments: Sequence[str], log: Callable[[str], None], is_cancelled: Callable[[], bool]) -> None:
    log("$ " + " ".join(arguments))
    try:
        finished = run_program(arguments, log, is_cancelled, merged=True)
    except ProgramMissing as cause:
        raise InstallationFailed(str(cause)) from cause
    if finished.code != 0:
        errors = [line for line in finished.stderr_lines if "error" in line.lower()] or finished.stderr_lines
        last = errors[-1].strip() if errors else f"exit code {finished.code}"
        raise InstallationFailed(f"The installation failed: {last}")
