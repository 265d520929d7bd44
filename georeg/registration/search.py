"""Where the global stage looks: around the geocoding where there is one, else everywhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely

from georeg.errors import NotRegistrableError
from georeg.raster import GeocodingPrior, SceneReader
from georeg.registration.frames import Frame, Viewer
from georeg.registration.matchers import Toolkit
from georeg.registration.options import MatchOptions, Progress
from georeg.registration.overview import (
    NEAR_ROTATIONS,
    NEAR_SCALES,
    OVERVIEW_PX,
    SCALES,
    Located,
    Overview,
    locate,
    open_overview,
)
from georeg.registration.preflight import check_patch
from georeg.scene import FloatArray, Patch

LARGEST_MOVING_PX = 1400
LEAST_SUPPORT = 8
KNOWN_SCALES = (0.87, 1.0, 1.15)
SEARCH_SHARE = 0.5
"""How far a geocoding is searched by default: this share of the moving scene's footprint."""


@dataclass(frozen=True)
class Placement:
    """Where the moving scene lies, to overview accuracy.

    Attributes:
        viewer: reads windows; its prior is the geocoding if that was used.
        matrix: (3, 3) source -> reference px.
        step: reference pixels per overview pixel.
        uncertainty_px: how far the matrix may be off, reference pixels.
        agreement: of `Located`.
        interest: reference overview and its frame, to choose tiles by.
    """

    viewer: Viewer
    matrix: FloatArray
    step: float
    uncertainty_px: float
    agreement: float
    interest: tuple[Patch, Frame]


def place(
    moving: SceneReader,
    reference: SceneReader,
    prior: GeocodingPrior | None,
    toolkit: Toolkit,
    options: MatchOptions,
    progress: Progress,
) -> Placement | None:
    """Find the moving scene on the reference; None where no placement is supported.

    Raises:
        NotRegistrableError: the geocodings place the scenes out of each other's reach, or a scene is constant.
        InputError: a scene has no valid pixel.
    """
    progress("overview", 0, 2, "reading")
    if prior is None:
        _refuse_missing_geocoding(options, moving, reference)
        return _blind(moving, reference, toolkit, progress)
    near = _near_prior(moving, reference, prior, toolkit, options, progress)
    if options.prior == "geocoding" or (near is not None and near[0].beyond_doubt):
        return None if near is None else near[1]
    blind = _blind(moving, reference, toolkit, progress)
    if near is None or (
        blind is not None and blind.agreement > near[1].agreement and near[0].support < LEAST_SUPPORT * 2
    ):
        return blind
    return near[1]


def _refuse_missing_geocoding(options: MatchOptions, moving: SceneReader, reference: SceneReader) -> None:
    if options.prior != "geocoding":
        return
    without = next(
        s for s in (moving.scene, reference.scene) if s.geocoding == "none" or s is reference.scene
    )
    raise NotRegistrableError(
        f"{without.name} has no usable geocoding to start from: use --prior auto or --prior none."
    )


def _near_prior(
    moving: SceneReader,
    reference: SceneReader,
    prior: GeocodingPrior,
    toolkit: Toolkit,
    options: MatchOptions,
    progress: Progress,
) -> tuple[Located, Placement] | None:
    """Search around the geocoding."""
    viewer = Viewer(moving, reference, prior)
    low, high = _footprint(prior, moving)
    radius = _search_radius_px(options, reference, low, high)
    size = np.array([reference.scene.grid.width, reference.scene.grid.height], float)
    from_xy, to_xy = np.maximum(low - radius, 0), np.minimum(high + radius, size)
    if (to_xy - from_xy < 16).any():
        raise NotRegistrableError(_no_overlap(moving, reference, low, high, size, radius))
    step = max(
        1.0, float((high - low).max()) / OVERVIEW_PX, float((to_xy - from_xy).max()) / (2 * OVERVIEW_PX)
    )
    overview = _checked(
        open_overview(viewer, Frame.around(low, high, step), Frame.around(from_xy, to_xy, step)), viewer
    )
    progress("overview", 1, 2, "searching around the geocoding")
    located = locate(overview, toolkit, NEAR_ROTATIONS, NEAR_SCALES, geocoded=True)
    progress("overview", 2, 2, "located" if located else "nothing found around the geocoding")
    return None if located is None else (located, _placement(viewer, overview, located))


def _blind(
    moving: SceneReader, reference: SceneReader, toolkit: Toolkit, progress: Progress
) -> Placement | None:
    """Search all rotations and scales."""
    viewer = Viewer(moving, reference, None)
    step, moving_step, known = _blind_steps(moving, reference)
    frames = [_whole(reader, s) for reader, s in ((moving, moving_step), (reference, step))]
    overview = _checked(open_overview(viewer, *frames), viewer)
    progress("overview", 1, 2, "searching all rotations and scales")
    located = locate(overview, toolkit, scales=KNOWN_SCALES if known else SCALES)
    progress("overview", 2, 2, "located" if located else "nothing found")
    return (
        None if located is None or located.support < LEAST_SUPPORT else _placement(viewer, overview, located)
    )


def _blind_steps(moving: SceneReader, reference: SceneReader) -> tuple[float, float, bool]:
    """Steps of both overviews, and whether they show the same ground sampling distance."""
    step = max(1.0, max(reference.scene.grid.shape) / OVERVIEW_PX)
    gsd, reference_gsd = moving.scene.gsd_m, reference.scene.gsd_m
    if gsd and reference_gsd:
        return step, step * reference_gsd / gsd, True
    longest = max(moving.scene.grid.shape)
    return step, max(step, longest / LARGEST_MOVING_PX), False


def _placement(viewer: Viewer, overview: Overview, located: Located) -> Placement:
    return Placement(
        viewer,
        located.matrix,
        overview.reference_frame.step,
        located.uncertainty_px,
        located.agreement,
        (overview.reference, overview.reference_frame),
    )


def _checked(overview: Overview, viewer: Viewer) -> Overview:
    moving, reference = viewer.scenes
    check_patch(overview.moving, "moving", moving)
    check_patch(overview.reference, "reference", reference)
    return overview


def _whole(reader: SceneReader, step: float) -> Frame:
    grid = reader.scene.grid
    return Frame.around(np.zeros(2), np.array([grid.width, grid.height], float), step)


def _footprint(prior: GeocodingPrior, moving: SceneReader) -> tuple[FloatArray, FloatArray]:
    outline = shapely.get_coordinates(prior.footprint(moving.scene))
    if len(outline) == 0:
        raise NotRegistrableError(
            f"The geocoding of {moving.scene.name} cannot be placed on the reference: try --prior none."
        )
    return outline.min(0), outline.max(0)


def _search_radius_px(
    options: MatchOptions, reference: SceneReader, low: FloatArray, high: FloatArray
) -> float:
    gsd = reference.scene.gsd_m
    if options.search_radius_m is not None and gsd:
        return options.search_radius_m / gsd
    return SEARCH_SHARE * float((high - low).max())


def _no_overlap(
    moving: SceneReader,
    reference: SceneReader,
    low: FloatArray,
    high: FloatArray,
    size: FloatArray,
    radius: float,
) -> str:
    gap = float(np.max([np.maximum(low - size, 0), np.maximum(-high, 0)]))
    gsd = reference.scene.gsd_m
    distance = f"{gap:.0f} reference pixels" if not gsd else f"{gap * gsd / 1000:.1f} km"
    return (
        f"{moving.scene.name} and {reference.scene.name} do not overlap: by their geocoding they lie {distance} apart. "
        "Check that they show the same place; --search-radius METRES looks farther, --prior none ignores the geocoding."
    )
