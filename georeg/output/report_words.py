"""The report's sentences: the verdict, the figures explained, the transform in words, and next steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeg.output.report_motion import Motion, describe_motion
from georeg.output.report_plots import held_out_in_turn
from georeg.result import Registration
from georeg.scene import Scene

KIND_WORDS = {
    "shift": "A pure shift",
    "similarity": "A similarity: shift, rotation and one scale",
    "affine": "An affine transform: shift, rotation, two scales and a skew",
    "homography": "A homography: a tilted plane seen in perspective",
    "polynomial2": "A second-order polynomial: it bends smoothly",
    "polynomial3": "A third-order polynomial: it bends smoothly, more freely",
    "tps": "A thin-plate spline: it bends locally through the tie points",
}
MODALITY_WORDS = {
    "optical": "optical",
    "sar": "radar (SAR)",
    "infrared": "infrared",
    "map": "map",
    "elevation": "elevation model",
}
GEOCODING_WORDS = {"gcps": "ground control points", "rpcs": "RPCs"}


@dataclass(frozen=True)
class Figure:
    """One number on the page: its name, the number, the same in another unit, and what it means."""

    label: str
    value: str
    aside: str
    meaning: str


def number(value: float) -> str:
    """At most three significant digits, thousands separated: 0.42, 7.4, 12.3, 10,980."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 - math.floor(math.log10(abs(value)))
    text = f"{value:.{min(max(digits, 0), 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(value: float) -> str:
    """A share of one as per cent that never claims certainty: >99 %, 87 %, <1 %."""
    if value > 0.99:
        return ">99 %"
    return "<1 %" if value < 0.01 else f"{100 * value:.0f} %"


def headline(registration: Registration) -> tuple[str, str]:
    """The verdict in a few words, and in one sentence more."""
    quality = registration.quality
    if quality.verdict == "fail":
        return "Not registered", "georeg does not trust what it found, so by default it writes no raster."
    if quality.ce90_px is None:
        accuracy = "How accurate it is could not be measured."
    else:
        radius = f"{number(quality.ce90_px)} px of the reference"
        if quality.ce90_m is not None:
            radius = f"{number(quality.ce90_m)} m ({radius})"
        accuracy = f"Nine in ten check points lie within {radius} of where they belong."
        if of_series(registration):
            accuracy = (
                f"Its registrations to other images of the series agree with its place within {radius}."
            )
    if quality.verdict == "warn":
        return "Registered, with doubts", accuracy + " Look at the pictures before you rely on it."
    return "Registered", accuracy


def of_series(registration: Registration) -> bool:
    """Whether the image was placed by the solution of a time series, not by tie points of its own."""
    return "series" in registration.run


def figures(registration: Registration) -> tuple[Figure, ...]:
    """The figures at the top of the page."""
    return _series_figures(registration) if of_series(registration) else _measured_figures(registration)


def _series_figures(registration: Registration) -> tuple[Figure, ...]:
    quality, loop_px = registration.quality, registration.run.get("loop_closure_px")
    return (
        _distance_figure(
            "Agreement, 90 %",
            quality.ce90_px,
            quality.ce90_m,
            "How far the registrations that place this image contradict the solution of the series.",
        ),
        Figure(
            "Registrations",
            f"{quality.inliers:,}",
            f"of {quality.matches:,} to other images",
            "Registrations of this image that agree with the rest of the series. The others were outvoted.",
        ),
        _distance_figure(
            "Loop closure",
            loop_px,
            _metres(loop_px, registration.reference),
            "How far off three registrations in a ring come back to their start: the median of the series.",
        ),
        _probability_figure(registration),
    )


def _probability_figure(registration: Registration) -> Figure:
    return Figure(
        "Probability",
        share(registration.quality.probability_correct),
        "that it is right",
        "How often registrations that look like this one turn out right. Not a measure of accuracy.",
    )


def _measured_figures(registration: Registration) -> tuple[Figure, ...]:
    quality, tie = registration.quality, registration.tie
    checks = int(tie.check.sum())
    counted = f"the {checks:,} check points, which the fit has not seen" if checks else "check points"
    if held_out_in_turn(registration):
        counted = f"{checks:,} check points: the tie points, each left out of the fit in its turn"
    return (
        _distance_figure(
            "CE90",
            quality.ce90_px,
            quality.ce90_m,
            "Nine in ten check points are closer than this to where they belong: the accuracy to rely on.",
        ),
        _distance_figure(
            "Check-point RMSE",
            quality.holdout_rmse_px,
            _metres(quality.holdout_rmse_px, registration.reference),
            f"The root-mean-square error over {counted}.",
        ),
        Figure(
            "Tie points",
            f"{quality.inliers:,}",
            f"of {quality.matches:,} matches",
            "Matches that agree with one common transform. The rest were dropped as mistaken.",
        ),
        Figure(
            "Coverage",
            f"{100 * quality.coverage:.0f} %",
            "of the overlap",
            "How much of the common ground lies near a tie point. Elsewhere the transform is a guess.",
        ),
        _probability_figure(registration),
    )


def _distance_figure(label: str, px: float | None, metres: float | None, meaning: str) -> Figure:
    if px is None:
        return Figure(label, "–", "not measured", meaning)
    if metres is None:
        return Figure(label, f"{number(px)} px", "no ground scale known", meaning)
    return Figure(label, f"{number(metres)} m", f"{number(px)} px", meaning)


def _metres(px: float | None, scene: Scene) -> float | None:
    return None if px is None or scene.gsd_m is None else px * scene.gsd_m


def transform_words(registration: Registration) -> list[tuple[str, str]]:
    """The transform as (term, sentence) rows; empty where there is no transform."""
    if registration.transform is None:
        return []
    motion, kind = describe_motion(registration), registration.transform.kind
    rows = [("Kind", KIND_WORDS.get(kind, kind))]
    if motion is None:
        return [*rows, ("Shift", "not defined: the transform sends the middle of the overlap to infinity")]
    return [*rows, *_motion_rows(motion)]


def _motion_rows(motion: Motion) -> Iterator[tuple[str, str]]:
    origin = "where its own geocoding puts it" if motion.from_geocoding else "its own pixel position"
    yield "Compared with", f"{origin}; measured at the middle of the overlap"
    dx, dy = motion.shift_px
    sideways, upright = ("right" if dx >= 0 else "left"), ("down" if dy >= 0 else "up")
    shift = f"{number(math.hypot(dx, dy))} px: {number(abs(dx))} {sideways}, {number(abs(dy))} {upright}"
    if motion.shift_m is not None:
        east, north = motion.shift_m
        shift = (
            f"{number(math.hypot(east, north))} m: {number(abs(east))} m {'east' if east >= 0 else 'west'}, "
            f"{number(abs(north))} m {'north' if north >= 0 else 'south'} ({shift})"
        )
    yield "Shift", shift
    turn = "none" if abs(motion.rotation_deg) < 5e-5 else f"{abs(motion.rotation_deg):.4g}° "
    if turn != "none":
        turn += "clockwise" if motion.rotation_deg > 0 else "counter-clockwise"
    yield "Rotation", turn
    yield "Scale", f"{motion.scale_x:.5f} along columns, {motion.scale_y:.5f} along rows"
    if abs(motion.skew_deg) >= 0.001:
        yield "Skew", f"{motion.skew_deg:.3g}°"
    if motion.mirrored:
        yield "Mirrored", "yes: the image is turned over, which is unusual"


def scene_rows(scene: Scene) -> list[tuple[str, str]]:
    """A scene's metadata as (term, value) rows."""
    grid = scene.grid
    modality = MODALITY_WORDS.get(str(scene.modality), str(scene.modality))
    rows = [
        ("Path", scene.path),
        ("Size", f"{grid.width:,} × {grid.height:,} px"),
        ("Pixels", f"{scene.band_count} band{'s' if scene.band_count != 1 else ''}, {scene.dtype}"),
        ("Matched band", ", ".join(str(band) for band in scene.bands)),
        ("Kind of image", f"{modality} ({'as given' if scene.modality_given else 'inferred by georeg'})"),
        ("CRS", crs_name(grid.crs_wkt)),
        (
            "Geocoding",
            {"gcps": "ground control points", "rpcs": "RPCs"}.get(scene.geocoding, scene.geocoding),
        ),
        ("Pixel size", "unknown" if scene.gsd_m is None else f"{number(scene.gsd_m)} m on the ground"),
        ("No-data value", "none" if scene.nodata is None else f"{scene.nodata:g}"),
    ]
    if scene.mask_path:
        rows.append(("Mask", scene.mask_path))
    return rows


def crs_name(wkt: str | None) -> str:
    """The name and EPSG code of a CRS, e.g. "WGS 84 / UTM zone 32N (EPSG:32632)"."""
    if not wkt:
        return "none"
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        code = CRS.from_wkt(wkt).to_epsg()
    except CRSError:
        code = None
    name = wkt.split('"')[1] if wkt.count('"') >= 2 else wkt[:60]
    return f"{name} (EPSG:{code})" if code else name


def advice(registration: Registration) -> list[str]:
    """What to try next when the verdict is not a pass: the likeliest remedy first, one sentence each."""
    return list(_advice(registration)) if registration.quality.verdict != "pass" else []


def _advice(registration: Registration) -> Iterator[str]:
    moving, reference, quality = registration.moving, registration.reference, registration.quality
    options = registration.run.get("options") or {}
    guessed = [
        f"--{role}-modality ({MODALITY_WORDS.get(str(scene.modality), scene.modality)} was inferred)"
        for role, scene in (("moving", moving), ("reference", reference))
        if not scene.modality_given
    ]
    if guessed:
        yield f"Say what kind of images these are: {' and '.join(guessed)}."
    if moving.geocoding != "none" and options.get("prior") != "none":
        yield (
            "If the moving image may lie far from where its geocoding puts it, search wider with "
            "--search-radius METRES, or ignore the geocoding with --prior none."
        )
    if moving.geocoding == "none":
        yield "Give a rough position first, by a geotransform or a few GCPs: the search becomes a small one."
    if max(moving.band_count, reference.band_count) > 1:
        yield "Match other bands with --band and --reference-band, such as show the same edges in both."
    if not options.get("exhaustive"):
        yield "Match every tile instead of a choice of them with --exhaustive."
    if quality.matches and registration.transform is not None:
        yield "Mask what moves or looks different (clouds, water, snow) with --mask and --reference-mask."
    if quality.verdict == "fail" and registration.transform is not None:
        yield "To look at the rejected result in a GIS all the same, write it with --keep-failed."


def run_rows(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What ran, as (term, value) rows: all plain entries, without the nested ones."""
    hidden = {"seconds", "options"}
    return [
        (name.replace("_", " ").capitalize(), plain(value))
        for name, value in run.items()
        if name not in hidden and not isinstance(value, dict)
    ]


def stage_seconds(run: dict[str, Any]) -> list[tuple[str, float]]:
    """(stage, seconds), in the order they ran."""
    seconds = run.get("seconds")
    return [(str(name), float(value)) for name, value in seconds.items()] if isinstance(seconds, dict) else []


def plain(value: Any) -> str:
    """Any option's value as a person would write it."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{float(value):g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value) or "–"
    return str(value)
