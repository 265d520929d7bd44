"""Whether GDAL's driver takes the creation options: tried on a tiny image in memory, before any work is done.

GDAL itself only warns of a misspelt option and goes on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy

from georeg.errors import UsageError
from georeg.raster.files import from_gdal, without_warnings


def check_creation_options(driver: str, options: dict[str, str]) -> None:
    """Refuse options that the driver does not know, or values it does not take.

    What depends on the image (a block size, a predictor) only shows when it is written.

    Raises:
        UsageError: naming the option, in GDAL's words.
    """
    if not options:
        return
    with _complaints() as said:
        _try(driver, options)
    about = [text for text in said if "creation option" in text]
    if about:
        given = " ".join(f"--co {key}={value}" for key, value in options.items())
        raise UsageError(
            f"{given}: {about[0].rstrip('.')}. See https://gdal.org/drivers/raster/{driver.lower()}.html."
        )


def _try(driver: str, options: dict[str, str]) -> None:
    """Write a few pixels; failures are for the real image to meet, since this one may not suit the driver."""
    with without_warnings(NotGeoreferencedWarning), MemoryFile(ext=".tif") as source:
        with source.open(driver="GTiff", width=16, height=16, count=1, dtype="uint8") as dataset:
            dataset.write(np.ones((1, 16, 16), np.uint8))
        with MemoryFile() as target:
            try:
                copy(source.name, target.name, driver=driver, **options)
            except (RasterioError, OSError):
                return
            except Exception as error:
                if not from_gdal(error):
                    raise


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collects what GDAL warns of, without the code in front, and keeps it from the user's log."""
    log, said = logging.getLogger("rasterio._env"), list[str]()

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage().partition(" in ")[2])

    collector, level, propagate = Collector(), log.level, log.propagate
    log.addHandler(collector)
    log.setLevel(logging.WARNING)
    log.propagate = False
    try:
        yield said
    finally:
        log.removeHandler(collector)
        log.setLevel(level)
        log.propagate = propagate
