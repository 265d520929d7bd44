"""Windows of all bands in the file's own dtype, for writing them again rather than for matching."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, Resampling

from georeg.raster.files import gdal_environment, open_dataset, reading
from georeg.raster.reader import declared_valid, inner_cells
from georeg.raster.resample import SourceWindow
from georeg.scene import Scene


class NativeReader:
    """Reads windows of every band of a scene; may be shared by threads, which take turns.

    One open file for all of them: neighbouring windows share blocks, which are then decoded once.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._dataset = open_dataset(scene.path)
        self._lock = threading.Lock()

    def __enter__(self) -> NativeReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dataset.close()

    def read(self, window: SourceWindow) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_] | None]:
        """Read a window, averaged down by its factor.

        Returns:
            (bands, H, W) in the file's dtype, 0 outside the scene; (bands, H, W) bool validity, or None where all are
            valid. A pixel of an alpha band is valid wherever the scene is.
        """
        with self._lock, gdal_environment(), reading(self.scene.name):
            dataset = self._dataset
            inner = inner_cells(*window.offset_and_size, window.shape, self.scene.grid)
            if inner is None:
                nothing = np.zeros((dataset.count, *window.shape), common_dtype(dataset))
                return nothing, np.zeros(nothing.shape, bool)
            cells, area = inner
            shape = cells[0].stop - cells[0].start, cells[1].stop - cells[1].start
            how = Resampling.average if window.factor > 1 else Resampling.nearest
            part = dataset.read(window=area, out_shape=(dataset.count, *shape), resampling=how)
            valid = [self._valid(band, part[band - 1], area) for band in range(1, dataset.count + 1)]
        return _framed(part, valid, cells, window.shape)

    def _valid(
        self, band: int, raw: npt.NDArray[np.generic], area: rasterio.windows.Window
    ) -> npt.NDArray[np.bool_]:
        if self._dataset.colorinterp[band - 1] == ColorInterp.alpha:
            return np.ones(raw.shape, bool)
        valid = declared_valid(self._dataset, band, raw, area)
        return valid & np.isfinite(raw) if raw.dtype.kind in "fc" else valid


def common_dtype(dataset: rasterio.DatasetReader) -> np.dtype[Any]:
    """The numpy dtype that holds every band."""
    return np.result_type(*("complex64" if name == "complex_int16" else name for name in dataset.dtypes))


def _framed(
    part: npt.NDArray[np.generic],
    valid: list[npt.NDArray[np.bool_]],
    cells: tuple[slice, slice],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_] | None]:
    """Put the part inside the scene into its window."""
    if part.shape[1:] == shape:
        return part, None if all(good.all() for good in valid) else np.stack(valid)
    pixels = np.zeros((part.shape[0], *shape), part.dtype)
    inside = np.zeros(pixels.shape, bool)
    pixels[:, cells[0], cells[1]] = part
    inside[:, cells[0], cells[1]] = valid
    return pixels, inside
