"""The plugin's settings, kept in the QGIS profile."""

from __future__ import annotations

from qgis.core import QgsApplication, QgsSettings

from .executable.command import Machine
from .executable.environment import Executable, find_executable
from .executable.installation import Installation

GROUP = "georeg"


def chosen_executable() -> str:
    """What the user chose; "" means: look for it."""
    return str(QgsSettings().value(f"{GROUP}/executable", "") or "")


def choose_executable(path: str) -> None:
    QgsSettings().setValue(f"{GROUP}/executable", path.strip())


def machine() -> Machine:
    """Device, threads and memory as set."""
    settings = QgsSettings()
    return Machine(
        device=str(settings.value(f"{GROUP}/device", "auto") or "auto"),
        threads=int(settings.value(f"{GROUP}/threads", 0) or 0),
        memory_gb=float(settings.value(f"{GROUP}/memory_gb", 0.0) or 0.0),
    )


def set_machine(machine: Machine) -> None:
    settings = QgsSettings()
    settings.setValue(f"{GROUP}/device", machine.device)
    settings.setValue(f"{GROUP}/threads", machine.threads)
    settings.setValue(f"{GROUP}/memory_gb", machine.memory_gb)


def is_first_start() -> bool:
    """True once in a profile: the panel shows itself to those who have just installed the plugin."""
    first = not QgsSettings().value(f"{GROUP}/started", False, type=bool)
    QgsSettings().setValue(f"{GROUP}/started", True)
    return first


def own_installation() -> Installation:
    """The georeg that this plugin may have installed, in the QGIS profile."""
    return Installation.in_profile(QgsApplication.qgisSettingsDirPath())


def executable() -> Executable:
    """The program that is run; raises ExecutableMissing."""
    return find_executable(chosen_executable(), own_installation().environment)
