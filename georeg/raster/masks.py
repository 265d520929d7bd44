"""The user's mask of a scene: a raster on the same grid, or vector polygons, both saying where to match."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import shapely
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.windows import Window

from georeg.errors import InputError
from georeg.raster.files import open_dataset, reading
from georeg.raster.geocoding import Geocoding, transform_map
from georeg.scene import Scene

_VECTOR_ENDINGS = (
    ".gpkg",
    ".geojson",
    ".json",
    ".shp",
    ".fgb",
    ".kml",
    ".gml",
    ".geojsonl",
    ".shp.zip",
    ".parquet",
)


class RasterMask:
    """Non-zero, valid pixels of band 1 are used. One open dataset: use it in one thread."""

    def __init__(self, path: str, scene: Scene) -> None:
        self._name = path
        self._dataset = open_dataset(path)
        size = self._dataset.width, self._dataset.height
        if size != (scene.grid.width, scene.grid.height):
            self.close()
            raise InputError(
                f"The mask {path} has {size[0]} x {size[1]} pixels, but {scene.name} has "
                f"{scene.grid.width} x {scene.grid.height}: a raster mask must lie on the image's own grid."
            )

    def read(self, window: Window, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """(H, W) bool of a window inside the scene."""
        with reading(self._name):
            values = self._dataset.read(1, window=window, out_shape=shape, resampling=Resampling.nearest)
        nodata = self._dataset.nodata
        return (values != 0) & (values != nodata) if nodata is not None else values != 0

    def close(self) -> None:
        self._dataset.close()


class VectorMask:
    """Pixels whose centres lie in a polygon are used."""

    def __init__(self, path: str, scene: Scene) -> None:
        self.polygons = polygons_px(path, scene)
        self._tree = shapely.STRtree(self.polygons)

    def read(self, window: Window, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        """(H, W) bool of a window inside the scene."""
        frame = shapely.box(
            window.col_off, window.row_off, window.col_off + window.width, window.row_off + window.height
        )
        near = [self.polygons[i] for i in self._tree.query(frame)]
        if not near:
            return np.zeros(shape, bool)
        step_x, step_y = window.width / shape[1], window.height / shape[0]
        to_px = rasterio.Affine(step_x, 0.0, window.col_off, 0.0, step_y, window.row_off)
        return rasterio.features.rasterize(near, out_shape=shape, transform=to_px, dtype="uint8").astype(bool)

    def close(self) -> None:
        """Nothing is held open."""


def open_mask(scene: Scene) -> RasterMask | VectorMask | None:
    """The scene's mask, ready to read; None where it has none."""
    if scene.mask_path is None:
        return None
    if scene.mask_path.lower().endswith(_VECTOR_ENDINGS):
        return VectorMask(scene.mask_path, scene)
    return RasterMask(scene.mask_path, scene)


def polygons_px(path: str, scene: Scene) -> list[shapely.Geometry]:
    """The polygons of a vector file in the scene's pixel coordinates.

    Where file or scene have no georeferencing the coordinates are taken as pixels, rows counted downwards
    from 0 or, as QGIS shows such images, negative.
    """
    meta, wkb = _read_vector(path)
    shapes = shapely.from_wkb(wkb)
    shapes = [
        s for s in shapes if s is not None and s.geom_type in ("Polygon", "MultiPolygon") and not s.is_empty
    ]
    if not shapes:
        raise InputError(f"The mask {path} holds no polygons: draw at least one around the area to use.")
    geocoding = Geocoding.of(scene)
    if geocoding is None or (meta["crs"] is None and max(s.bounds[3] for s in shapes) <= 0):
        sign = -1.0 if max(s.bounds[3] for s in shapes) <= 0 else 1.0
        return [shapely.transform(s, lambda xy: xy * [1.0, sign]) for s in shapes]
    crs = None if meta["crs"] is None else CRS.from_user_input(meta["crs"])
    dense = [
        shapely.segmentize(s, max(np.ptp(np.reshape(s.bounds, (2, 2)), axis=0).max() / 64, 1e-9))
        for s in shapes
    ]
    moved = [
        shapely.transform(s, lambda xy: geocoding.to_px(transform_map(crs, geocoding.crs, xy))) for s in dense
    ]
    return [shapely.make_valid(s) for s in moved if np.isfinite(shapely.get_coordinates(s)).all()]


def _read_vector(path: str) -> tuple[dict[str, Any], npt.NDArray[np.object_]]:
    import pyogrio  # a second GDAL, 35 MB: only where a vector mask is given

    try:
        meta, _, wkb, _ = pyogrio.raw.read(path, columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise InputError(
            f"The mask {path} cannot be read as polygons ({error}): give a GeoPackage or GeoJSON."
        ) from error
    return meta, wkb if wkb is not None else np.array([], dtype=object)
