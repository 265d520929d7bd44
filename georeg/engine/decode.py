"""One image file to uint8 tiles: Pillow where it can, rasterio (if it is there) for the rest.

Eight-bit images keep their values; deeper ones are stretched between their 1st and 99th percentile. Large rasters are
read in windows, evenly spread and at most `max_tiles` a file, so that a whole scene never lies in memory.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

RASTER_SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img", ".dt2", ".hgt", ".nc", ".asc"})
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm"})
IMAGE_SUFFIXES = RASTER_SUFFIXES | PICTURE_SUFFIXES
WHOLE_IMAGE_PX = 8192 * 8192
GDAL_NODATA_TAG = 42113
BLACK_RUN_PX = 9
WHOLE_SIDES = 1.5
_WARNINGS_LOCK = threading.Lock()


class UnusableImageError(Exception):
    """A file the archive does without; the message is the reason it is counted under."""


Pixels = tuple[NDArray[np.uint8], NDArray[np.bool_] | None]
"""(H, W, C) uint8 with C 1 or 3, and (H, W) True where there is ground, None where all is."""


def read_tiles(name: str, data: bytes | Path, tile_px: int, max_tiles: int, min_px: int) -> list[Pixels]:
    """The usable tiles of one file.

    Args:
        name: what the file is called (its suffix chooses the reader).
        data: its path, or its bytes when it comes out of a tar.
        tile_px: the largest side a tile may have.
        max_tiles: how many tiles one file may give.
        min_px: the smallest side of use.

    Raises:
        UnusableImageError: missing, broken, tiny, constant or nodata-only.
    """
    try:
        size, window = _open_picture(data)
        if size[0] * size[1] > WHOLE_IMAGE_PX:
            raise UnidentifiedImageError("too large to be decoded whole")
    except FileNotFoundError as error:
        raise UnusableImageError("missing") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        size, window = _open_raster(name, data, error)
    if min(size) < min_px:
        raise UnusableImageError("tiny")
    tiles = [window(box) for box in tile_boxes(size, tile_px, max_tiles)]
    usable = [tile for tile in map(_with_guessed_nodata, tiles) if not _is_flat(tile)]
    if not usable:
        nodata_only = all(valid is not None and not valid.any() for _, valid in tiles)
        raise UnusableImageError("nodata only" if nodata_only else "constant")
    return usable


def tile_boxes(size: tuple[int, int], tile_px: int, max_tiles: int) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of equal tiles covering a (rows, cols) image, thinned evenly to `max_tiles`."""
    tops, height = _starts(size[0], tile_px)
    lefts, width = _starts(size[1], tile_px)
    boxes = [(left, top, left + width, top + height) for top in tops for left in lefts]
    if len(boxes) <= max_tiles:
        return boxes
    keep = np.linspace(0, len(boxes) - 1, max_tiles).round().astype(int)
    return [boxes[index] for index in keep]


def _starts(length: int, tile_px: int) -> tuple[list[int], int]:
    if length <= WHOLE_SIDES * tile_px:
        return [0], length
    count = -(-length // tile_px)
    return [round(index * (length - tile_px) / (count - 1)) for index in range(count)], tile_px


def _quietly(opener: Callable[..., Any], unwanted: type[Warning], source: Any) -> Any:
    """`opener(source)` without a warning; one thread at a time, as Python's filters are global."""
    with _WARNINGS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore", unwanted)
        return opener(source)


def _open_picture(
    data: bytes | Path,
) -> tuple[tuple[int, int], Callable[[tuple[int, int, int, int]], Pixels]]:
    with _quietly(
        Image.open, Image.DecompressionBombWarning, io.BytesIO(data) if isinstance(data, bytes) else data
    ) as image:
        if image.width * image.height > WHOLE_IMAGE_PX:
            return (image.height, image.width), lambda box: _nothing(box)
        tags = getattr(image, "tag_v2", {})
        nodata = _number(tags.get(GDAL_NODATA_TAG))
        pixels, valid = _picture_array(image, nodata)
    pixels = _to_uint8(pixels, valid)

    def window(box: tuple[int, int, int, int]) -> Pixels:
        left, top, right, bottom = box
        part = None if valid is None else valid[top:bottom, left:right]
        return np.ascontiguousarray(pixels[top:bottom, left:right]), part

    return pixels.shape[:2], window


def _nothing(box: tuple[int, int, int, int]) -> Pixels:
    return np.zeros((box[3] - box[1], box[2] - box[0], 1), np.uint8), None


def _picture_array(image: Image.Image, nodata: float | None) -> tuple[NDArray, NDArray[np.bool_] | None]:
    if image.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    valid = None
    if array.shape[-1] in (2, 4):
        alpha, array = array[..., -1], array[..., :-1]
        valid = alpha > 0 if (alpha == 0).any() else None
    if nodata is not None:
        ground = ~(array == nodata).all(axis=-1)
        valid = ground if valid is None else valid & ground
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        finite = np.isfinite(array).all(axis=-1)
        valid = finite if valid is None else valid & finite
    return array, valid


def _open_raster(
    name: str, data: bytes | Path, cause: Exception
) -> tuple[tuple[int, int], Callable[[tuple[int, int, int, int]], Pixels]]:
    if Path(name).suffix.lower() not in RASTER_SUFFIXES or isinstance(data, bytes):
        raise UnusableImageError("broken") from cause
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise UnusableImageError("needs rasterio, which is not installed") from error
    try:
        with _quietly(rasterio.open, NotGeoreferencedWarning, data) as dataset:
            bands = [1, 2, 3] if dataset.count >= 3 else [1]
            step = max(1, max(dataset.shape) // 1024)
            shape = (len(bands), max(1, dataset.height // step), max(1, dataset.width // step))
            overview = dataset.read(bands, out_shape=shape, masked=True)
            size, limits = (
                dataset.shape,
                _stretch_limits(np.moveaxis(overview.filled(0), 0, -1), _ground(overview)),
            )
    except RasterioError as error:
        raise UnusableImageError("broken") from error

    def window(box: tuple[int, int, int, int]) -> Pixels:
        left, top, right, bottom = box
        try:
            with _quietly(rasterio.open, NotGeoreferencedWarning, data) as dataset:
                part = dataset.read(bands, window=((top, bottom), (left, right)), masked=True)
        except RasterioError as error:
            raise UnusableImageError("broken") from error
        valid = _ground(part)
        return _stretch(np.moveaxis(part.filled(0), 0, -1), limits), None if valid.all() else valid

    return size, window


def _ground(masked: np.ma.MaskedArray) -> NDArray[np.bool_]:
    bad = np.ma.getmaskarray(masked).all(axis=0)
    return ~bad & np.isfinite(masked.filled(0)).all(axis=0)


def _to_uint8(array: NDArray, valid: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    return _stretch(array, _stretch_limits(array, valid))


def _stretch_limits(array: NDArray, valid: NDArray[np.bool_] | None) -> tuple[float, float]:
    values = array if valid is None else array[valid]
    if array.dtype == np.uint8:
        return 0.0, 255.0
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values[:: max(1, values.size // 200_000)].astype(np.float64), [1.0, 99.0])
    return float(low), float(max(high, low + 1e-12))


def _stretch(array: NDArray, limits: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = limits
    scaled = (np.nan_to_num(array.astype(np.float64)) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _with_guessed_nodata(tile: Pixels) -> Pixels:
    """Mark blocks of pure black that reach the border: the fill around a swath that no header speaks of."""
    pixels, valid = tile
    known = valid is not None and not valid.all()
    if known or (pixels[::4, ::4] <= 1).all(axis=-1).mean() < 0.02:
        return tile
    black = np.asarray((pixels <= 1).all(axis=-1))
    blocks = _dilate(~_dilate(~black, BLACK_RUN_PX // 2), BLACK_RUN_PX // 2)
    border = np.concatenate([blocks[0], blocks[-1], blocks[:, 0], blocks[:, -1]])
    if border.mean() < 0.1:
        return tile
    return pixels, ~blocks


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    for axis in (0, 1):
        width = [(radius, radius) if side == axis else (0, 0) for side in (0, 1)]
        total = np.cumsum(np.pad(mask, width).astype(np.int32), axis=axis)
        total = np.concatenate([np.zeros_like(np.take(total, [0], axis=axis)), total], axis=axis)
        length = mask.shape[axis]
        high = np.take(total, np.arange(2 * radius + 1, 2 * radius + 1 + length), axis=axis)
        mask = high - np.take(total, np.arange(length), axis=axis) > 0
    return mask


def _is_flat(tile: Pixels) -> bool:
    pixels, valid = tile
    if valid is not None:
        values = pixels[valid]
        return values.size < 1024 or float(values.std()) < 1.0
    return float(pixels[::3, ::3].std()) < 1.0 and float(pixels.std()) < 1.0


def _number(text: object) -> float | None:
    try:
        return None if text is None else float(str(text).strip("\x00 "))
    except ValueError:
        return None


def decode_many(
    jobs: Iterator[tuple[str, bytes | Path]], tile_px: int, max_tiles: int, min_px: int, threads: int
) -> Iterator[tuple[str, list[Pixels] | str]]:
    """Decode files in order on a few threads: (name, tiles), or (name, reason) where the file is unusable."""

    def decode(job: tuple[str, bytes | Path]) -> tuple[str, list[Pixels] | str]:
        try:
            return job[0], read_tiles(job[0], job[1], tile_px, max_tiles, min_px)
        except UnusableImageError as error:
            return job[0], str(error)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque = deque()
        for job in jobs:
            waiting.append(pool.submit(decode, job))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
