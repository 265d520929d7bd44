"""`georeg doctor`."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from typing import Any

import click

from georeg.errors import GeoregError, ResourceError
from georeg_cli.options import json_option

LIBRARIES = (
    "torch", "rasterio", "pyogrio", "shapely", "numpy", "scipy", "opencv-python-headless", "threadpoolctl",
    "safetensors", "pillow", "click", "tqdm", "distributed",
)  # fmt: skip
RASTER_DRIVERS = (
    "GTiff",
    "COG",
    "VRT",
    "JP2OpenJPEG",
    "PNG",
    "JPEG",
    "WEBP",
    "ENVI",
    "HFA",
    "netCDF",
    "HDF5",
    "SAFE",
)
VECTOR_DRIVERS = ("GPKG", "GeoJSON", "ESRI Shapefile", "CSV", "FlatGeobuf")
NEEDED_DRIVERS = ("GTiff", "COG", "VRT", "GPKG", "GeoJSON")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what is installed, which devices there are, and whether the weights are intact.

    Ends with exit code 1 if something that georeg needs is missing or damaged; put its output into bug reports.

    \b
    Examples:
      georeg doctor
      georeg doctor --json | jq .weights
    """
    found = examination()
    click.echo(json.dumps(found) if as_json else "\n".join(text_lines(found)))
    if found["problems"]:
        raise click.exceptions.Exit(1)


def examination() -> dict[str, Any]:
    """Everything the command tells, as plain values."""
    libraries = {name: version(name) for name in LIBRARIES}
    gdal, drivers = gdal_state()
    problems = [
        f"{name} is not installed" for name, found in libraries.items() if not found and name != "distributed"
    ]
    problems += [f"GDAL's {name} driver is missing" for name in NEEDED_DRIVERS if not drivers.get(name)]
    weights = weights_state()
    problems += [f"weights {item['name']}: {item['problem']}" for item in weights if item["problem"]]
    return {
        "georeg": version("georeg"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "libraries": libraries,
        "gdal": gdal,
        "drivers": drivers,
        "devices": device_list(),
        "weights": weights,
        "problems": problems,
    }


def version(name: str) -> str | None:
    """The installed version of a distribution, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def gdal_state() -> tuple[dict[str, str], dict[str, bool]]:
    """Versions of GDAL and PROJ, and which of the interesting drivers there are."""
    import pyogrio
    import rasterio

    with rasterio.Env() as env:
        raster = env.drivers()
    vector = pyogrio.list_drivers()
    versions = {"rasterio_gdal": rasterio.__gdal_version__, "rasterio_proj": rasterio.__proj_version__}
    versions["pyogrio_gdal"] = ".".join(map(str, pyogrio.__gdal_version__))
    drivers = {name: name in raster for name in RASTER_DRIVERS}
    return versions, drivers | {name: name in vector for name in VECTOR_DRIVERS}


def device_list() -> list[dict[str, Any]]:
    from georeg.network.devices import devices

    return devices()


def weights_state() -> list[dict[str, Any]]:
    """Each shipped file of weights: name, size, checksum, and what is wrong with it (None if nothing)."""
    from georeg.network.state import load_network
    from georeg.network.weights import find_weights, shipped

    found = []
    for name in shipped():
        record: dict[str, Any] = {"name": name, "path": None, "bytes": None, "sha256": None, "problem": None}
        try:
            weights = find_weights(name)
            record |= {
                "path": str(weights.path),
                "bytes": weights.path.stat().st_size,
                "sha256": weights.sha256,
            }
            load_network(weights)
        except ResourceError:
            raise
        except (GeoregError, OSError) as error:
            record["problem"] = str(error)
        found.append(record)
    return found


def text_lines(found: dict[str, Any]) -> list[str]:
    """The examination for people."""
    lines = [f"georeg     {found['georeg']}, Python {found['python']}, {found['platform']}"]
    lines += [f"library    {name} {number or 'not installed'}" for name, number in found["libraries"].items()]
    lines.append("gdal       " + ", ".join(f"{name} {number}" for name, number in found["gdal"].items()))
    lines.append("drivers    " + ", ".join(name for name, there in found["drivers"].items() if there))
    missing = [name for name, there in found["drivers"].items() if not there]
    lines += ["no driver  " + ", ".join(missing)] if missing else []
    for item in found["devices"]:
        memory = "" if item["memory_bytes"] is None else f", {item['memory_bytes'] / 1024**3:.1f} GiB"
        lines.append(f"device     {item['device']}: {item['description']}{memory}")
    for item in found["weights"]:
        lines.append(f"weights    {item['name']}: {item['problem'] or 'intact'}, sha256 {item['sha256']}")
    lines += [] if found["weights"] else ["weights    none shipped: only --matcher structural works"]
    return lines + [f"problem    {problem}" for problem in found["problems"] or ["none"]]
