"""Where the `georeg` program is and the environment it is started with.

QGIS sets variables for its own Python, GDAL and PROJ. A program from another environment that inherits
them loads the wrong libraries, so they are dropped.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DROPPED = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONEXECUTABLE",
    "PYTHONSTARTUP",
    "__PYVENV_LAUNCHER__",
    "VIRTUAL_ENV",
    "GDAL_DATA",
    "GDAL_DRIVER_PATH",
    "PROJ_LIB",
    "PROJ_DATA",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
)
WINDOWS = sys.platform == "win32"
PROGRAM = "georeg.exe" if WINDOWS else "georeg"


class ExecutableMissing(Exception):
    """There is no `georeg` program to run; the message says where it was looked for."""


@dataclass(frozen=True)
class Executable:
    """A `georeg` program that exists.

    Attributes:
        path: of the program.
        origin: where it was found: "settings", "plugin" (installed by this plugin) or "path".
    """

    path: str
    origin: str


def clean_environment(environment: Mapping[str, str], executable: str = "") -> dict[str, str]:
    """The environment for `georeg`: without QGIS's variables, its own folder first on PATH, UTF-8 text."""
    cleaned = {name: value for name, value in environment.items() if name.upper() not in DROPPED}
    if os.path.dirname(executable):
        cleaned["PATH"] = os.pathsep.join([os.path.dirname(executable), cleaned.get("PATH", "")])
    cleaned.update(PYTHONUTF8="1", PYTHONUNBUFFERED="1")
    return cleaned


def program_in(virtual_environment: Path) -> Path:
    """Where a virtual environment keeps its `georeg` program."""
    return virtual_environment / ("Scripts" if WINDOWS else "bin") / PROGRAM


def find_executable(chosen: str, own_environment: Path | None, search_path: str | None = None) -> Executable:
    """The program to run: the one chosen in the settings, else the plugin's own, else the one on PATH.

    Raises:
        ExecutableMissing: there is none; a chosen one that does not exist is never replaced by another.
    """
    if chosen:
        return Executable(_checked(chosen), "settings")
    if own_environment is not None and _is_program(program_in(own_environment)):
        return Executable(str(program_in(own_environment)), "plugin")
    on_path = shutil.which(PROGRAM, path=search_path)
    if on_path:
        return Executable(on_path, "path")
    raise ExecutableMissing(
        "The georeg program was not found. Choose or install it under Settings > Options > GeoReg."
    )


def _checked(chosen: str) -> str:
    path = Path(os.path.expanduser(chosen))
    if path.is_dir():
        path = next((p for p in (path / PROGRAM, program_in(path)) if _is_program(p)), path / PROGRAM)
    if not _is_program(path):
        raise ExecutableMissing(
            f"{path} is not a program that can be run. Choose another one under Settings > Options > GeoReg."
        )
    return str(path)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
