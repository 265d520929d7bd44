"""The registered raster, in whichever of the three ways it was asked for."""

from __future__ import annotations

import os

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError

from georeg.errors import UsageError
from georeg.output.creation import check_creation_options
from georeg.output.georeference import write_georeferenced, write_vrt
from georeg.output.options import OutputOptions, Progress, no_progress
from georeg.output.warp import write_warped
from georeg.result import Registration


def write_raster(
    registration: Registration,
    path: str | os.PathLike[str],
    options: OutputOptions = OutputOptions(),
    progress: Progress = no_progress,
) -> None:
    """Write the moving scene as it was registered.

    Args:
        registration: with a transform.
        path: the output; it appears whole or not at all.
        options: mode, grid, resampling, format.
        progress: called with ("write", done, total, message).

    Raises:
        UsageError: the output is an input, or exists without `options.overwrite`; options that contradict the data.
        NotRegistrableError: nothing of the moving scene falls onto the grid.
        ResourceError: the disk is full.
    """
    assert registration.transform is not None
    moving, reference, mapping = registration.moving, registration.reference, registration.transform
    if options.mode == "georeference":
        write_georeferenced(moving, mapping, reference, path, options)
    elif options.mode == "vrt":
        write_vrt(moving, mapping, reference, path, options)
    else:
        write_warped(moving, mapping, reference, path, options, progress)


def check_options(path: str | os.PathLike[str], options: OutputOptions) -> None:
    """Refuse what no image could be written with, before any work is done.

    Raises:
        UsageError: an unknown GDAL driver, creation option or CRS, an empty bbox, a VRT not called .vrt.
    """
    if options.mode == "vrt" and not os.fspath(path).lower().endswith(".vrt"):
        raise UsageError(f"{path} is to hold a VRT: let its name end in .vrt.")
    with rasterio.Env() as env:
        if options.mode == "resample" and options.driver not in env.drivers():
            raise UsageError(f"This GDAL has no driver {options.driver!r}: try --of COG or --of GTiff.")
    if options.mode != "vrt":
        check_creation_options(options.driver, options.creation_options)
    if options.dst_crs is not None:
        _check_crs(options.dst_crs)
    if options.bbox is not None and not (
        options.bbox[0] < options.bbox[2] and options.bbox[1] < options.bbox[3]
    ):
        raise UsageError(
            f"--bbox {' '.join(map(str, options.bbox))} is empty: the order is XMIN YMIN XMAX YMAX."
        )


def _check_crs(name: str) -> None:
    try:
        CRS.from_user_input(name)
    except CRSError as error:
        raise UsageError(f"--dst-crs {name} is no CRS that PROJ knows: try EPSG:4326 or a WKT.") from error
