"""Tie points for people and for other programs: GeoPackage, GeoJSON, CSV, QGIS georeferencer, GDAL control points."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS

from georeg.errors import UsageError
from georeg.raster.atomic import atomic_output
from georeg.raster.files import without_warnings
from georeg.raster.geocoding import WGS84, Geocoding, transform_map
from georeg.result import Registration
from georeg.scene import FloatArray, Scene

Table = dict[str, npt.NDArray[Any]]


def write_points(registration: Registration, path: str | os.PathLike[str]) -> None:
    """Write the tie points in the format of the file's ending.

    .gpkg: layers "tie_points" (where the ground is, by the reference), "moving_points" (where the registration puts
    them) and "residuals" (lines between the two, drawn 1:1). .geojson: the tie points, in WGS84. .csv: a table;
    _gcp.csv: pixel, line, x, y for gdal_translate -gcp. .points: QGIS's georeferencer.

    Args:
        registration: its tie points are written, outliers included.
        path: the output; it appears whole or not at all, and replaces what stands there.

    Raises:
        UsageError: an ending that stands for none of these.
    """
    ending = Path(path).suffix.lower()
    writers = {
        ".gpkg": _write_gpkg, ".geojson": _write_geojson, ".json": _write_geojson,
        ".csv": _write_csv, ".points": _write_qgis,
    }  # fmt: skip
    if ending not in writers:
        raise UsageError(
            f"{path} is no file for tie points: let its name end in .gpkg, .geojson, .csv or .points."
        )
    write = _write_gcps if os.fspath(path).lower().endswith("_gcp.csv") else writers[ending]
    with atomic_output(path, overwrite=True) as temporary:
        write(registration, str(temporary))


def tie_table(registration: Registration) -> Table:
    """Columns of the tie points: pixels, map coordinates (NaN without georeferencing), residuals, flags."""
    tie = registration.tie
    reference_map, moving_map = map_positions(registration)
    return {
        "id": np.arange(1, len(tie.confidence) + 1, dtype=np.int32),
        "moving_x": tie.moving_xy[:, 0],
        "moving_y": tie.moving_xy[:, 1],
        "reference_x": tie.reference_xy[:, 0],
        "reference_y": tie.reference_xy[:, 1],
        "map_x": reference_map[:, 0],
        "map_y": reference_map[:, 1],
        "moved_map_x": moving_map[:, 0],
        "moved_map_y": moving_map[:, 1],
        "residual_x_px": tie.residual_px[:, 0],
        "residual_y_px": tie.residual_px[:, 1],
        "residual_px": np.hypot(*tie.residual_px.T),
        "inlier": tie.inlier.astype(bool),
        "check": tie.check.astype(bool),
        "confidence": tie.confidence.astype(np.float64),
    }


def map_positions(registration: Registration) -> tuple[FloatArray, FloatArray]:
    """Map coordinates (N, 2) of the reference points, and of the moving points where the registration puts them."""
    tie, geocoding = registration.tie, Geocoding.of(registration.reference)
    if geocoding is None:
        return np.full_like(tie.reference_xy, np.nan), np.full_like(tie.reference_xy, np.nan)
    return geocoding.to_map(tie.reference_xy), geocoding.to_map(tie.reference_xy - tie.residual_px)


def _drawn(registration: Registration) -> tuple[FloatArray, FloatArray, str | None]:
    """Points as GIS programs draw them, with their CRS: on the map, else reference pixels with rows downwards."""
    geocoding = Geocoding.of(registration.reference)
    if geocoding is None:
        tie = registration.tie
        flip = np.array([1.0, -1.0])
        return tie.reference_xy * flip, (tie.reference_xy - tie.residual_px) * flip, None
    return *map_positions(registration), None if geocoding.crs is None else geocoding.crs.to_wkt()


def _write_gpkg(registration: Registration, path: str) -> None:
    table = tie_table(registration)
    there, moved, crs = _drawn(registration)
    lines = shapely.linestrings(np.stack([moved, there], 1)) if len(there) else np.array([], object)
    layers = (("tie_points", shapely.points(there), "Point"), ("moving_points", shapely.points(moved), "Point"),
              ("residuals", lines, "LineString"))  # fmt: skip
    for index, (layer, shapes, kind) in enumerate(layers):
        _write_layer(path, layer, shapes, kind, table, crs, "GPKG", append=index > 0)


def _write_geojson(registration: Registration, path: str) -> None:
    geocoding = Geocoding.of(registration.reference)
    there, _, wkt = _drawn(registration)
    if geocoding is not None and geocoding.crs is not None:
        there, wkt = transform_map(geocoding.crs, WGS84, there), WGS84.to_wkt()
        there = np.column_stack([(there[:, 0] + 180) % 360 - 180, there[:, 1]])
    _write_layer(path, "tie_points", shapely.points(there), "Point", tie_table(registration), wkt, "GeoJSON")


def _write_layer(
    path: str,
    layer: str,
    shapes: npt.NDArray[Any],
    kind: str,
    table: Table,
    crs: str | None,
    driver: str,
    append: bool = False,
) -> None:
    import pyogrio  # a second GDAL, 35 MB: only where a layer is written

    options = {"COORDINATE_PRECISION": "9"} if driver == "GeoJSON" else {}
    with without_warnings(UserWarning, "'crs' was not provided"):
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(shapes),
            field_data=list(table.values()),
            fields=list(table),
            geometry_type=kind,
            crs=crs,
            layer=layer,
            driver=driver,
            append=append,
            **options,
        )


def _write_csv(registration: Registration, path: str) -> None:
    table = tie_table(registration)
    columns = [values.astype(int) if values.dtype == bool else values for values in table.values()]
    _write_rows(path, list(table), zip(*(column.tolist() for column in columns), strict=True))


def _write_gcps(registration: Registration, path: str) -> None:
    """Inliers as gdal_translate -gcp takes them: moving pixel, line, map x, map y."""
    there, _, _ = _drawn(registration)
    tie = registration.tie
    rows = np.column_stack([tie.moving_xy, there])[tie.inlier]
    _write_rows(path, ["pixel", "line", "x", "y"], rows.tolist())


def _write_rows(path: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_number(value) for value in row] for row in rows)


def _number(value: Any) -> Any:
    """Numbers with all their digits and no more; NaN as an empty cell."""
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.12g}"
    return value


def _write_qgis(registration: Registration, path: str) -> None:
    """QGIS's georeferencer file: source coordinates are pixels (col, -row) if the moving image has no geotransform."""
    there, _, _ = _drawn(registration)
    tie, geocoding = registration.tie, Geocoding.of(registration.reference)
    source = _source_coordinates(registration.moving, tie.moving_xy)
    error = _moving_errors(registration)
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(f"#CRS: {_one_line(geocoding.crs if geocoding else None)}\n")
        file.write("mapX,mapY,sourceX,sourceY,enable,dX,dY,residual\n")
        for index in range(len(there)):
            numbers = [*there[index], *source[index]]
            differences = [*error[index], np.hypot(*error[index])]
            enable = "1" if tie.inlier[index] else "0"
            file.write(
                ",".join([*(f"{v:.12g}" for v in numbers), enable, *(f"{v:.6g}" for v in differences)]) + "\n"
            )


def _source_coordinates(moving: Scene, moving_xy: FloatArray) -> FloatArray:
    geocoding = Geocoding.of(moving) if moving.geocoding == "geotransform" else None
    return moving_xy * [1.0, -1.0] if geocoding is None else geocoding.to_map(moving_xy)


def _moving_errors(registration: Registration) -> FloatArray:
    """Residuals in moving pixels, as QGIS shows them: the map point taken back, less the source point."""
    tie = registration.tie
    if registration.transform is None or len(tie.reference_xy) == 0:
        return np.zeros_like(tie.moving_xy)
    back = registration.transform.inverse(tie.reference_xy) - tie.moving_xy
    return np.where(np.isfinite(back), back, 0.0)


def _one_line(crs: CRS | None) -> str:
    return "" if crs is None else " ".join(crs.to_wkt().split())
