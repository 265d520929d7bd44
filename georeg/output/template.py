"""What a registered raster keeps of its source besides pixels: dtype, nodata, colours, names, tags, units, masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from georeg.errors import UsageError
from georeg.output.grid import OutputGrid
from georeg.output.options import OutputOptions
from georeg.raster.native import common_dtype

_NOT_KEPT = ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "RPC", "COLOR_PROFILE", "GEOLOCATION")


@dataclass(frozen=True)
class Template:
    """The source's description, read once.

    Attributes:
        count: bands.
        dtype: numpy dtype that holds every band.
        nodata: of the output; None where it has none.
        fill: what invalid pixels are written as, in every band.
        alpha: 1-based number of the alpha band; None where there is none.
        with_mask: whether the output needs a mask band to say what is invalid.
        paletted: whether any band has a colour table (then only nearest makes sense).
        interpretations, descriptions, units, scales, offsets, band_tags: one entry a band.
        colormaps: by 1-based band.
        tags: by namespace.
    """

    count: int
    dtype: np.dtype[Any]
    nodata: float | None
    fill: float
    alpha: int | None
    with_mask: bool
    paletted: bool
    interpretations: tuple[ColorInterp, ...]
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    band_tags: tuple[dict[str, str], ...]
    colormaps: dict[int, dict[int, tuple[int, ...]]]
    tags: dict[str | None, dict[str, str]]

    @classmethod
    def of(cls, dataset: rasterio.DatasetReader, options: OutputOptions) -> Template:
        """Describe an open source; raises UsageError for a --dst-nodata its dtype cannot hold."""
        dtype = common_dtype(dataset)
        colours = dataset.colorinterp
        alpha = colours.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in colours else None
        nodata = _output_nodata(dataset, dtype, alpha, options)
        return cls(
            count=dataset.count,
            dtype=dtype,
            nodata=nodata,
            fill=0.0 if nodata is None else nodata,
            alpha=alpha,
            with_mask=nodata is None and alpha is None,
            paletted=ColorInterp.palette in colours,
            interpretations=colours,
            descriptions=dataset.descriptions,
            units=dataset.units,
            scales=dataset.scales,
            offsets=dataset.offsets,
            band_tags=tuple(_kept(dataset.tags(band)) for band in dataset.indexes),
            colormaps={
                b: dataset.colormap(b) for b in dataset.indexes if colours[b - 1] == ColorInterp.palette
            },
            tags={ns: _kept(dataset.tags(ns=ns)) for ns in (None, *own_namespaces(dataset))},
        )

    def profile(self, output: OutputGrid) -> dict[str, Any]:
        """Options of rasterio.open for a file of this description on a grid."""
        profile: dict[str, Any] = {
            "count": self.count,
            "dtype": self.dtype.name,
            "nodata": self.nodata,
            "width": output.grid.width,
            "height": output.grid.height,
        }
        if output.grid.crs_wkt:
            profile["crs"] = CRS.from_wkt(output.grid.crs_wkt)
        if output.grid.geotransform:
            profile["transform"] = rasterio.Affine(*output.grid.geotransform)
        elif output.gcps is not None:
            profile["gcps"] = [GroundControlPoint(row=r, col=c, x=x, y=y) for c, r, x, y in output.gcps]
        elif output.rpcs is not None:
            profile["rpcs"] = RPC.from_gdal(output.rpcs)
            del profile["crs"]
        return profile

    def describe(self, sink: rasterio.io.DatasetWriter) -> None:
        """Put names, colours, units and tags onto a file opened for writing."""
        for band, table in self.colormaps.items():
            sink.write_colormap(band, table)
        if not self.colormaps:
            sink.colorinterp = self.interpretations
        for band in sink.indexes:
            if self.descriptions[band - 1]:
                sink.set_band_description(band, self.descriptions[band - 1])
            if self.units[band - 1]:
                sink.set_band_unit(band, self.units[band - 1])
            if self.band_tags[band - 1]:
                sink.update_tags(band, **self.band_tags[band - 1])
        if any(scale != 1 for scale in self.scales) or any(self.offsets):
            sink.scales, sink.offsets = self.scales, self.offsets
        for namespace, tags in self.tags.items():
            if tags:
                sink.update_tags(ns=namespace, **tags)


def own_namespaces(dataset: rasterio.DatasetReader) -> list[str]:
    """Tag namespaces that a user or a sensor's product put there, not GDAL."""
    return [ns for ns in dataset.tag_namespaces() if ns not in _NOT_KEPT and not ns.startswith("xml:")]


def _kept(tags: dict[str, str]) -> dict[str, str]:
    """Tags that stay true of resampled pixels."""
    return {
        key: value
        for key, value in tags.items()
        if key != "AREA_OR_POINT" and not key.startswith("STATISTICS_")
    }


def _output_nodata(
    dataset: rasterio.DatasetReader, dtype: np.dtype[Any], alpha: int | None, options: OutputOptions
) -> float | None:
    if options.dst_nodata is not None:
        return _checked(options.dst_nodata, dtype)
    if MaskFlags.nodata in dataset.mask_flag_enums[0]:
        return dataset.nodatavals[0]
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0] or alpha is not None:
        return None
    return math.nan if dtype.kind == "f" else None


def _checked(nodata: float, dtype: np.dtype[Any]) -> float:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (math.isfinite(nodata) and nodata == round(nodata) and limits.min <= nodata <= limits.max):
            raise UsageError(
                f"--dst-nodata {nodata:g} does not fit into {dtype.name} pixels: "
                f"choose a whole number from {limits.min} to {limits.max}."
            )
    return nodata
