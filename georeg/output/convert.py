"""A raster that GDAL holds already into the format that was asked for, with good settings for COG and GeoTIFF."""

from __future__ import annotations

import math

import rasterio
import rasterio.shutil
from rasterio.enums import Resampling

from georeg.errors import UsageError
from georeg.output.options import OutputOptions
from georeg.output.template import own_namespaces
from georeg.raster.atomic import is_disk_full
from georeg.raster.files import first_sentence, from_gdal, gdal_environment, open_dataset

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
                raise UsageError(
                    f"GDAL's {options.driver} driver cannot hold this image ({first_sentence(error)}): "
                    "choose another with --of, or check --co."
                ) from error


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
