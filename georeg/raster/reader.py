"""Windows of a scene as float32 pixels and validity, at full resolution or decimated, in bounded memory."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.windows import Window

from georeg.raster.files import cache_for, gdal_environment, open_dataset, reading
from georeg.raster.masks import RasterMask, VectorMask, open_mask
from georeg.raster.scenes import FLAT_PX
from georeg.scene import Grid, Modality, Scene

Pixels = npt.NDArray[np.float32]
Valid = npt.NDArray[np.bool_]

STRIP_BYTES = 32 * 1024**2
KEPT_FROM_PX, KEPT_PX = 16 * 1024**2, 4 * 1024**2
"""The last window of so many pixels at least, reduced to so many at most (20 MB), is kept."""
SAMPLED_STRIPS = 4
"""Of a large GeoTIFF in strips without overviews, so many strips make one row of a reduced image."""


class SceneReader:
    """Reads windows of one scene; may be shared by threads, each of which gets its own file handles.

    Use as a context manager, or call `close`.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._local = threading.local()
        self._lock = threading.Lock()
        self._handles: list[_Handle] = []
        self._kept: tuple[tuple[float, ...], tuple[Pixels, Valid]] | None = None

    def __enter__(self) -> SceneReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the handles of all threads."""
        with self._lock:
            while self._handles:
                self._handles.pop().close()
            self._local = threading.local()
            self._kept = None

    def read_window(
        self, col: int, row: int, width: int, height: int, out_shape: tuple[int, int] | None = None
    ) -> tuple[Pixels, Valid]:
        """Read a window that may reach beyond the scene.

        Args:
            col, row, width, height: the window in scene pixels.
            out_shape: (rows, cols) of the result; None means the window's own. A smaller one averages,
                through overviews where there are some.

        Returns:
            (H, W) float32 in the file's units (amplitude where complex, luminance of palettes and RGB),
            0 where invalid; (H, W) bool validity: not nodata, masked, transparent, NaN or outside.
            Neither may be written to.
        """
        shape = (height, width) if out_shape is None else out_shape
        inner = inner_cells(col, row, width, height, shape, self.scene.grid)
        if inner is None:
            return np.zeros(shape, np.float32), np.zeros(shape, bool)
        cells, window = inner
        part = self._read(window, _shape_of(cells))
        if part[0].shape == shape:
            return part
        pixels, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
        pixels[cells], valid[cells] = part
        return pixels, valid

    def _read(self, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        """Read, or take what was read before: most of a large scene is asked for again and again, reduced alike."""
        if window.width * window.height < KEPT_FROM_PX or math.prod(shape) > KEPT_PX:
            return self._handle().read(window, shape)
        asked = (*window.flatten(), *shape)
        with self._lock:
            kept = self._kept
        if kept is None or kept[0] != asked:
            kept = asked, self._handle().read(window, shape)
            for part in kept[1]:
                part.setflags(write=False)
            with self._lock:
                self._kept = kept
        return kept[1]

    def _handle(self) -> _Handle:
        if not hasattr(self._local, "handle"):
            self._local.handle = _Handle(self.scene)
            with self._lock:
                self._handles.append(self._local.handle)
        return self._local.handle


class _Handle:
    """One thread's open files."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._stack = ExitStack()
        with gdal_environment():
            self._dataset = self._stack.enter_context(open_dataset(scene.path))
            self._mask: RasterMask | VectorMask | None = open_mask(scene)
        if self._mask is not None:
            self._stack.callback(self._mask.close)
        self._cache_bytes = cache_for(self._dataset)
        self._palette = _palette(self._dataset, scene.bands[0])
        self._by_strips = self._palette is not None or self._dataset.dtypes[scene.bands[0] - 1].startswith(
            "complex"
        )

    def close(self) -> None:
        self._stack.close()

    def read(self, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        """Pixels and validity of a window that lies inside the scene."""
        weights = self.scene.tags.get("weights", (1.0,))
        parts = zip(self.scene.bands, weights, strict=True)
        with gdal_environment(self._cache_bytes), reading(self.scene.name):
            band, weight = next(parts)
            total, valid = self._read_band(band, window, shape)
            total *= np.float32(weight)
            for band, weight in parts:
                pixels, good = self._read_band(band, window, shape)
                total += np.multiply(pixels, np.float32(weight), out=pixels)
                valid &= good
            if self._mask is not None:
                valid &= self._mask.read(window, shape)
        total[~valid] = 0
        return total, valid

    def _read_band(self, band: int, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        decimated = shape[0] < window.height or shape[1] < window.width
        if decimated and self._by_strips:
            return self._average_strips(band, window, shape)
        if decimated and self._skips_strips(band, window, shape):
            return self._sample_strips(band, window, shape)
        how = Resampling.average if decimated else Resampling.bilinear
        how = Resampling.nearest if self._palette is not None else how
        raw = self._dataset.read(band, window=window, out_shape=shape, resampling=how)
        return self._convert(band, raw, window)

    def _convert(self, band: int, raw: npt.NDArray[np.generic], window: Window) -> tuple[Pixels, Valid]:
        """Raw pixels of a window as float32 with their validity."""
        valid = declared_valid(self._dataset, band, raw, window)
        if self._palette is not None:
            pixels = self._palette[np.clip(raw.astype(np.int64), 0, len(self._palette) - 1)]
        elif np.iscomplexobj(raw):
            pixels = np.abs(raw).astype(np.float32)
            valid &= pixels > 0
        else:
            pixels = raw.astype(np.float32)
        valid &= np.isfinite(pixels)
        valid &= ~self._fill(pixels)
        pixels[~valid] = 0
        return pixels, valid

    def _fill(self, pixels: Pixels) -> Valid:
        """Where pixels are undeclared fill: zeros of SAR, whole squares of a border's flat value."""
        value = self.scene.tags.get("undeclared_nodata")
        if value is None:
            return np.zeros(pixels.shape, bool)
        flat = (pixels == np.float32(value)).astype(np.uint8)
        if self.scene.modality == Modality.SAR and self.scene.dtype != "uint8":
            return flat.astype(bool)
        square = np.ones((FLAT_PX, FLAT_PX), np.uint8)
        return cv2.morphologyEx(flat, cv2.MORPH_OPEN, square, borderType=cv2.BORDER_REPLICATE).astype(bool)

    def _average_strips(self, band: int, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        """Decimate what GDAL cannot average (complex, palettes): convert strip by strip, then average."""
        factor = max(min(window.height / shape[0], window.width / shape[1]), 1.0)
        level = max([o for o in self._dataset.overviews(band) if o <= factor * 1.001], default=1)
        pixels, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
        row_bytes = window.width / level * (window.height / shape[0] / level) * 16
        rows = max(1, int(STRIP_BYTES / max(row_bytes, 1.0)))
        step = window.height / shape[0]
        for top in range(0, shape[0], rows):
            count = min(rows, shape[0] - top)
            strip = Window(window.col_off, window.row_off + top * step, window.width, count * step)
            fine = max(count, round(strip.height / level)), max(shape[1], round(strip.width / level))
            raw = self._dataset.read(band, window=strip, out_shape=fine, resampling=Resampling.nearest)
            part, good = self._convert(band, raw, strip)
            sums = cv2.resize(part, (shape[1], count), interpolation=cv2.INTER_AREA)
            share = cv2.resize(good.astype(np.float32), (shape[1], count), interpolation=cv2.INTER_AREA)
            pixels[top : top + count] = sums / np.maximum(share, 1e-6)
            valid[top : top + count] = share >= 0.5
        return pixels, valid

    def _skips_strips(self, band: int, window: Window, shape: tuple[int, int]) -> bool:
        """Whether half of the strips at least can be left unread."""
        dataset = self._dataset
        rows, cols = dataset.block_shapes[band - 1]
        if dataset.driver != "GTiff" or cols < dataset.width or dataset.overviews(band):
            return False
        return window.height / shape[0] >= 2 * SAMPLED_STRIPS * rows

    def _sample_strips(self, band: int, window: Window, shape: tuple[int, int]) -> tuple[Pixels, Valid]:
        """Decimate by averaging a few strips for each row, evenly spread, instead of reading and decoding all."""
        strip_rows = self._dataset.block_shapes[band - 1][0]
        pixels, valid = np.zeros(shape, np.float32), np.zeros(shape, bool)
        step, width = window.height / shape[0], max(shape[1], round(window.width))
        spread = (np.arange(SAMPLED_STRIPS) + 0.5) / SAMPLED_STRIPS
        for row in range(shape[0]):
            sums, count = np.zeros((1, width), np.float32), np.zeros((1, width), np.float32)
            for top in (window.row_off + (row + spread) * step) // strip_rows * strip_rows:
                height = min(strip_rows, self._dataset.height - int(top))
                strip = Window(window.col_off, int(top), window.width, height)
                raw = self._dataset.read(
                    band, window=strip, out_shape=(height, width), resampling=Resampling.nearest
                )
                part, good = self._convert(band, raw, strip)
                sums += part.sum(0, keepdims=True)
                count += good.sum(0, keepdims=True)
            share = cv2.resize(count, (shape[1], 1), interpolation=cv2.INTER_AREA)
            pixels[row] = cv2.resize(sums, (shape[1], 1), interpolation=cv2.INTER_AREA) / np.maximum(
                share, 1e-6
            )
            valid[row] = share >= 0.5 * SAMPLED_STRIPS * strip_rows
        return pixels, valid


def declared_valid(
    dataset: rasterio.DatasetReader, band: int, raw: npt.NDArray[np.generic], window: Window
) -> Valid:
    """(H, W) bool of what was read from `window`, perhaps decimated: not nodata by value, mask or alpha."""
    flags = dataset.mask_flag_enums[band - 1]
    if MaskFlags.nodata in flags:
        return _differs(raw, dataset.nodatavals[band - 1])
    if MaskFlags.all_valid in flags:
        return np.ones(raw.shape, bool)
    mask = dataset.read_masks(band, window=window, out_shape=raw.shape, resampling=Resampling.average)
    return mask >= 128


def inner_cells(
    col: int, row: int, width: int, height: int, shape: tuple[int, int], grid: Grid
) -> tuple[tuple[slice, slice], Window] | None:
    """The output cells wholly inside the scene and the source window they cover; None without any."""
    y = _inner_range(row, height, shape[0], grid.height)
    x = _inner_range(col, width, shape[1], grid.width)
    if y is None or x is None:
        return None
    (y0, y1, top, down), (x0, x1, left, across) = y, x
    return (slice(y0, y1), slice(x0, x1)), Window(left, top, across, down)


def _inner_range(start: int, length: int, cells: int, size: int) -> tuple[int, int, float, float] | None:
    """First and last+1 cell inside 0..size, and the source offset and length they cover."""
    if length <= 0 or cells <= 0:
        return None
    step = length / cells
    first = max(0, math.ceil(-start / step - 1e-9))
    last = min(cells, math.floor((size - start) / step + 1e-9))
    if last <= first:
        return None
    offset = max(0.0, start + first * step)
    return first, last, offset, min((last - first) * step, size - offset)


def _shape_of(cells: tuple[slice, slice]) -> tuple[int, int]:
    return cells[0].stop - cells[0].start, cells[1].stop - cells[1].start


def _differs(raw: npt.NDArray[np.generic], nodata: float | None) -> Valid:
    """Where raw values are not nodata (compared in the raster's own precision)."""
    if nodata is None or (isinstance(nodata, float) and math.isnan(nodata)):
        return np.ones(raw.shape, bool)
    if np.issubdtype(raw.dtype, np.integer):
        return raw != int(nodata) if float(nodata).is_integer() else np.ones(raw.shape, bool)
    return raw != raw.dtype.type(nodata)


def _palette(dataset: rasterio.DatasetReader, band: int) -> Pixels | None:
    """Luminance by palette index, float32; None where the band has no colour table."""
    if dataset.colorinterp[band - 1] != ColorInterp.palette:
        return None
    table = dataset.colormap(band)
    luminance = np.zeros(max(table) + 1, np.float32)
    for index, (red, green, blue, *_) in table.items():
        luminance[index] = 0.299 * red + 0.587 * green + 0.114 * blue
    return luminance
