"""A STAC item beside each output; what of the input's own item goes into it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rasterio
from rasterio.crs import CRS

from georeg.archive.jobs import Job
from georeg.raster.assets import asset_path, named_item
from georeg.raster.atomic import atomic_output
from georeg.result import Registration

STAC_VERSION = "1.0.0"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
PROCESSING = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
MEDIA = {
    "raster": ("image/tiff; application=geotiff; profile=cloud-optimized", ["data"], "The registered image"),
    "registration": ("application/json", ["metadata"], "The registration: transform and quality"),
    "points": ("application/geopackage+sqlite3", ["metadata"], "Tie points"),
    "report": ("text/html", ["overview"], "Report for people"),
}


def write_item(path: str, job: Job, registration: Registration, ring: list[list[float]] | None) -> None:
    """Write the STAC item of a registered image beside it, with links that hold wherever the folder goes."""
    text = json.dumps(item_of(job, registration, ring), indent=1, allow_nan=False)
    with atomic_output(path, overwrite=True) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def item_of(job: Job, registration: Registration, ring: list[list[float]] | None) -> dict[str, Any]:
    """The item as plain values."""
    quality = registration.quality
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [PROCESSING],
        "id": job.name,
        "geometry": None if ring is None else {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            **acquisition(job.moving, now),
            "created": now,
            "gsd": registration.reference.gsd_m,
            "processing:software": {"georeg": str(registration.run.get("version", ""))},
            "georeg:verdict": quality.verdict,
            "georeg:probability_correct": quality.probability_correct,
            "georeg:ce90_m": quality.ce90_m,
            "georeg:ce90_px": quality.ce90_px,
            "georeg:reference": job.reference,
        },
        "links": [
            {"rel": "derived_from", "href": source, "title": role}
            for role, source in (("moving", job.moving), ("reference", job.reference))
        ],
        "assets": _assets(job),
    }
    if ring is not None:
        lons, lats = zip(*ring, strict=True)
        item["bbox"] = [min(lons), min(lats), max(lons), max(lats)]
    raster = job.path("raster")
    if raster is not None and Path(raster).exists():
        item["stac_extensions"].append(PROJECTION)
        item["properties"].update(projection(raster))
    item["properties"] = {name: value for name, value in item["properties"].items() if _kept(name, value)}
    return item


def _kept(name: str, value: Any) -> bool:
    return value is not None or name == "datetime"


def _assets(job: Job) -> dict[str, Any]:
    assets = {}
    for what, (media, roles, title) in MEDIA.items():
        path = job.path(what)
        if path is not None and Path(path).exists():
            assets[what] = {"href": f"./{Path(path).name}", "type": media, "roles": roles, "title": title}
    return assets


def acquisition(moving: str, otherwise: str) -> dict[str, str | None]:
    """When the moving image was taken: from its STAC item or its TIFF tag, else the time of processing."""
    properties = (named_item(moving) or {}).get("properties", {})
    names = ("datetime", "start_datetime", "end_datetime")
    known = {name: properties[name] for name in names if name in properties}
    if known:
        return {"datetime": None, **known}
    tag = _tiff_datetime(moving)
    return {"datetime": tag or otherwise, "georeg:datetime_source": "image" if tag else "processing"}


def _tiff_datetime(path: str) -> str | None:
    try:
        with rasterio.open(asset_path(path)) as dataset:
            text = dataset.tags().get("TIFFTAG_DATETIME", "")
        return datetime.strptime(text.strip(), "%Y:%m:%d %H:%M:%S").strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, rasterio.errors.RasterioError):
        return None


def projection(raster: str) -> dict[str, Any]:
    """The projection extension's properties of a raster."""
    with rasterio.open(raster) as dataset:
        code = _epsg(dataset.crs)
        return {
            "proj:code": None if code is None else f"EPSG:{code}",
            "proj:wkt2": dataset.crs.to_wkt() if dataset.crs and code is None else None,
            "proj:shape": [dataset.height, dataset.width],
            "proj:transform": list(dataset.transform)[:6],
        }


def _epsg(crs: CRS | None) -> int | None:
    return None if crs is None else crs.to_epsg()
