"""Opening raster files: one place for GDAL's settings, its warnings and the wording of its errors."""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError

from georeg.errors import InputError, UsageError

CACHE_BYTES = 64 * 1024**2
"""GDAL's block cache while georeg reads and writes, at most; its own default is 5 % of the machine's memory."""
CACHED_PX = 4 * 1024**2
"""Windows are read with a cache for so many pixels of all bands: more is seldom asked for twice."""
SMALL_BLOCK_PX = 512 * 512
"""Of blocks up to this size those that two neighbouring windows share fit into half of that."""

_WARNINGS_LOCK = threading.Lock()


def gdal_environment(cache_bytes: int = CACHE_BYTES, **options: Any) -> rasterio.Env:
    """A rasterio.Env for georeg's own reading and writing, with a small block cache; one per thread."""
    return rasterio.Env(
        GDAL_CACHEMAX=int(cache_bytes), GDAL_NUM_THREADS=options.pop("GDAL_NUM_THREADS", 1), **options
    )


def cache_for(dataset: rasterio.DatasetReader) -> int:
    """Bytes of block cache for reading windows: bands that are stored pixel by pixel are cached together.

    Strips count as large: a window of any width needs them whole.
    """
    pixel = sum(
        np.dtype("complex64" if name == "complex_int16" else name).itemsize for name in dataset.dtypes
    )
    rows, cols = dataset.block_shapes[0] if dataset.count else (1, dataset.width)
    small = rows * cols <= SMALL_BLOCK_PX and cols < dataset.width
    return min(CACHE_BYTES, (CACHED_PX // 2 if small else CACHED_PX) * pixel)


def open_dataset(path: str | os.PathLike[str], **options: Any) -> rasterio.DatasetReader:
    """Open a raster for reading, or for writing (`mode="w"`), without rasterio's georeferencing warning.

    Raises:
        InputError: there is no such file, or GDAL cannot read it.
    """
    name = os.fspath(path)
    if options.get("mode", "r") != "r":
        return _open_quietly(name, **options)
    try:
        return _open_quietly(name, **options)
    except RasterioIOError as error:
        raise _unreadable(name, error) from error
    except (RasterioError, ValueError, TypeError) as error:
        raise InputError(f"{name} cannot be opened: {first_sentence(error)}.") from error


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn GDAL's read errors inside the block into one sentence about the file called `name`."""
    try:
        yield
    except Exception as error:
        if not from_gdal(error):
            raise
        raise InputError(
            f"{name} could be opened, but its pixels cannot be read ({first_sentence(error)}): "
            "it is probably truncated or damaged; copy or download it again."
        ) from error


@contextmanager
def without_warnings(category: type[Warning], message: str = "") -> Iterator[None]:
    """Silence warnings that do not concern a user; one thread at a time, as Python's filters are global."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message, category)
        yield


def first_sentence(error: BaseException) -> str:
    """GDAL's message, without line breaks and without its last full stop."""
    cause = error.__cause__ or error
    return re.sub(r"\s+", " ", str(cause)).strip().rstrip(".")


def from_gdal(error: BaseException) -> bool:
    """Whether GDAL, through rasterio or pyogrio, raised an error (not all of theirs share a public base)."""
    return type(error).__module__.partition(".")[0] in ("rasterio", "pyogrio")


def is_local(name: str) -> bool:
    """Whether `name` is an ordinary file path, not /vsi..., a URL or a subdataset name."""
    return not name.startswith("/vsi") and not re.match(r"^[A-Za-z][A-Za-z0-9_+.]+:", name)


def same_file(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> bool:
    """Whether two paths name one file (through links and relative paths too)."""
    a, b = os.fspath(first), os.fspath(second)
    if not (is_local(a) and is_local(b)):
        return a == b
    if os.path.exists(a) and os.path.exists(b):
        return os.path.samefile(a, b)
    return os.path.realpath(a) == os.path.realpath(b)


def _open_quietly(name: str, **options: Any) -> rasterio.DatasetReader:
    with without_warnings(NotGeoreferencedWarning):
        return rasterio.open(name, **options)


def _unreadable(name: str, error: RasterioIOError) -> InputError:
    if is_local(name) and not os.path.exists(name):
        return InputError(f"{name} does not exist: check the path.")
    if is_local(name) and os.path.isdir(name):
        return InputError(f"{name} is a folder that GDAL cannot read as an image: name the image file in it.")
    if is_local(name) and os.path.getsize(name) == 0:
        return InputError(f"{name} is empty (0 bytes): copy or download it again.")
    if is_local(name) and not os.access(name, os.R_OK):
        return InputError(f"{name} may not be read: check its permissions.")
    return InputError(
        f"{name} cannot be read as an image ({first_sentence(error)}): "
        "it is damaged, truncated, or no format GDAL knows."
    )


def check_bands(name: str, bands: tuple[int, ...], count: int) -> None:
    """Raise UsageError unless every 1-based band number exists."""
    wrong = [band for band in bands if not 1 <= band <= count]
    if wrong or not bands:
        has = "1 band" if count == 1 else f"bands 1 to {count}"
        listed = ", ".join(map(str, wrong)) or "none"
        raise UsageError(f"{name} has {has}, but band {listed} was asked for: choose another with --band.")
