"""The report's drawings as numbers: where each mark goes, in the units of the SVG it stands in.

The templates only draw what is computed here. Paths are SVG path strings, one for all points of a kind, which
keeps a page with thousands of tie points small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from georeg.output.report_content import Window
from georeg.result import Registration, TileRecord
from georeg.scene import FloatArray

FRAME_UNITS = 1000.0
"""Width of the map-like drawings, in SVG units."""
SHOWN_AT_MOST = {"inlier": 700, "check": 300, "outlier": 300}
BINS = 20
TILE_STEPS = (1, 5, 20, 50)
"""Lower bounds of the coverage map's classes, in inliers a tile."""


@dataclass(frozen=True)
class Frame:
    """Maps reference pixels to the units of a map-like SVG that shows one window."""

    window: Window

    @property
    def scale(self) -> float:
        return FRAME_UNITS / self.window.width

    @property
    def height(self) -> float:
        return self.window.height * self.scale

    def __call__(self, points_xy: FloatArray) -> FloatArray:
        return (points_xy - (self.window.col, self.window.row)) * self.scale

    def holds(self, points_xy: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) bool: which of the points lie in the window."""
        x, y = self(points_xy).T
        return (x >= 0) & (x <= FRAME_UNITS) & (y >= 0) & (y <= self.height)


@dataclass(frozen=True)
class TiePlot:
    """Tie points on the reference.

    Attributes:
        height: of the drawing, its width is FRAME_UNITS.
        outline: the moving image's border as a path; empty without a transform.
        marks: kind -> path of its point marks; arrows: kind -> path of its residual arrows.
        shown, total: kind -> how many are drawn, how many there are.
        legend_px, legend_units: length of the scale bar in reference pixels and SVG units.
        magnification: how many times longer than on the ground the arrows are drawn.
    """

    height: float
    outline: str
    marks: dict[str, str]
    arrows: dict[str, str]
    shown: dict[str, int]
    total: dict[str, int]
    legend_px: float
    legend_units: float
    magnification: float


@dataclass(frozen=True)
class TileMark:
    """One tile on the coverage map; `step` 0 is a tile without inliers, 4 the richest class."""

    x: float
    y: float
    width: float
    height: float
    step: int
    label: str
    title: str


@dataclass(frozen=True)
class Histogram:
    """Residual lengths: bars (x, y, width, height) for the inliers, a stepped path for the check points."""

    width: float
    height: float
    bars: tuple[tuple[float, float, float, float], ...]
    check_path: str
    ticks: tuple[tuple[float, str], ...]
    ce90_x: float | None
    beyond: int


@dataclass(frozen=True)
class Scatter:
    """Residual directions: dots per kind, rings with their labels, the CE90 ring's radius."""

    size: float
    dots: dict[str, str]
    rings: tuple[tuple[float, str], ...]
    ce90_radius: float | None


def held_out_in_turn(registration: Registration) -> bool:
    """Whether the check points are the inliers themselves, each left out of a fit in its turn."""
    tie = registration.tie
    return bool(tie.check.any()) and bool((tie.inlier | ~tie.check).all())


def kinds(registration: Registration) -> dict[str, npt.NDArray[np.bool_]]:
    """Each tie point is an inlier of the fit, a check point held out of it, or an outlier.

    Where each was held out in its turn they are all called inliers.
    """
    tie = registration.tie
    if held_out_in_turn(registration):
        return {"outlier": ~tie.inlier, "inlier": tie.inlier.copy(), "check": np.zeros_like(tie.inlier)}
    return {"outlier": ~tie.inlier & ~tie.check, "inlier": tie.inlier & ~tie.check, "check": tie.check.copy()}


def tie_plot(registration: Registration, window: Window) -> TiePlot:
    """Tie points with their residual arrows, on a window of the reference."""
    frame, tie, member = Frame(window), registration.tie, kinds(registration)
    inside = frame.holds(tie.reference_xy)
    magnification = _magnification(tie.residual_px[(member["inlier"] | member["check"]) & inside], window)
    marks, arrows, shown = {}, {}, {}
    for kind, mask in member.items():
        chosen = _spread(np.flatnonzero(mask & inside), SHOWN_AT_MOST[kind])
        start = frame(tie.reference_xy[chosen])
        marks[kind] = _marks_path(kind, start)
        # the arrow runs from where the reference has the point to where the transform puts the moving one
        tip = start - tie.residual_px[chosen] * frame.scale * magnification
        arrows[kind] = "" if kind == "outlier" else _arrows_path(start, tip)
        shown[kind] = len(chosen)
    legend_px = nice(0.12 * window.width / magnification)
    return TiePlot(
        height=frame.height,
        outline=_outline(registration, frame),
        marks=marks,
        arrows=arrows,
        shown=shown,
        total={kind: int(mask.sum()) for kind, mask in member.items()},
        legend_px=legend_px,
        legend_units=legend_px * frame.scale * magnification,
        magnification=magnification,
    )


def _magnification(residual_px: FloatArray, window: Window) -> float:
    """So that nine in ten arrows are shorter than a twentieth of the drawing; a round number, 1 to 10,000."""
    length = np.linalg.norm(residual_px[np.isfinite(residual_px).all(1)], axis=1)
    typical = float(np.percentile(length, 90)) if len(length) else 0.0
    return min(max(nice(0.05 * window.width / typical), 1.0), 10_000.0) if typical > 1e-9 else 1.0


def nice(value: float) -> float:
    """The largest of 1, 2, 5 x 10^n that is not above the value."""
    assert value > 0, value
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value * (1 + 1e-9))


def _spread(index: npt.NDArray[np.intp], at_most: int) -> npt.NDArray[np.intp]:
    """Every n-th, so that the same page is made from the same result."""
    if len(index) <= at_most:
        return index
    return index[np.linspace(0, len(index) - 1, at_most).round().astype(int)]


def _marks_path(kind: str, points_xy: FloatArray) -> str:
    shape = {"inlier": "M{x:.1f} {y:.1f}h0", "check": "M{x:.1f} {y:.1f}m-7 0l7-7 7 7-7 7z"}
    cross = "M{x:.1f} {y:.1f}m-5-5l10 10m0-10l-10 10"
    return "".join(shape.get(kind, cross).format(x=x, y=y) for x, y in points_xy)


def _arrows_path(start: FloatArray, tip: FloatArray) -> str:
    """Shafts with small heads; heads shrink with short arrows."""
    parts = []
    for (x0, y0), (x1, y1) in zip(start, tip, strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        if not math.isfinite(length) or length < 1.5:
            continue
        head = min(9.0, 0.45 * length)
        along = math.atan2(y1 - y0, x1 - x0)
        left, right = along + math.radians(152), along - math.radians(152)
        parts.append(
            f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
            f"m{head * math.cos(left):.1f} {head * math.sin(left):.1f}L{x1:.1f} {y1:.1f}"
            f"l{head * math.cos(right):.1f} {head * math.sin(right):.1f}"
        )
    return "".join(parts)


def _outline(registration: Registration, frame: Frame) -> str:
    """The moving image's border in the drawing, as a closed path."""
    if registration.transform is None:
        return ""
    corners = registration.moving.grid.corners_xy
    share = np.linspace(0.0, 1.0, 17)[:-1, None]
    border = np.concatenate(
        [a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)]
    )
    mapped = frame(registration.transform(border))
    mapped = mapped[np.isfinite(mapped).all(1) & (np.abs(mapped) < 50 * FRAME_UNITS).all(1)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in mapped) + "Z" if len(mapped) >= 3 else ""


def tile_marks(tiles: tuple[TileRecord, ...], window: Window) -> list[TileMark]:
    """The tiles that were matched, with how many matches each gave."""
    frame = Frame(window)
    return [_tile_mark(tile, frame) for tile in tiles]


def _tile_mark(tile: TileRecord, frame: Frame) -> TileMark:
    (x, y), width, height = (
        frame(np.array([[tile.col, tile.row]], dtype=float))[0],
        tile.width * frame.scale,
        tile.height * frame.scale,
    )
    title = f"column {tile.col:,}, row {tile.row:,}: {tile.inliers:,} of {tile.matches:,} matches kept"
    step = sum(tile.inliers >= bound for bound in TILE_STEPS)
    label = f"{tile.inliers:,}" if min(width, height) >= 56 else ""
    return TileMark(float(x), float(y), width, height, step, label, title)


def histogram(registration: Registration, width: float = 440.0, height: float = 200.0) -> Histogram | None:
    """Residual lengths of inliers and check points, each as a share of its kind; None without points."""
    length, member = _lengths(registration), kinds(registration)
    inlier, check = length[member["inlier"]], length[member["check"]]
    both = np.concatenate([inlier, check])
    if not len(both):
        return None
    limit, ce90 = _limit(registration, both), registration.quality.ce90_px
    edges = np.linspace(0.0, limit, BINS + 1)
    share_in, share_check = (
        np.histogram(part, edges)[0] / max(len(part), 1) for part in (np.minimum(inlier, limit), check)
    )
    top = max(share_in.max(initial=0), share_check.max(initial=0), 1e-9) * 1.08
    x, step = edges / limit * width, width / BINS
    return Histogram(
        width=width,
        height=height,
        bars=tuple(
            (float(left) + 1, height * (1 - s / top), step - 2, height * s / top)
            for left, s in zip(x[:-1], share_in, strict=True)
        ),
        check_path=_steps_path(x, height * (1 - share_check / top), height) if len(check) else "",
        ticks=tuple((tick / limit * width, _tick(tick)) for tick in _ticks(limit)),
        ce90_x=None if ce90 is None or ce90 > limit else ce90 / limit * width,
        beyond=int((both > limit).sum()),
    )


def scatter(registration: Registration, size: float = 240.0) -> Scatter | None:
    """Residual vectors of inliers and check points around zero; None without points."""
    length, member, residual = _lengths(registration), kinds(registration), registration.tie.residual_px
    both = member["inlier"] | member["check"]
    if not both.any():
        return None
    limit, ce90 = _limit(registration, length[both]), registration.quality.ce90_px
    to_units = 0.5 * size / limit
    near = {kind: np.flatnonzero(member[kind] & (length <= limit)) for kind in ("inlier", "check")}
    dots = {
        kind: _dots_path(size / 2 + to_units * residual[_spread(index, SHOWN_AT_MOST[kind])])
        for kind, index in near.items()
    }
    rings = tuple((ring * to_units, f"{_tick(ring)} px") for ring in _ticks(limit, 3)[1:])
    return Scatter(size, dots, rings, None if ce90 is None or ce90 > limit else ce90 * to_units)


def _dots_path(points_xy: FloatArray) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points_xy)


def _lengths(registration: Registration) -> FloatArray:
    length = np.linalg.norm(registration.tie.residual_px, axis=1)
    return np.where(np.isfinite(length), length, np.inf)


def _limit(registration: Registration, length: FloatArray) -> float:
    """Upper end of the residual axes: nearly all points and the CE90 fit in."""
    finite = length[np.isfinite(length)]
    widest = float(np.percentile(finite, 98)) if len(finite) else 1.0
    return max(1.15 * max(widest, registration.quality.ce90_px or 0.0), 1e-3)


def _ticks(limit: float, at_most: int = 6) -> list[float]:
    step = nice(limit)
    while limit / step < at_most / 2:
        step = nice(step * 0.6)
    return [i * step for i in range(int(limit / step + 1e-9) + 1)]


def _tick(value: float) -> str:
    return f"{value:g}"


def _steps_path(x: FloatArray, y: FloatArray, base: float) -> str:
    points = [f"M{x[0]:.1f} {base:.1f}"]
    for left, right, level in zip(x[:-1], x[1:], y, strict=True):
        points.append(f"L{left:.1f} {level:.1f}L{right:.1f} {level:.1f}")
    return "".join(points) + f"L{x[-1]:.1f} {base:.1f}"
