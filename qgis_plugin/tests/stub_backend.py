"""A build backend that needs nothing from anywhere: makes a wheel with one module and a `georeg` program."""

from __future__ import annotations

import zipfile
from pathlib import Path

NAME = "georeg_stub-0.1.0"
METADATA = "Metadata-Version: 2.1\nName: georeg-stub\nVersion: 0.1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: stub\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
ENTRY_POINTS = "[console_scripts]\ngeoreg = georeg_stub:main\n"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    name = f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as archive:
        archive.write("georeg_stub.py")
        archive.writestr(f"{NAME}.dist-info/METADATA", METADATA)
        archive.writestr(f"{NAME}.dist-info/WHEEL", WHEEL)
        archive.writestr(f"{NAME}.dist-info/entry_points.txt", ENTRY_POINTS)
        archive.writestr(f"{NAME}.dist-info/RECORD", "")
    return name
