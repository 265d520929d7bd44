"""The registered raster, in whichever of the three ways it was asked for."""

from __future__ import annotations

import os

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
