"""A time series brought to one frame: each image against one reference, in a chain, or adjusted together.

Chained and joint series take two batches. The first registers neighbours in the series to one another (in
`DIR/neighbours`), the second writes each image with the transform that was solved for, in `DIR`. `DIR/series.json`
holds the solution, with what each registration contradicts it by and how well rings of registrations close.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from georeg.archive.adjustment import (
    FLOOR_PX,
    PARAMETERS,
    Adjustment,
    Edge,
    adjusted,
    carried_px,
    chained,
    loops,
    routes,
)
from georeg.archive.batch import Batch, BatchResult, OnRecord, run_batch
from georeg.archive.jobs import job_names
from georeg.archive.manifest import Record
from georeg.archive.pairs import Pair
from georeg.archive.placed import PlacedImage, place
from georeg.archive.pool import Executor
from georeg.errors import NotRegistrableError, UsageError
from georeg.raster.atomic import atomic_output
from georeg.registration.stored import read_registration
from georeg.result import Registration

MODES = ("reference", "chain", "joint")
SCHEMA = "georeg.series/1"
GRID_STEPS = 7
LEAST_POINTS = 6
POINTS_IN_ONE = 10.0
"""A registration's figures are about single points; as a whole it is more exact by about the root of this."""
CE90_OF_RMS = 1.5175
"""Of a circular normal error."""
TRUSTED_WEIGHT = 0.25
"""Registrations with less weight than this are called outvoted."""


@dataclass(frozen=True)
class Series:
    """What a series is asked to do.

    Attributes:
        images: in their order in time.
        reference: what they are brought to; None for the first image.
        mode: "chain" or "joint" (for "reference" a plain batch does).
        neighbours: joint: to how many earlier images each is registered.
        batch: options, folder and so on; its pairs are not used.
    """

    images: Sequence[str]
    reference: str | None
    mode: str
    neighbours: int
    batch: Batch

    @property
    def stack(self) -> list[str]:
        """The images with the anchor first."""
        return [*([self.reference] if self.reference else []), *self.images]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """(moving, reference) numbers in `stack` of the registrations to make."""
        count, reach = len(self.stack), self.neighbours if self.mode == "joint" else 1
        found = {(i, i - step) for i in range(1, count) for step in range(1, reach + 1) if i >= step}
        if self.mode == "joint" and self.reference:
            found |= {(i, 0) for i in range(1, count)}
        return sorted(found)


@dataclass(frozen=True)
class SeriesResult:
    """How a series ended: the neighbours' batch, the solution, and the batch that wrote the images."""

    neighbours: BatchResult
    solution: dict[str, Any]
    images: BatchResult


def run_series(series: Series, make_executor: Callable[[], Executor], on_record: OnRecord) -> SeriesResult:
    """Register neighbours, solve, write each image.

    Args:
        series: what to do.
        make_executor: called for each of the two batches that has anything left to do.
        on_record: as in `run_batch`.

    Raises:
        UsageError: fewer than two images, or a shard (which would see only part of the series).
        NotRegistrableError: no image could be connected to the first.
    """
    if len(series.stack) < 2:
        raise UsageError("A series needs two images at least.")
    if series.batch.shard.count > 1:
        raise UsageError("A chained or joint series cannot be cut into shards: leave --shard out.")
    neighbours = run_batch(neighbour_batch(series), make_executor, on_record)
    solution = solve(series, neighbours)
    write_solution(series.batch.folder / "series.json", solution)
    images = run_batch(_image_batch(series, solution), make_executor, on_record)
    return SeriesResult(neighbours, solution, images)


def neighbour_batch(series: Series) -> Batch:
    """The registrations between images of the stack, without rasters."""
    names = job_names([Pair(path, "") for path in series.stack])
    pairs = [
        Pair(
            series.stack[i],
            series.stack[j],
            name=f"{names[i]}--{names[j]}",
            origin=f"images {i + 1} and {j + 1}",
        )
        for i, j in series.steps
    ]
    batch = series.batch
    return replace(batch, pairs=pairs, folder=batch.folder / "neighbours", wanted=("registration", "report"))


def solve(series: Series, neighbours: BatchResult) -> dict[str, Any]:
    """The solution of a series as plain values, `series.json`.

    Raises:
        NotRegistrableError: no image could be connected to the first.
    """
    placed = place(series.stack)
    folder = series.batch.folder / "neighbours"
    by_name = {record.name: record for record in neighbours.records}
    edges, made = [], []
    for (i, j), pair in zip(series.steps, neighbour_batch(series).pairs, strict=True):
        record = by_name.get(str(pair.name))
        if record is None or not record.ok or "registration" not in record.outputs:
            continue
        registration = read_registration(folder / record.outputs["registration"])
        edge = edge_of(registration, i, j, placed[i], placed[j])
        if edge is not None:
            edges.append(edge)
            made.append(record)
    kind = series.batch.match.transform
    if series.mode == "joint":
        found = adjusted(len(placed), edges, kind=kind if kind in PARAMETERS else "affine")
    else:
        found = chained(len(placed), edges)
    if not any(found.connected(image) for image in range(1, len(placed))):
        raise NotRegistrableError(
            "None of the images could be registered to its neighbours: see neighbours/index.html for why."
        )
    return _solution(series, placed, edges, made, found)


def edge_of(
    registration: Registration, first: int, second: int, first_placed: PlacedImage, second_placed: PlacedImage
) -> Edge | None:
    """A registration as points of the frame; None where the two images hardly overlap."""
    assert registration.transform is not None
    grid = registration.moving.grid
    steps = (np.arange(GRID_STEPS) + 0.5) / GRID_STEPS
    moving_xy = np.stack(np.meshgrid(steps * grid.width, steps * grid.height), -1).reshape(-1, 2)
    reference_xy = registration.transform(moving_xy)
    size = (registration.reference.grid.width, registration.reference.grid.height)
    inside = np.isfinite(reference_xy).all(1) & (reference_xy >= 0).all(1) & (reference_xy <= size).all(1)
    a, b = first_placed.in_frame(moving_xy[inside]), second_placed.in_frame(reference_xy[inside])
    good = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    if good.sum() < LEAST_POINTS:
        return None
    quality = registration.quality
    sigma = quality.holdout_rmse_px or quality.rmse_px or 1.0
    sigma = max(sigma * second_placed.px_per_frame_px / math.sqrt(POINTS_IN_ONE), FLOOR_PX)
    return Edge(first, second, a[good], b[good], sigma)


def _solution(
    series: Series,
    placed: Sequence[PlacedImage],
    edges: Sequence[Edge],
    made: Sequence[Record],
    found: Adjustment,
) -> dict[str, Any]:
    closures = [loop.error_px for loop in loops(edges)]
    describe = _chain_places if series.mode == "chain" else _joint_places
    places = describe(placed, edges, made, found)
    images = [
        {
            "path": path,
            "placed_by": image.placed_by,
            "matrix": found.matrices[number].tolist() if found.connected(number) else None,
            **places[number],
        }
        for number, (path, image) in enumerate(zip(series.stack, placed, strict=True))
    ]
    return {
        "schema": SCHEMA,
        "mode": series.mode,
        "frame": series.stack[0],
        "unit": "pixels of the frame's image; matrix corrects an image's own placement in them",
        "images": images,
        "registrations": [
            {
                "moving": series.stack[edge.first],
                "reference": series.stack[edge.second],
                "weight": round(float(weight), 4),
                "residual_px": round(float(residual), 4) if math.isfinite(residual) else None,
            }
            for edge, weight, residual in zip(edges, found.weights, found.residual_px, strict=True)
        ],
        "loop_closure_px": {
            "loops": len(closures),
            "median": round(float(np.median(closures)), 4) if closures else None,
            "p90": round(float(np.percentile(closures, 90)), 4) if closures else None,
            "max": round(max(closures), 4) if closures else None,
        },
    }


def _chain_places(
    placed: Sequence[PlacedImage], edges: Sequence[Edge], made: Sequence[Record], found: Adjustment
) -> list[dict[str, Any]]:
    """How well each image of a chain is placed: all registrations on its way to the frame must be right."""
    carried = carried_px(len(placed), edges, _ce90_px(placed, edges, made))
    places = []
    for image, way in enumerate(routes(len(placed), edges)):
        steps = [made[k] for k in way or ()]
        places.append(
            {
                "registrations": len(steps),
                "outvoted": 0,
                "residual_px": None,
                "ce90_px": _rounded(carried[image]),
                "probability_correct": round(math.prod(one.probability_correct or 0.0 for one in steps), 4),
                "doubtful": sum(one.verdict != "pass" for one in steps),
            }
        )
    return places


def _joint_places(
    placed: Sequence[PlacedImage], edges: Sequence[Edge], made: Sequence[Record], found: Adjustment
) -> list[dict[str, Any]]:
    """How well each image is placed by the registrations that have kept their weight, and by what they agree to."""
    kept = [k for k in range(len(edges)) if found.weights[k] >= TRUSTED_WEIGHT]
    errors = _ce90_px(placed, edges, made)
    carried = carried_px(len(placed), [edges[k] for k in kept], [errors[k] for k in kept])
    places = []
    for image in range(len(placed)):
        own = [k for k, edge in enumerate(edges) if image in (edge.first, edge.second)]
        trusted = [k for k in own if k in kept]
        residual = float(np.sqrt(np.mean(found.residual_px[trusted] ** 2))) if trusted else math.inf
        places.append(
            {
                "registrations": len(own),
                "outvoted": len(own) - len(trusted),
                "residual_px": _rounded(residual),
                "ce90_px": _rounded(max(carried[image], CE90_OF_RMS * residual)) if image else 0.0,
                "probability_correct": together([made[k].probability_correct or 0.0 for k in trusted]),
                "doubtful": 0,
            }
        )
    return places


def _ce90_px(placed: Sequence[PlacedImage], edges: Sequence[Edge], made: Sequence[Record]) -> list[float]:
    """CE90 of each registration in frame pixels, by its own held-out points."""
    return [
        record.ce90_px * placed[edge.second].px_per_frame_px
        if record.ce90_px
        else CE90_OF_RMS * edge.sigma_px * math.sqrt(POINTS_IN_ONE)
        for edge, record in zip(edges, made, strict=True)
    ]


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def together(probabilities: Sequence[float]) -> float:
    """Probability that a place is right on which several registrations agree: not all of them are wrong."""
    return round(min(1.0 - math.prod(1.0 - p for p in probabilities), 0.999), 4)


def write_solution(path: Path, solution: dict[str, Any]) -> None:
    """Write series.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, overwrite=True) as partial:
        partial.write_text(json.dumps(solution, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _image_batch(series: Series, solution: dict[str, Any]) -> Batch:
    """Each image with its transform from the solution, as a batch of its own."""
    from georeg.archive.placed import DeliverSolved

    batch = series.batch
    pairs = [Pair(path, series.stack[0], origin=f"image {n}") for n, path in enumerate(series.images, 1)]
    if series.reference is None:
        pairs = pairs[1:]
    digest = hashlib.sha256(json.dumps(solution, sort_keys=True).encode()).hexdigest()
    return replace(
        batch,
        pairs=pairs,
        deliver=DeliverSolved(str(batch.folder / "series.json")),
        weights=lambda options: digest,
    )
