"""Lists of pairs, as people and programs write them: CSV, JSON lines, plain paths, a glob, standard input.

A list says what to register to what. Any further column overrides an option for that pair alone; columns whose name
starts with "_" are notes and are ignored.
"""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from georeg.errors import InputError, UsageError
from georeg.raster.assets import split_asset
from georeg.raster.files import is_local

OWN_COLUMNS = ("moving", "reference", "name")


@dataclass(frozen=True)
class Pair:
    """One line of a list.

    Attributes:
        moving, reference: what GDAL opens, or a STAC item's asset as `item.json#asset`.
        name: of the outputs; None lets georeg choose.
        overrides: option name -> value as it was written, for this pair alone.
        origin: where it was written, for messages: "pairs.csv, line 3".
    """

    moving: str
    reference: str
    name: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    origin: str = ""


def read_pairs(source: str, text: str, reference: str | None = None) -> list[Pair]:
    """Read a list of pairs.

    Args:
        source: the list's path, or "-" for standard input; relative paths in a list file start from its folder (or,
            where nothing is there, from the current one).
        text: the list itself: CSV with a header, JSON lines, or one path (or "moving<tab>reference") a line,
            also separated by NUL.
        reference: for lines that name none.

    Raises:
        UsageError: a line makes no sense, or there are no pairs.
    """
    label = "standard input" if source == "-" else Path(source).name
    rows = list(_rows(text, label))
    if not rows:
        raise UsageError(f"{label} holds no pairs: write a header 'moving,reference' and one pair a line.")
    folder = None if source == "-" else Path(source).parent
    return [_pair(row, origin, folder, reference) for row, origin in rows]


def read_pair_file(path: str, reference: str | None = None) -> list[Pair]:
    """`read_pairs` of a file; InputError where it cannot be read."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"The list of pairs {path} cannot be read: {reason}.") from error
    return read_pairs(path, text, reference)


def glob_pairs(pattern: str, reference: str) -> list[Pair]:
    """Each file that matches the pattern (with ** for folders at any depth) against one reference, sorted by name."""
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise InputError(
            f"Nothing matches --moving {pattern!r}: quote it, so that the shell leaves it as it is."
        )
    return [
        Pair(path, reference, origin=f"--moving {pattern}") for path in found if not _same(path, reference)
    ]


def _same(first: str, second: str) -> bool:
    return Path(first).resolve() == Path(second).resolve()


def _rows(text: str, label: str) -> Iterator[tuple[dict[str, Any], str]]:
    """(columns, origin) of each line, whatever the list's form."""
    if "\0" in text:
        return _plain_rows(text.split("\0"), label)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if first.lstrip().startswith("{"):
        return _json_rows(text, label)
    if _header(first) is not None:
        return _csv_rows(text, label, _header(first) or ",")
    return _plain_rows(text.splitlines(), label)


def _header(line: str) -> str | None:
    """The separator of a CSV header, None where the line is no header."""
    for separator in (",", ";", "\t"):
        names = [name.strip().strip('"').lower() for name in line.split(separator)]
        if "moving" in names:
            return separator
    return None


def _csv_rows(text: str, label: str, separator: str) -> Iterator[tuple[dict[str, Any], str]]:
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    for row in reader:
        origin = f"{label}, line {reader.line_num}"
        if None in row:
            raise UsageError(f"{origin}: more fields than the header has columns: quote fields with a comma.")
        yield {name.strip(): value.strip() for name, value in row.items() if value and value.strip()}, origin


def _json_rows(text: str, label: str) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        origin = f"{label}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{origin} is no JSON object ({error.msg}): write one object a line.") from error
        if not isinstance(row, dict):
            raise UsageError(f'{origin} is no JSON object: write {{"moving": ..., "reference": ...}}.')
        yield {name: value for name, value in row.items() if value is not None}, origin


def _plain_rows(lines: Iterable[str], label: str) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(lines, 1):
        moving, _, reference = line.strip("\r\n").partition("\t")
        if moving.strip() and not moving.startswith("#"):
            row = {"moving": moving.strip(), "reference": reference.strip()}
            yield {name: value for name, value in row.items() if value}, f"{label}, line {number}"


def _pair(row: dict[str, Any], origin: str, folder: Path | None, reference: str | None) -> Pair:
    missing = [
        name
        for name in ("moving", "reference")
        if name not in row and not (name == "reference" and reference)
    ]
    if missing:
        raise UsageError(
            f"{origin} has no {missing[0]}: give the list a column '{missing[0]}'"
            + (" or the command --reference." if missing[0] == "reference" else ".")
        )
    overrides = {
        name: value for name, value in row.items() if name not in OWN_COLUMNS and not name.startswith("_")
    }
    return Pair(
        moving=_from_folder(str(row["moving"]), folder),
        reference=_from_folder(str(row["reference"]), folder) if "reference" in row else str(reference),
        name=str(row["name"]) if "name" in row else None,
        overrides=overrides,
        origin=origin,
    )


def _from_folder(path: str, folder: Path | None) -> str:
    if folder is None or not is_local(path) or Path(path).is_absolute():
        return path
    beside = folder / path
    here, there = split_asset(path)[0], split_asset(str(beside))[0]
    return path if Path(here).exists() and not Path(there).exists() else str(beside)
