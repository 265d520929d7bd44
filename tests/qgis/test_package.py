"""The zip that QGIS installs, and the rules that keep the plugin fit for every QGIS from 3.22 to 4."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "qgis_plugin" / "georeg_qgis"
SOURCES = sorted(PLUGIN.rglob("*.py"))


def _packager() -> ModuleType:
    spec = importlib.util.spec_from_file_location("package", ROOT / "qgis_plugin" / "package.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_zip_holds_one_folder_with_everything(tmp_path: Path) -> None:
    path = _packager().package(tmp_path)
    names = zipfile.ZipFile(path).namelist()
    assert {name.split("/")[0] for name in names} == {"georeg_qgis"}
    assert {"georeg_qgis/LICENSE", "georeg_qgis/metadata.txt", "georeg_qgis/__init__.py"} <= set(names)
    assert {f"georeg_qgis/{source.relative_to(PLUGIN).as_posix()}" for source in SOURCES} <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    package = _packager().package
    assert package(tmp_path / "a").read_bytes() == package(tmp_path / "b").read_bytes()


def test_metadata_is_complete_for_an_installation() -> None:
    general = _metadata((PLUGIN / "metadata.txt").read_text(encoding="utf-8"))
    assert general["hasProcessingProvider"] == "yes"
    assert (general["qgisMinimumVersion"], general["qgisMaximumVersion"]) == ("3.22", "4.99")
    for name in ("name", "description", "version", "about", "author", "tags", "icon"):
        assert general[name], name
    assert "example.org" not in "".join(general.values())
    assert {"coregistration", "georeferencing", "SAR"} <= set(general["tags"].split(","))
    assert (PLUGIN / general["icon"]).is_file()


def test_the_addresses_of_the_project_are_packed_once_it_has_some(tmp_path: Path) -> None:
    """What the public plugin repository asks for besides; nothing is made up while there are none."""
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'georeg'\n")
    packager = _packager()
    assert packager.addresses(project) == {}
    project.write_text(
        "[project]\nauthors = [{name = 'A', email = 'a@b.test'}]\n[project.urls]\n"
        "Homepage = 'https://b.test'\nIssues = 'https://b.test/issues'\nRepository = 'https://b.test/source'\n"
    )
    packed = zipfile.ZipFile(packager.package(tmp_path, project)).read("georeg_qgis/metadata.txt").decode()
    general = _metadata(packed)
    found = {name: general[name] for name in packager.NEEDED_TO_PUBLISH}
    assert found == {
        "homepage": "https://b.test",
        "tracker": "https://b.test/issues",
        "repository": "https://b.test/source",
        "email": "a@b.test",
    }
    assert general["changelog"].strip().endswith("panel.")


def _metadata(text: str) -> configparser.SectionProxy:
    metadata = configparser.ConfigParser()
    metadata.read_string(text)
    return metadata["general"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(PLUGIN)))
def test_the_source_is_python_39_and_fit_for_qt5_and_qt6(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert not [name for name in imported if name.startswith(("PyQt", "PySide", "torch", "georeg."))]
    assert not re.search(r"\.exec_\(", text)
    assert not _unscoped(tree)
    if re.search(r"\w \| (None|\w)", text):
        assert "from __future__ import annotations" in text


@pytest.mark.parametrize("source", sorted((PLUGIN / "executable").glob("*.py")), ids=lambda path: path.name)
def test_the_rooms_about_the_program_know_no_qt(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) qgis", text, re.MULTILINE)
    assert not re.search(r"\bsys\.executable\b", text)


def _unscoped(tree: ast.AST) -> list[str]:
    """Members taken from a Qt or QGIS class that look like enum values without their enum: Qt.AlignLeft."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, member = node.value.id, node.attr
            if re.fullmatch(r"Q(t|[A-Z]\w+)", owner) and member[0].isupper() and not _is_scope(tree, node):
                found.append(f"{owner}.{member}")
    return found


def _is_scope(tree: ast.AST, node: ast.Attribute) -> bool:
    """Whether something is taken from this, as from Qt.AlignmentFlag in Qt.AlignmentFlag.AlignLeft; or a class."""
    taken = any(isinstance(one, ast.Attribute) and one.value is node for one in ast.walk(tree))
    called = any(isinstance(one, ast.Call) and one.func is node for one in ast.walk(tree))
    return taken or called
