"""Pack the plugin as the zip that QGIS installs: the folder georeg_qgis with the licence in it, and nothing generated.

Usage: python qgis_plugin/package.py [FOLDER]      (default: dist)
"""

from __future__ import annotations

import configparser
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "georeg_qgis"
SUFFIXES = {".py", ".svg", ".txt"}


def package(folder: Path) -> Path:
    """Write georeg_qgis-VERSION.zip into the folder and return its path; the same sources give the same bytes."""
    metadata = configparser.ConfigParser()
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"georeg_qgis-{metadata['general']['version']}.zip"
    files = sorted(path for path in PLUGIN.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            _add(archive, path, path.relative_to(HERE).as_posix())
        _add(archive, HERE.parent / "LICENSE", "georeg_qgis/LICENSE")
    return target


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980: the zip does not change with the clock
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    print(package(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
