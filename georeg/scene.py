"""The nouns that travel between rooms: Modality, Grid, Scene, Patch.

Conventions, everywhere in georeg: points are (N, 2) float64 with columns x = column, y = row; shapes are (rows, cols);
pixel coordinates are corner-based as in GDAL: the outer corner of the first pixel is (0, 0), its centre (0.5, 0.5).
A Scene holds a path and metadata, never an open handle, so that any thread, process or cluster worker can open it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Modality(StrEnum):
    """The kind of sensor behind an image; decides how its pixels are normalised."""

    OPTICAL = "optical"
    SAR = "sar"
    INFRARED = "infrared"
    MAP = "map"
    ELEVATION = "elevation"


@dataclass(frozen=True)
class Grid:
    """A pixel grid: its size and, where it is known, its place on Earth.

    Attributes:
        width: columns.
        height: rows.
        geotransform: (a, b, c, d, e, f) in affine order, x_map = a col + b row + c, y_map = d col + e row + f;
            None where the image has no geotransform.
        crs_wkt: WKT of the map coordinates; None where it has none.
    """

    width: int
    height: int
    geotransform: tuple[float, float, float, float, float, float] | None = None
    crs_wkt: str | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols)."""
        return self.height, self.width

    @property
    def corners_xy(self) -> FloatArray:
        """The four outer corners, (4, 2), in pixels, from the top-left one clockwise."""
        w, h = float(self.width), float(self.height)
        return np.array([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]])

    @property
    def diagonal_px(self) -> float:
        return math.hypot(self.width, self.height)


@dataclass(frozen=True)
class Scene:
    """One image on disk as georeg sees it; made by `georeg.raster.open_scene`.

    Attributes:
        path: what GDAL opens: a file, /vsi path, VRT or subdataset name.
        grid: size, geotransform and CRS (all of band 1's).
        band_count: bands in the file.
        dtype: numpy name of the pixel type, e.g. "uint16", "complex64".
        bands: the 1-based bands that are matched (averaged after scaling where there are several).
        modality: given by the user or inferred.
        modality_given: whether the user gave it.
        nodata: the file's nodata value, None where it has none.
        geocoding: how the file places itself: "geotransform", "gcps", "rpcs" or "none".
        gcps: (M, 4) columns x_px, y_px, x_map, y_map where geocoding is "gcps", else None. crs is grid.crs_wkt.
        gsd_m: ground sampling distance in metres at the centre; None where it is unknown.
        mask_path: user mask, raster (non-zero = use) or vector (polygons = use); None where there is none.
        tags: rpcs and whatever else later rooms need.
    """

    path: str
    grid: Grid
    band_count: int
    dtype: str
    bands: tuple[int, ...] = (1,)
    modality: Modality = Modality.OPTICAL
    modality_given: bool = False
    nodata: float | None = None
    geocoding: str = "none"
    gcps: FloatArray | None = None
    gsd_m: float | None = None
    mask_path: str | None = None
    tags: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the path, for messages."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Patch:
    """A window of one band's worth of pixels, normalised for matching.

    Attributes:
        pixels: (H, W) float32, normalised per modality to about zero mean and unit deviation over the valid pixels,
            0 where invalid.
        valid: (H, W) bool; False for nodata, masked and outside pixels.
        modality: of the scene it was read from.
    """

    pixels: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    modality: Modality

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]
