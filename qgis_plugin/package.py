"""Pack the plugin as the zip that QGIS installs: the folder georeg_qgis with the licence in it, and nothing generated.

The addresses of the project (home page, issue tracker, source, e-mail) are those of pyproject.toml, once it has them:
[project.urls] Homepage, Issues, Repository, and the e-mail of the first author. QGIS installs the zip without them; the
public plugin repository takes it only with them.

Usage: python qgis_plugin/package.py [FOLDER]      (default: dist)
"""

from __future__ import annotations

import configparser
import sys
import zipfile
from pathlib import Path

import tomllib

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "georeg_qgis"
PROJECT = HERE.parent / "pyproject.toml"
SUFFIXES = {".py", ".svg", ".txt"}
NEEDED_TO_PUBLISH = ("homepage", "tracker", "repository", "email")


def package(folder: Path, project: Path = PROJECT) -> Path:
    """Write georeg_qgis-VERSION.zip into the folder and return its path; the same sources give the same bytes."""
    metadata = configparser.ConfigParser()
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"georeg_qgis-{metadata['general']['version']}.zip"
    files = sorted(path for path in PLUGIN.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            name = path.relative_to(HERE).as_posix()
            _add(archive, name, path.read_bytes() + (_lines(project) if path.name == "metadata.txt" else b""))
        _add(archive, "georeg_qgis/LICENSE", (HERE.parent / "LICENSE").read_bytes())
    return target


def addresses(project: Path = PROJECT) -> dict[str, str]:
    """The addresses in pyproject.toml, under QGIS's names for them; what is not there is left out."""
    about = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    urls = {name.lower(): url for name, url in about.get("urls", {}).items()}
    author = next(iter(about.get("authors", [])), {})
    found = {
        "homepage": urls.get("homepage", ""),
        "tracker": urls.get("issues", ""),
        "repository": urls.get("repository", ""),
        "email": author.get("email", ""),
    }
    return {name: value for name, value in found.items() if value}


def _lines(project: Path) -> bytes:
    return "".join(f"{name}={value}\n" for name, value in addresses(project).items()).encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980: the zip does not change with the clock
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def main() -> None:
    print(package(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
    missing = [name for name in NEEDED_TO_PUBLISH if name not in addresses()]
    if missing:
        print(
            f"To publish it, pyproject.toml must name: {', '.join(missing)} (see docs/qgis.md).",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
