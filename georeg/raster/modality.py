"""Which kind of sensor made an image, judged by metadata, name and a few windows of its pixels."""

from __future__ import annotations

import re

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from georeg.scene import FloatArray, Modality

_SAR = """sar s1 s1a s1b s1c s1d vv vh hh hv grd grdh slc palsar palsar2 radarsat rs2 rcm terrasar tsx tdx
cosmo csk csg capella iceye umbra gf3 sigma0 gamma0 beta0 sentinel1 insar backscatter radar"""
_INFRARED = "thermal tir lwir mwir swir nir ir infrared b10 b11 st_b10 lst"
_ELEVATION = "dem dsm dtm srtm hgt height elevation altitude depth lidar ndsm chm copdem"
_MAP = "map maps osm topo topographic landcover cadastre basemap"
_OPTICAL = """rgb optical opt s2 s2a s2b s2c sentinel2 pan visible vis ortho orthophoto tci naip spot planet
skysat pleiades"""
_WORDS: dict[Modality, frozenset[str]] = {
    Modality.SAR: frozenset(_SAR.split()),
    Modality.INFRARED: frozenset(_INFRARED.split()),
    Modality.ELEVATION: frozenset(_ELEVATION.split()),
    Modality.MAP: frozenset(_MAP.split()),
    Modality.OPTICAL: frozenset(_OPTICAL.split()),
}
_TAG_KEYS = re.compile(r"(SATELLITE|SENSOR|MISSION|PLATFORM|PRODUCT_TYPE|INSTRUMENT|POLARI[SZ]ATION)", re.I)


def infer_modality(
    dataset: rasterio.DatasetReader, name: str, bands: tuple[int, ...], samples: list[FloatArray]
) -> tuple[Modality, str]:
    """The modality and, in a few words, what it was inferred from.

    Args:
        samples: windows (bands, H, W), float32 amplitudes.
    """
    band = bands[0]
    if dataset.dtypes[band - 1].startswith("complex"):
        return Modality.SAR, "complex pixels"
    if dataset.colorinterp[band - 1] == ColorInterp.palette:
        return Modality.MAP, "colour table"
    for text, source in ((_metadata_text(dataset, band), "metadata"), (_file_name(name), "file name")):
        found = _by_words(text)
        if found is not None:
            return found, source
    if (dataset.units[band - 1] or "").lower() in ("m", "metre", "metres", "meter", "meters", "ft"):
        return Modality.ELEVATION, "units"
    return _by_pixels(dataset.dtypes[band - 1], samples), "pixels"


def _metadata_text(dataset: rasterio.DatasetReader, band: int) -> str:
    tags = [*dataset.tags().items(), *dataset.tags(band).items()]
    values = [value for key, value in tags if _TAG_KEYS.search(key)]
    sar = "sar" if dataset.driver in ("SAR_CEOS", "RS2", "RCM", "SENTINEL1", "TSX", "CEOS") else ""
    return " ".join([dataset.descriptions[band - 1] or "", sar, *values])


def _file_name(name: str) -> str:
    return re.split(r"[\\/]", name.rstrip("/"))[-1].rsplit(".", 1)[0]


def _by_words(text: str) -> Modality | None:
    """The modality whose words occur; None where there are none or they disagree."""
    words = {w for w in re.split(r"[^a-z0-9]+", re.sub(r"sentinel[- _]", "sentinel", text.lower())) if w}
    found = [modality for modality, known in _WORDS.items() if words & known]
    return found[0] if len(found) == 1 else None


def _by_pixels(dtype: str, samples: list[FloatArray]) -> Modality:
    """Map by flatness, elevation by smoothness of floats, SAR by speckle, else optical."""
    usable = [s for s in samples if min(s.shape[1:]) >= 16 and np.isfinite(s).all() and s.max() > s.min()]
    if not usable:
        return Modality.OPTICAL
    if np.median([_share_flat(s) for s in usable]) > 0.5:
        return Modality.MAP
    greys = [s.mean(0) for s in usable]
    if dtype.startswith(("float", "int")) and np.median([_roughness(g) for g in greys]) < 0.01:
        return Modality.ELEVATION
    coloured = any(s.shape[0] > 1 and np.abs(s - s[:1]).max() > 0 for s in usable)
    if not coloured and np.median([_speckle(g) for g in greys]) > 0.12:
        return Modality.SAR
    return Modality.OPTICAL


def _share_flat(stack: FloatArray) -> float:
    """Share of pixels equal to their right and lower neighbours, of those above 0."""
    same = (stack[:, :-1, :-1] == stack[:, :-1, 1:]) & (stack[:, :-1, :-1] == stack[:, 1:, :-1])
    kept = stack[:, :-1, :-1].min(0) > 0
    return float(same.all(0)[kept].mean()) if kept.any() else 0.0


def _roughness(grey: FloatArray) -> float:
    """Median second difference over the deviation: small for heights, large for images."""
    second = np.abs(grey[:, 2:] - 2 * grey[:, 1:-1] + grey[:, :-2])
    deviation = grey.std()
    return float(np.median(second) / deviation) if deviation > 0 else 1.0


def _speckle(grey: FloatArray) -> float:
    """Lower quartile of the local coefficient of variation over 6 x 6 cells: speckle has no quiet places."""
    rows, cols = grey.shape[0] // 6 * 6, grey.shape[1] // 6 * 6
    cells = grey[:rows, :cols].reshape(rows // 6, 6, cols // 6, 6).swapaxes(1, 2).reshape(-1, 36)
    mean = cells.mean(1)
    good = cells.min(1) > 0
    if good.sum() < 8:
        return 0.0
    return float(np.quantile(cells[good].std(1) / mean[good], 0.25))
