"""From a path to a Scene: what can be known of an image before any of its pixels are matched."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

from georeg.errors import InputError, UsageError
from georeg.raster.assets import asset_path
from georeg.raster.files import check_bands, gdal_environment, is_local, open_dataset, reading
from georeg.raster.geocoding import WGS84, Geocoding, ground_distance_m
from georeg.raster.modality import infer_modality
from georeg.scene import FloatArray, Grid, Modality, Scene

log = logging.getLogger(__name__)

SAMPLE_PX = 128
FLAT_PX = 5
LEAST_GCP_WIDTH = 1e-6
"""Across over along: GCPs closer to a line than this do not tell how a scene is turned."""
"""Undeclared fill is taken for nodata only where it covers a whole square of this side."""
_LUMINANCE = {ColorInterp.red: 0.299, ColorInterp.green: 0.587, ColorInterp.blue: 0.114}


def open_scene(
    path: str | os.PathLike[str],
    bands: tuple[int, ...] | None = None,
    modality: Modality | str | None = None,
    mask: str | os.PathLike[str] | None = None,
) -> Scene:
    """Describe an image: size, geocoding, bands, modality; only a few small windows of its pixels are read.

    Args:
        path: anything GDAL opens: a file, /vsi path, VRT or subdataset name; or an asset of a STAC item (see
            `asset_path`), whose file becomes the scene's path.
        bands: 1-based bands to match; None chooses the colour bands, a grey band or the first one.
        modality: None infers it from metadata, the name and the pixels.
        mask: raster (non-zero = use) or vector (polygons = use) file.

    Returns:
        The scene. `tags` holds "rpcs" (GDAL's RPC items) where there are some, "weights" (of each of `bands`
        in the average), "undeclared_nodata" (a fill value the file does not declare), "modality_from" (why).

    Raises:
        InputError: the file is missing, unreadable, truncated or has no bands.
        UsageError: a band number that is not there, or an unknown modality.
    """
    name, given = asset_path(path), _given_modality(modality)
    with gdal_environment(), open_dataset(name) as dataset:
        _check_has_bands(dataset, name)
        chosen = tuple(bands) if bands else default_bands(dataset)
        check_bands(name, chosen, dataset.count)
        samples = _samples(dataset, name, chosen)
        inferred, why = (given, "given") if given else infer_modality(dataset, name, chosen, samples)
        tags: dict[str, Any] = {"modality_from": why, "weights": _band_weights(dataset, chosen, samples)}
        fill = _undeclared_nodata(dataset, chosen, samples, inferred)
        if fill is not None:
            tags["undeclared_nodata"] = fill
        if dataset.rpcs is not None:
            tags["rpcs"] = dataset.tags(ns="RPC")
        scene = Scene(
            path=name,
            band_count=dataset.count,
            dtype=dataset.dtypes[chosen[0] - 1],
            bands=chosen,
            modality=inferred,
            modality_given=given is not None,
            nodata=dataset.nodatavals[chosen[0] - 1],
            mask_path=_mask_path(mask),
            tags=tags,
            **_placement(dataset),
        )
    scene = _with_ground_distance(scene)
    log.info(
        "%s: %d x %d %s pixels, band %s, %s (%s), placed by %s", scene.name, scene.grid.width, scene.grid.height,
        scene.dtype, " ".join(map(str, scene.bands)), scene.modality, why, scene.geocoding,
    )  # fmt: skip
    return scene


def default_bands(dataset: rasterio.DatasetReader) -> tuple[int, ...]:
    """Colour bands if the file names them, else a well-known visible or SAR band, else the first one."""
    colours = dataset.colorinterp
    rgb = tuple(i + 1 for c in (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
                for i, have in enumerate(colours) if have == c)  # fmt: skip
    if len(rgb) == 3 and dataset.count <= 4:
        return tuple(sorted(rgb))
    data = [i + 1 for i, have in enumerate(colours) if have != ColorInterp.alpha] or [1]
    named = {d.strip().lower(): i + 1 for i, d in enumerate(dataset.descriptions) if d}
    for wanted in ("b4", "b04", "red", "sr_b4", "b8", "b08", "nir", "pan", "vv", "hh"):
        if named.get(wanted) in data:
            return (named[wanted],)
    return tuple(sorted(rgb)) if len(rgb) == 3 else (data[0],)


def _given_modality(modality: Modality | str | None) -> Modality | None:
    if modality in (None, "auto"):
        return None
    try:
        return Modality(modality)
    except ValueError:
        names = ", ".join(Modality)
        raise UsageError(f"There is no modality {modality!r}: choose one of auto, {names}.") from None


def _mask_path(mask: str | os.PathLike[str] | None) -> str | None:
    if mask is None:
        return None
    name = os.fspath(mask)
    if is_local(name) and not os.path.exists(name):
        raise InputError(f"The mask {name} does not exist: check the path.")
    return name


def _check_has_bands(dataset: rasterio.DatasetReader, name: str) -> None:
    if dataset.count:
        return
    if dataset.subdatasets:
        raise InputError(
            f"{name} holds {len(dataset.subdatasets)} images: "
            f"name one of them, for instance {dataset.subdatasets[0]}."
        )
    raise InputError(f"{name} has no bands: it is a container without an image; name the image itself.")


def _placement(dataset: rasterio.DatasetReader) -> dict[str, Any]:
    """Grid, geocoding kind and GCPs as fields of Scene. Order as in gdalwarp: geotransform, GCPs, RPCs."""
    transform, crs = dataset.transform, dataset.crs
    gcps, gcp_crs = dataset.gcps
    size = {"width": dataset.width, "height": dataset.height}
    unplaced = transform.almost_equals(rasterio.Affine.identity()) or transform.is_degenerate
    flipped = tuple(transform)[:6] == (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    if not unplaced and not (flipped and crs is None):
        return {
            "grid": Grid(**size, geotransform=tuple(transform)[:6], crs_wkt=_wkt(crs)),
            "geocoding": "geotransform",
        }
    points = np.array([[g.col, g.row, g.x, g.y] for g in gcps], dtype=np.float64).reshape(-1, 4)
    if _span_a_plane(points) and not (dataset.rpcs is not None and len(gcps) <= 4):
        return {"grid": Grid(**size, crs_wkt=_wkt(gcp_crs or crs)), "geocoding": "gcps", "gcps": points}
    if dataset.rpcs is not None:
        return {"grid": Grid(**size, crs_wkt=WGS84.to_wkt()), "geocoding": "rpcs"}
    return {"grid": Grid(**size), "geocoding": "none"}


def _span_a_plane(gcps: FloatArray) -> bool:
    """Whether GCPs (N, 4: column, row, x, y) place a scene: not if they lie on a line, in the image or on the map."""
    if len(gcps) < 3:
        return False
    spans = [np.linalg.svd(part - part.mean(0), compute_uv=False) for part in (gcps[:, :2], gcps[:, 2:])]
    return all(smallest > LEAST_GCP_WIDTH * largest for largest, smallest in spans)


def _wkt(crs: Any) -> str | None:
    return crs.to_wkt() if crs else None


def _with_ground_distance(scene: Scene) -> Scene:
    geocoding = Geocoding.of(scene)
    return scene if geocoding is None else replace(scene, gsd_m=ground_distance_m(geocoding))


def _samples(dataset: rasterio.DatasetReader, name: str, bands: tuple[int, ...]) -> list[FloatArray]:
    """Windows (bands, H, W) at the four corners and the centre, at full resolution, as float32 amplitudes.

    Few, because each may cost a whole tile of JPEG 2000 to decode.
    """
    width, height = min(SAMPLE_PX, dataset.width), min(SAMPLE_PX, dataset.height)
    right, bottom = dataset.width - width, dataset.height - height
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    windows = [Window(x, y, width, height) for x, y in [*corners, (right // 2, bottom // 2)]]
    with reading(name):
        stacks = [dataset.read(list(bands), window=window) for window in windows]
    return [np.abs(s).astype(np.float32) if np.iscomplexobj(s) else s.astype(np.float32) for s in stacks]


def _band_weights(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...], samples: list[FloatArray]
) -> tuple[float, ...]:
    """Luminance weights for red, green and blue, else such that every band varies alike; they sum to 1."""
    if len(bands) == 1:
        return (1.0,)
    colours = [dataset.colorinterp[band - 1] for band in bands]
    if set(colours) == set(_LUMINANCE) and len(bands) == 3:
        return tuple(_LUMINANCE[colour] for colour in colours)
    pixels = np.concatenate([s.reshape(len(bands), -1) for s in samples], axis=1)
    pixels = np.where(np.isfinite(pixels), pixels, np.nan)
    spread = np.array([np.nanstd(row) if np.isfinite(row).any() else 0.0 for row in pixels])
    weights = 1.0 / np.where(spread > 0, spread, np.inf)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(bands), 1 / len(bands))
    return tuple(float(w) for w in weights)


def _undeclared_nodata(
    dataset: rasterio.DatasetReader, bands: tuple[int, ...], samples: list[FloatArray], modality: Modality
) -> float | None:
    """A value that fills the border though the file does not say so: flat in at least one corner of the image."""
    if any(flag != MaskFlags.all_valid for flag in dataset.mask_flag_enums[bands[0] - 1]):
        return None
    white = dataset.dtypes[bands[0] - 1] == "uint8" and modality not in (Modality.MAP, Modality.ELEVATION)
    top, bottom = slice(None, FLAT_PX), slice(-FLAT_PX, None)
    places = [(top, top), (top, bottom), (bottom, top), (bottom, bottom)]
    corners = [sample[:, rows, cols] for sample, (rows, cols) in zip(samples, places, strict=False)]
    for value in (0.0, 255.0) if white else (0.0,):
        if any((corner == value).all() for corner in corners):
            return value
    return None
