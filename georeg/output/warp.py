"""Resampling a registered raster onto its output grid: block by block, all bands, in bounded memory."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.windows import Window

from georeg.output.convert import add_overviews, convert
from georeg.output.grid import Mapping, OutputGrid, plan_grid
from georeg.output.kernels import REACH_PX, Positions, as_dtype, interpolate
from georeg.output.options import OutputOptions, Progress, no_progress
from georeg.output.template import Template
from georeg.raster.atomic import atomic_output, check_output
from georeg.raster.files import gdal_environment, is_local, open_dataset
from georeg.raster.lattice import Lattice
from georeg.raster.native import NativeReader
from georeg.raster.resample import smooth, source_window
from georeg.scene import FloatArray, Scene
from georeg.threads import thread_count

BLOCK_PX = 512
BLOCK_BYTES = 16 * 1024**2
Pixels = npt.NDArray[Any]
Valid = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Block:
    """A finished output block: (bands, H, W) pixels and (H, W) whether any band is valid; None where all is empty."""

    window: Window
    pixels: Pixels | None
    valid: Valid | None


def write_warped(
    moving: Scene,
    mapping: Mapping,
    reference: Scene,
    path: str | os.PathLike[str],
    options: OutputOptions = OutputOptions(),
    progress: Progress = no_progress,
) -> OutputGrid:
    """Resample every band of `moving` onto the grid `plan_grid` chooses and write it.

    Args:
        moving: the scene to write.
        mapping: moving px -> reference px, with its inverse.
        reference: the scene it was registered to.
        path: the output; it appears whole or not at all.
        options: grid, resampling, nodata, driver, creation options, overwriting, threads.
        progress: called with ("write", done, total, message).

    Returns:
        The grid that was written.

    Raises:
        UsageError: the output is an input, or exists already; options that contradict the data; an unknown driver.
        NotRegistrableError: nothing of the moving scene falls onto the grid.
        ResourceError: the disk is full.
    """
    check_output(path, [moving.path, reference.path], options.overwrite)
    output = plan_grid(mapping, moving, reference, options)
    with gdal_environment(), open_dataset(moving.path) as dataset:
        template = Template.of(dataset, options)
    threads = thread_count(options.num_threads)
    with atomic_output(path, [moving.path, reference.path], options.overwrite) as final:
        work = f"{final}.work.tif" if is_local(str(final)) else f"/vsimem/{os.getpid()}-{id(output)}.tif"
        try:
            _write_blocks(moving, mapping, output, template, work, options, threads, progress)
            progress("write", 1, 1, f"making the {options.driver}")
            add_overviews(work, options, threads, template.paletted)
            convert(work, str(final), options, threads, template.paletted)
        finally:
            _discard(work)
    return output


def _discard(work: str) -> None:
    if work.startswith("/vsi"):
        with contextlib.suppress(RasterioError):
            rasterio.shutil.delete(work)
    elif os.path.exists(work):
        os.remove(work)


def _write_blocks(
    moving: Scene,
    mapping: Mapping,
    output: OutputGrid,
    template: Template,
    work: str,
    options: OutputOptions,
    threads: int,
    progress: Progress,
) -> None:
    """Resample all blocks in `threads` threads and write them, in order, to an uncompressed tiled GeoTIFF."""
    method = "nearest" if template.paletted else options.resampling
    side = _block_side(template)
    windows = list(_windows(output.grid.width, output.grid.height, side))
    layout = {"driver": "GTiff", "tiled": True, "blockxsize": side, "blockysize": side}
    layout |= {
        "BIGTIFF": "IF_SAFER",
        "SPARSE_OK": True,
        "interleave": "pixel" if template.count <= 4 else "band",
    }
    with (
        _opencv_in_one_thread(),
        gdal_environment(GDAL_TIFF_INTERNAL_MASK=True),
        NativeReader(moving) as reader,
        open_dataset(work, mode="w", **layout, **template.profile(output)) as sink,
    ):
        template.describe(sink)
        warper = _Warper(reader, mapping, output, template, method)
        for done, block in enumerate(_in_order(warper, windows, threads), start=1):
            _write_block(sink, block, template)
            progress("write", done, len(windows), "resampling")


def _block_side(template: Template) -> int:
    """Rows and columns of a block: fewer where there are many bands, so that a block stays within BLOCK_BYTES."""
    side = BLOCK_PX
    while side > 128 and side * side * template.count * template.dtype.itemsize > BLOCK_BYTES:
        side //= 2
    return side


def _windows(width: int, height: int, side: int) -> Iterator[Window]:
    for row in range(0, height, side):
        for col in range(0, width, side):
            yield Window(col, row, min(side, width - col), min(side, height - row))


def _in_order(warper: _Warper, windows: list[Window], threads: int) -> Iterator[_Block]:
    """Finished blocks in the order of the windows, never more than a few ahead of the one in hand."""
    if threads == 1:
        yield from map(warper, windows)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Block]] = deque()
        try:
            for window in windows:
                waiting.append(pool.submit(warper, window))
                if len(waiting) > threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _write_block(sink: rasterio.io.DatasetWriter, block: _Block, template: Template) -> None:
    if block.pixels is None:
        if template.fill == 0:
            return  # left sparse: reads as zeros and, in the mask, as invalid
        shape = template.count, block.window.height, block.window.width
        sink.write(np.full(shape, template.fill, template.dtype), window=block.window)
        return
    sink.write(block.pixels, window=block.window)
    if template.with_mask:
        sink.write_mask(block.valid, window=block.window)


@dataclass(frozen=True)
class _Warper:
    """Makes one output block; called by many threads."""

    reader: NativeReader
    mapping: Mapping
    output: OutputGrid
    template: Template
    method: str

    def __call__(self, window: Window) -> _Block:
        shape = window.height, window.width
        offset = np.array([window.col_off, window.row_off], dtype=np.float64)

        def to_moving(points_xy: FloatArray) -> FloatArray:
            return self.mapping.inverse(self.output.to_reference(points_xy + offset))

        lattice = Lattice.of(to_moving, shape)
        grid = self.reader.scene.grid
        source = source_window(lattice, grid, REACH_PX[self.method], decimate=self.method != "nearest")
        if source is None:
            return _Block(window, None, None)
        pixels, valid = self.reader.read(source)
        scale = lattice.scale / source.factor
        at = Positions(*lattice.maps((source.col, source.row), source.factor))
        return self._resampled(window, pixels, valid, at, scale)

    def _resampled(
        self, window: Window, pixels: Pixels, valid: Valid | None, at: Positions, scale: float
    ) -> _Block:
        template, shape = self.template, (window.height, window.width)
        out = np.empty((template.count, *shape), template.dtype)
        any_valid = np.zeros(shape, bool)
        for index, plane in enumerate(pixels):
            mask = None if valid is None else valid[index]
            if self.method != "nearest" and scale > 1.1:
                plane, mask = _low_passed(plane, mask, scale)
            values, good = interpolate(plane, mask, at, self.method)
            is_alpha = index + 1 == template.alpha
            values = as_dtype(values, template.dtype)
            out[index] = _filled(values, good, 0.0 if is_alpha else template.fill, template.nodata)
            any_valid |= good if not is_alpha else (good & (values > 0))
        return _Block(window, out, any_valid) if any_valid.any() else _Block(window, None, None)


def _low_passed(plane: Pixels, mask: Valid | None, scale: float) -> tuple[Pixels, Valid | None]:
    """The band without the detail that the output grid cannot show; reading has averaged down to a factor of 2."""
    whole = np.ones(plane.shape, bool) if mask is None else mask
    if np.iscomplexobj(plane):
        real, _ = smooth(np.where(whole, plane.real, 0), whole, scale)
        imaginary, _ = smooth(np.where(whole, plane.imag, 0), whole, scale)
        return (real + 1j * imaginary).astype(plane.dtype), mask
    working = np.float32 if plane.dtype.itemsize <= 2 or plane.dtype == np.float32 else np.float64
    blurred, _ = smooth(np.where(whole, plane, 0).astype(working), whole, scale)
    return blurred, mask


def _filled(values: Pixels, good: Valid, fill: float, nodata: float | None) -> Pixels:
    """Values with the fill where they are not good; a good value that equals nodata moves to its neighbour."""
    if nodata is not None and values.dtype.kind in "iu" and math.isfinite(nodata):
        neighbour = nodata + 1 if nodata < np.iinfo(values.dtype).max else nodata - 1
        values = np.where(good & (values == int(nodata)), values.dtype.type(neighbour), values)
    return values if good.all() else np.where(good, values, values.dtype.type(fill))


@contextlib.contextmanager
def _opencv_in_one_thread() -> Iterator[None]:
    """The blocks are spread over threads here; OpenCV's own would only fight with these."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
