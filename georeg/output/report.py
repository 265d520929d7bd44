"""The report of a registration: the pictures are read here, the page is made by `georeg.output.report_page`.

Pictures are small and read decimated: one of the whole overlap, and a few details at full resolution where
the overlap is too large for a person to judge it on one picture.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from georeg.output.report_content import Image, ReportContent, View, Window
from georeg.output.report_page import report_html
from georeg.raster.atomic import atomic_output
from georeg.raster.geocoding import GeocodingPrior
from georeg.raster.lattice import Lattice
from georeg.raster.normalise import normalise
from georeg.raster.reader import SceneReader
from georeg.raster.resample import resample_window
from georeg.result import Registration
from georeg.scene import FloatArray, Modality, Scene

PointMap = Callable[[FloatArray], FloatArray]
ReadImage = Callable[[Scene, PointMap, tuple[int, int]], Image]
"""read(scene, out_to_scene, shape): (rows, cols, 4) uint8 of what the scene shows; alpha 0 where nothing."""

OVERVIEW_PX = 1000
DETAIL_PX = (480, 360)
DETAILS = 3
DETAILS_BEYOND_PX = 1400
"""Overlaps shorter than this are shown in one picture only."""


def write_report(
    registration: Registration, path: str | os.PathLike[str], *, read: ReadImage | None = None
) -> Path:
    """Write the HTML report of a registration, replacing an older one.

    Args:
        registration: any verdict, with or without a transform.
        path: the HTML file; written beside its name and renamed at the end.
        read: reads pixels; by default from the scenes' files.

    Returns:
        The path.

    Raises:
        InputError: a scene cannot be read any more, or the folder cannot be written to.
        ResourceError: the disk is full.
    """
    target = Path(path)
    html = report_html(report_content(registration, read or read_image))
    with atomic_output(target, overwrite=True) as partial:
        partial.write_text(html, encoding="utf-8")
    return target


def report_content(registration: Registration, read: ReadImage) -> ReportContent:
    """Read the pictures of a registration: the overlap as a whole, then details."""
    before = before_map(registration)
    window = overlap_window(registration, before)
    views = [_overview(registration, window, before, read)]
    for index, detail in enumerate(detail_windows(registration, window), 1):
        views.append(_view(registration, f"Detail {index}", detail, before, read))
    return ReportContent(registration, tuple(views))


def before_map(registration: Registration) -> PointMap:
    """Moving px -> reference px as the files were delivered: by their geocoding, else pixel on pixel."""
    transform = registration.transform
    if transform is not None and transform.prior is not None:
        return transform.prior
    return GeocodingPrior.between(registration.moving, registration.reference) or _Same()


class _Same:
    """Pixel on pixel: for images without geocoding."""

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return points_xy

    inverse = __call__


def overlap_window(registration: Registration, before: PointMap) -> Window:
    """The part of the reference the moving image covers, with a margin; all of it where it covers nothing."""
    grid = registration.reference.grid
    for placed in (registration.transform, before):
        if placed is None:
            continue
        box = _box(placed(_border(registration.moving)))
        if box is not None:
            low, high = box
            margin = 0.02 * (high - low)
            low, high = np.maximum(low - margin, 0.0), np.minimum(high + margin, (grid.width, grid.height))
            if (high - low).min() >= 16:
                return Window(float(low[0]), float(low[1]), *(float(side) for side in high - low))
    return Window(0.0, 0.0, float(grid.width), float(grid.height))


def _border(scene: Scene, steps: int = 16) -> FloatArray:
    corners, share = scene.grid.corners_xy, np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    sides = zip(corners, np.roll(corners, -1, 0), strict=True)
    return np.concatenate([start + share * (end - start) for start, end in sides])


def _box(points_xy: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    finite = points_xy[np.isfinite(points_xy).all(1)]
    return (finite.min(0), finite.max(0)) if len(finite) else None


def detail_windows(registration: Registration, window: Window) -> Iterator[Window]:
    """A few full-resolution places, far from one another, at tie points; evenly spread without these."""
    if max(window.width, window.height) <= DETAILS_BEYOND_PX:
        return
    width, height = min(DETAIL_PX[0], window.width), min(DETAIL_PX[1], window.height)
    room = np.array([window.width - width, window.height - height])
    for centre in _apart(_candidates(registration, window), DETAILS):
        corner = np.clip(centre - (width / 2, height / 2) - (window.col, window.row), 0, room)
        yield Window(
            float(np.floor(window.col + corner[0])), float(np.floor(window.row + corner[1])), width, height
        )


def _candidates(registration: Registration, window: Window) -> FloatArray:
    points = registration.tie.reference_xy[registration.tie.inlier | registration.tie.check]
    low, high = np.array([window.col, window.row]), np.array([window.width, window.height])
    inside = points[((points >= low) & (points <= low + high)).all(1)]
    if len(inside) >= DETAILS:
        return inside
    return low + high * np.array([[0.5, 0.5], [0.25, 0.25], [0.75, 0.75], [0.25, 0.75], [0.75, 0.25]])


def _apart(points_xy: FloatArray, count: int) -> FloatArray:
    """The point nearest the middle, then each time the one farthest from those taken."""
    taken = [int(np.linalg.norm(points_xy - np.median(points_xy, 0), axis=1).argmin())]
    while len(taken) < min(count, len(points_xy)):
        distance = np.linalg.norm(points_xy[:, None] - points_xy[taken], axis=2).min(1)
        taken.append(int(distance.argmax()))
    return points_xy[taken]


def _overview(registration: Registration, window: Window, before: PointMap, read: ReadImage) -> View:
    """The whole overlap; the moving image is read once for both of its states."""
    shape, to_reference = _frame(window, OVERVIEW_PX)
    after = registration.transform
    wanted = [_there_to_moving(placed, to_reference) for placed in (before, after) if placed is not None]
    sampled = _sampled_once(registration.moving, wanted, shape, read)
    reference = _opaque(read(registration.reference, to_reference, shape))
    return View("Whole overlap", window, reference, sampled[0], sampled[1] if after is not None else None)


def _view(registration: Registration, label: str, window: Window, before: PointMap, read: ReadImage) -> View:
    shape, to_reference = _frame(window, max(DETAIL_PX))
    placed = {"before": before, "after": registration.transform}
    moving = {
        name: _shown(read(registration.moving, _there_to_moving(where, to_reference), shape))
        for name, where in placed.items()
        if where is not None
    }
    reference = _opaque(read(registration.reference, to_reference, shape))
    return View(label, window, reference, moving["before"], moving.get("after"))


def _frame(window: Window, longest_px: int) -> tuple[tuple[int, int], PointMap]:
    """Shape of a picture of a window, and picture px -> reference px; never finer than the reference."""
    scale = max(max(window.width, window.height) / longest_px, 1.0)
    shape = max(round(window.height / scale), 1), max(round(window.width / scale), 1)
    steps = np.array([window.width / shape[1], window.height / shape[0]])
    return shape, lambda points_xy: points_xy * steps + (window.col, window.row)


def _there_to_moving(placed: PointMap, to_reference: PointMap) -> PointMap:
    inverse = placed.inverse  # type: ignore[attr-defined]
    return lambda points_xy: inverse(to_reference(points_xy))


def _sampled_once(
    moving: Scene, wanted: list[PointMap], shape: tuple[int, int], read: ReadImage
) -> list[Image | None]:
    """Pictures of the moving image through several maps, from one read of all that they show."""
    lattices = [Lattice.of(out_to_moving, shape) for out_to_moving in wanted]
    bounds = [lattice.bounds(moving.grid.width, moving.grid.height) for lattice in lattices]
    if not any(bounds):
        return [None] * len(wanted)
    low = np.floor(np.min([bound[0] for bound in bounds if bound], axis=0))
    span = np.ceil(np.max([bound[1] for bound in bounds if bound], axis=0)) - low
    factor = 2.0 ** max(math.floor(math.log2(span.max() / OVERVIEW_PX)), 0)  # as files keep reductions
    rows, cols = (max(int(side), 1) for side in span[::-1] // factor)
    thumb = read(moving, lambda points_xy: points_xy * factor + low, (rows, cols))
    return [_shown(_remapped(thumb, *lattice.maps(tuple(low), factor))) for lattice in lattices]


def _remapped(image: Image, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> Image:
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8)


def _shown(image: Image) -> Image | None:
    """The picture, or None where it shows nothing at all; alpha is all or nothing."""
    if not image[..., 3].any():
        return None
    return np.dstack([image[..., :3], np.where(image[..., 3] > 127, 255, 0).astype(np.uint8)])


def _opaque(image: Image) -> Image:
    """The picture on neutral grey, without alpha."""
    return np.where(image[..., 3:] > 0, image[..., :3], np.uint8(128))


def read_image(scene: Scene, out_to_scene: PointMap, shape: tuple[int, int]) -> Image:
    """(H, W, 4) picture of a scene: in colour for 8-bit colour photographs, else as the matcher sees it."""
    layers = []
    for layer in layer_scenes(scene):
        with SceneReader(layer) as reader:
            layers.append(resample_window(reader, out_to_scene, shape))
    valid = np.logical_and.reduce([layer[1] for layer in layers])
    pixels = np.dstack([layer[0] for layer in layers])
    if len(layers) == 1:
        pixels = normalise(pixels[..., 0], valid, scene.modality).pixels[..., None]
    grey = np.broadcast_to(stretched(pixels, valid), (*shape, 3))
    return np.dstack([grey, np.where(valid, 255, 0).astype(np.uint8)])


def layer_scenes(scene: Scene) -> list[Scene]:
    """The scene once for each layer of its picture, without the user's mask."""
    bare = replace(scene, mask_path=None)
    if not is_colour(scene):
        return [bare]
    tags = {name: value for name, value in scene.tags.items() if name != "weights"}
    return [replace(bare, bands=(band,), tags=tags) for band in (1, 2, 3)]


def is_colour(scene: Scene) -> bool:
    """Whether bands 1 to 3 are taken for red, green, blue."""
    return scene.modality is Modality.OPTICAL and scene.band_count in (3, 4) and scene.dtype == "uint8"


def stretched(pixels: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> Image:
    """(H, W, C) to 0..255 between the 1st and 99th percentile of the valid pixels of all bands."""
    if not valid.any():
        return np.zeros(pixels.shape, np.uint8)
    low, high = np.percentile(pixels[valid], (1.0, 99.0))
    scaled = (pixels - low) * (255.0 / max(high - low, 1e-6))
    return np.clip(scaled + 0.5, 0, 255).astype(np.uint8)
