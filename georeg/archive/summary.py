"""A batch summed up for people: a table, a map of footprints, and a page that links every report.

Written anew from the manifests each time, so that the last shard to end leaves the whole picture.
"""

from __future__ import annotations

import csv
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pyogrio
import shapely

from georeg.archive.manifest import Record, latest, manifests, read_records
from georeg.raster.atomic import atomic_output

STATUSES = {"pass": "#2c7a4b", "warn": "#d69a1d", "fail": "#c2453b", "error": "#6b4a86"}
"""Status -> colour on the map; "error" is a pair that came to no verdict."""
ROWS_AT_MOST = 5000
"""Rows of the HTML page; in larger batches those that went well are left to the table."""
LAYER = "footprints"

Column = Callable[[Record], Any]
COLUMNS: dict[str, Column] = {
    "name": lambda record: record.name,
    "status": lambda record: status(record),
    "exit_code": lambda record: record.exit_code,
    "ce90_m": lambda record: record.ce90_m,
    "ce90_px": lambda record: record.ce90_px,
    "holdout_rmse_px": lambda record: record.holdout_rmse_px,
    "probability_correct": lambda record: record.probability_correct,
    "coverage": lambda record: record.coverage,
    "inliers": lambda record: record.inliers,
    "seconds": lambda record: record.seconds,
    "peak_rss_mib": lambda record: round(record.peak_rss_bytes / 1024**2, 1),
    "attempt": lambda record: record.attempt,
    "why": lambda record: record.error or "; ".join(record.reasons),
    "moving": lambda record: record.moving,
    "reference": lambda record: record.reference,
    "raster": lambda record: record.outputs.get("raster"),
    "report": lambda record: record.outputs.get("report"),
}
NUMBERS = {"exit_code", "ce90_m", "ce90_px", "holdout_rmse_px", "probability_correct", "coverage", "inliers"}
NUMBERS |= {"seconds", "peak_rss_mib", "attempt"}


def status(record: Record) -> str:
    """The verdict, or "error" where a pair came to none."""
    return record.verdict if record.verdict in STATUSES else "error"


def write_summary(folder: Path, names: Sequence[str]) -> list[Record]:
    """Write summary.csv, footprints.gpkg and index.html of all that the manifests in `folder` say.

    Args:
        folder: the batch's.
        names: of the batch's pairs, in the order they shall appear; others in the manifests are left out.

    Returns:
        The last record of each pair that came to an end.
    """
    last = latest(read_records(manifests(folder)))
    records = [last[name] for name in names if name in last]
    with atomic_output(folder / "summary.csv", overwrite=True) as partial:
        write_table(records, partial)
    with atomic_output(folder / "footprints.gpkg", overwrite=True) as partial:
        write_map(records, partial)
    with atomic_output(folder / "index.html", overwrite=True) as partial:
        partial.write_text(index_html(records, len(names)), encoding="utf-8")
    return records


def write_table(records: Sequence[Record], path: Path) -> None:
    """The records as CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([column(record) for column in COLUMNS.values()] for record in records)


def write_map(records: Sequence[Record], path: Path) -> None:
    """Footprints as GeoPackage, with a style by which QGIS colours them by status."""
    shapes = [None if record.footprint is None else shapely.Polygon(record.footprint) for record in records]
    fields = {name: [column(record) for record in records] for name, column in COLUMNS.items()}
    pyogrio.raw.write(
        path,
        geometry=np.array(
            [None if shape is None else shapely.to_wkb(shape) for shape in shapes], dtype=object
        ),
        field_data=[_field(values, name in NUMBERS) for name, values in fields.items()],
        fields=np.array(list(fields), dtype=object),
        layer=LAYER,
        driver="GPKG",
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    _store_style(path)


def _field(values: list[Any], is_number: bool) -> np.ndarray:
    if is_number:
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.array(values, dtype=object)


def _store_style(path: Path) -> None:
    """Lay the style where QGIS looks for a layer's default."""
    style = _environment().get_template("footprints.qml").render(statuses=STATUSES)
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), "
            "f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), "
            "styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
            "styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, 'geom', 'status', ?, '', 1, ?, '')",
            (LAYER, style, "Footprints by verdict"),
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', "
            "'layer_styles')"
        )
    database.close()


@dataclass(frozen=True)
class Row:
    """A row of the page."""

    name: str
    status: str
    accuracy: str
    probability: str
    seconds: float
    why: str
    links: tuple[tuple[str, str], ...]


def index_html(records: Sequence[Record], pairs: int) -> str:
    """The page: how many of each status, and a table with links to the reports.

    Args:
        records: of the pairs that came to an end.
        pairs: how many pairs the batch has.
    """
    counts = Counter(status(record) for record in records)
    worst_first = sorted(records, key=lambda record: (-list(STATUSES).index(status(record)), record.name))
    return (
        _environment()
        .get_template("index.html")
        .render(
            counts={name: counts[name] for name in STATUSES},
            colours=STATUSES,
            pairs=pairs,
            ended=len(records),
            rows=[_row(record) for record in worst_first[:ROWS_AT_MOST]],
            median_seconds=float(np.median([record.seconds for record in records])) if records else 0.0,
            peak_mib=max((record.peak_rss_bytes for record in records), default=0) / 1024**2,
        )
    )


def _row(record: Record) -> Row:
    metres = f"{record.ce90_m:.2f} m" if record.ce90_m is not None else ""
    pixels = f"{record.ce90_px:.2f} px" if record.ce90_px is not None else ""
    wanted = {
        "report": "report",
        "raster": "image",
        "registration": "json",
        "points": "points",
        "stac": "STAC",
    }
    return Row(
        name=record.name,
        status=status(record),
        accuracy=", ".join(part for part in (metres, pixels) if part),
        probability=_percent(record.probability_correct),
        seconds=record.seconds,
        why=record.error or "; ".join(record.reasons),
        links=tuple(
            (label, quote(record.outputs[what])) for what, label in wanted.items() if what in record.outputs
        ),
    )


def _percent(probability: float | None) -> str:
    """Whole per cent; certainty is never claimed."""
    if probability is None:
        return ""
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def _environment() -> jinja2.Environment:
    room = files("georeg.archive")
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (room / name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
