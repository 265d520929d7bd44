"""What a user can ask of the output raster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Progress = Callable[[str, int, int, str], None]
"""progress(stage, done, total, message)."""

OUTPUT_MODES = ("resample", "georeference", "vrt")
RESAMPLINGS = ("nearest", "bilinear", "cubic", "lanczos")
THREAD_BYTES = 64 * 1024**2
"""What a thread that resamples has in hand at most: a block, its positions, the source window it is made from."""


def no_progress(stage: str, done: int, total: int, message: str) -> None:
    """The progress callback of those who do not want to know."""


@dataclass(frozen=True)
class OutputOptions:
    """How the registered raster is written.

    Attributes:
        mode: "resample" writes pixels on the output grid; "georeference" copies the pixels and rewrites the
            geotransform (affine results only); "vrt" writes a VRT with GCPs that points at the moving file.
        grid: "reference" (its pixel grid, cropped to the moving scene's footprint) or "moving" (its own GSD).
        dst_crs, resolution, bbox: override the grid: CRS string, pixel size in its units, (xmin, ymin, xmax, ymax).
        resampling: one of RESAMPLINGS; nearest is forced for colour-mapped bands.
        dst_nodata: None keeps the file's own; an image without nodata gets an alpha-like mask (internal mask band).
        creation_options: GDAL creation options.
        driver: GDAL driver, "COG" by default.
        overwrite: replace an existing output.
        keep_failed: write the raster even on verdict "fail".
        num_threads: CPU threads for resampling and compression; 0 for all.
    """

    mode: str = "resample"
    grid: str = "reference"
    dst_crs: str | None = None
    resolution: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    resampling: str = "bilinear"
    dst_nodata: float | None = None
    creation_options: dict[str, str] = field(default_factory=dict)
    driver: str = "COG"
    overwrite: bool = False
    keep_failed: bool = False
    num_threads: int = 0
