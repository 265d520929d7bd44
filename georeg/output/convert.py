"""A raster that GDAL holds already into the format that was asked for, with good settings for COG and GeoTIFF."""

from __future__ import annotations

import errno
import math
import os

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from georeg.errors import InputError, UsageError
from georeg.output.options import OutputOptions
from georeg.output.template import own_namespaces
from georeg.raster.atomic import is_disk_full
from georeg.raster.files import first_sentence, from_gdal, gdal_environment, open_dataset, reading

_COG_DEFAULTS = {
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "LEVEL": "1",
    "BIGTIFF": "IF_SAFER",
}
_GTIFF_DEFAULTS = {
    "COMPRESS": "DEFLATE",
    "TILED": "YES",
    "ZLEVEL": "1",
    "BIGTIFF": "IF_SAFER",
}
"""Of photographs and radar images level 1 leaves as much as level 3 (within 1 %), in two thirds of the time."""
_MAP_LEVEL = "6"
"""Of paletted images, which compress well and fast."""
_READ_FAILURES = ("IReadBlock", "Cannot read")
_COG_TILE = 512
_OWN_OVERVIEWS = ("OVERVIEW", "RESAMPLING", "TILING_SCHEME", "BLOCKSIZE")
"""Creation options that begin so ask GDAL for overviews of another kind than ours."""


def add_overviews(work: str, options: OutputOptions, threads: int, paletted: bool = False) -> None:
    """Give an uncompressed GeoTIFF the overviews of a COG, which GDAL's driver then takes over.

    They cost a third here of what they cost the driver, which makes them through a compressed file of its own. Left to
    the driver are complex images and overviews that the creation options shape.
    """
    given = (key.upper() for key in options.creation_options)
    if options.driver != "COG" or any(key.startswith(_OWN_OVERVIEWS) for key in given):
        return
    how = Resampling.nearest if paletted else Resampling.average
    with (
        gdal_environment(GDAL_NUM_THREADS=threads, GDAL_TIFF_INTERNAL_MASK=True),
        open_dataset(work, mode="r+") as sink,
    ):
        count = math.ceil(math.log2(max(*sink.shape, _COG_TILE) / _COG_TILE))
        if count and not sink.dtypes[0].startswith("complex"):
            sink.build_overviews([2**level for level in range(1, count + 1)], how)


def convert(source: str, target: str, options: OutputOptions, threads: int, paletted: bool = False) -> None:
    """Copy a raster into the driver that was asked for, with sensible defaults for COG and GeoTIFF.

    Raises:
        UsageError: GDAL cannot write that format.
        InputError: the source is damaged.
        OSError: the disk is full (ENOSPC), whether GDAL noticed or not.
    """
    settings = {"COG": _COG_DEFAULTS, "GTiff": _GTIFF_DEFAULTS}.get(options.driver, {})
    with gdal_environment(GDAL_NUM_THREADS=threads, GDAL_TIFF_INTERNAL_MASK=True) as environment:
        if options.driver not in environment.drivers():
            raise UsageError(
                f"There is no GDAL driver {options.driver!r}: try COG, GTiff, PNG or JP2OpenJPEG."
            )
        if options.driver == "VRT":
            raise UsageError("A VRT holds no pixels of its own: use --output-mode vrt, or another driver.")
        with open_dataset(source) as dataset:
            chosen = settings | _by_content(options.driver, dataset, paletted)
            chosen |= {key.upper(): value for key, value in options.creation_options.items()}
            try:
                rasterio.shutil.copy(dataset, target, driver=options.driver, **chosen)
            except Exception as error:
                if is_disk_full(error) or not from_gdal(error):
                    raise
                if any(word in str(error) for word in _READ_FAILURES):
                    _check_readable(dataset)  # else it was GDAL's own half-made file that could not be read
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from error
                raise UsageError(
                    f"GDAL's {options.driver} driver cannot hold this image ({first_sentence(error)}): "
                    "choose another with --of, or check --co."
                ) from error
    if options.driver in ("COG", "GTiff"):
        _check_whole(target)


def _check_readable(dataset: rasterio.DatasetReader) -> None:
    """Raise InputError unless every block can be read."""
    with reading(os.path.basename(dataset.name)):
        for band in dataset.indexes:
            for _, window in dataset.block_windows(band):
                dataset.read(band, window=window)


def _check_whole(target: str) -> None:
    """Read the first and the last block back: GDAL does not tell of a disk that fills up as it closes the file.

    Neither does it when it compresses in threads. The last block of the last band is what lies last in the file.
    """
    try:
        with gdal_environment(), open_dataset(target) as written:
            rows, cols = written.block_shapes[-1]
            last = (written.height - 1) // rows * rows, (written.width - 1) // cols * cols
            for band in {1, written.count}:
                for row, col in ((0, 0), last):
                    width, height = min(cols, written.width - col), min(rows, written.height - row)
                    written.read(band, window=Window(col, row, width, height))
    except (InputError, RasterioError) as error:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from error


def _by_content(driver: str, dataset: rasterio.DatasetReader, paletted: bool) -> dict[str, str]:
    """Creation options that depend on what is written."""
    if driver not in ("COG", "GTiff"):
        return {}
    chosen = {}
    is_complex = dataset.dtypes[0].startswith("complex")
    if driver == "COG":
        chosen["OVERVIEW_RESAMPLING"] = "NEAREST" if paletted else "AVERAGE"
        chosen |= {"OVERVIEWS": "NONE", "PREDICTOR": "NO"} if is_complex else {}
        chosen |= {"LEVEL": _MAP_LEVEL} if paletted else {}
    elif not is_complex:
        chosen["PREDICTOR"] = "3" if dataset.dtypes[0].startswith("float") else "2"
        chosen |= {"ZLEVEL": _MAP_LEVEL} if paletted else {}
    # GDAL copies tags of other namespaces only on request, and then leaves the bands' own tags behind.
    if own_namespaces(dataset) and not any(dataset.tags(band) for band in dataset.indexes):
        chosen["COPY_SRC_MDD"] = "YES"
    return chosen
