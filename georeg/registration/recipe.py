"""The main job, as a recipe: look, locate, match in detail, fit, judge."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import reduce
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from georeg.raster import GeocodingPrior, SceneReader, open_scene
from georeg.registration.detail import Detail, match_in_detail, pooled, searched_px2
from georeg.registration.estimate import Estimate
from georeg.registration.judge import judge, nothing_found
from georeg.registration.matchers import TileStage, Toolkit, make_toolkit
from georeg.registration.memory import keep_freed_memory
from georeg.registration.opinions import agree, as_probable_as, surer
from georeg.registration.options import MatchOptions, Progress, no_progress
from georeg.registration.preflight import check_pair
from georeg.registration.search import Placement, place
from georeg.result import Registration, Tie, TileRecord
from georeg.scene import Scene
from georeg.threads import thread_count


def register(
    moving: str | os.PathLike[str] | Scene,
    reference: str | os.PathLike[str] | Scene,
    options: MatchOptions = MatchOptions(),
    progress: Progress = no_progress,
) -> Registration:
    """Register one scene to another.

    Args:
        moving, reference: paths that GDAL opens, or scenes.
        options: see `MatchOptions`.
        progress: called with (stage, done, total, message).

    Returns:
        The registration; its verdict may be "fail", its transform None.

    Raises:
        InputError: a file is missing, unreadable or without valid pixels.
        UsageError: the options name what is not there.
        NotRegistrableError: the scenes cannot meet (no overlap, constant image, too small).
    """
    cv2.setNumThreads(thread_count(options.num_threads))
    keep_freed_memory()
    # Matrices are too small here to be shared: BLAS threads would spin for longer than they work.
    with threadpool_limits(1, user_api="blas"):
        return _register(moving, reference, options, progress)


def _register(
    moving: str | os.PathLike[str] | Scene,
    reference: str | os.PathLike[str] | Scene,
    options: MatchOptions,
    progress: Progress,
) -> Registration:
    moving_scene = _opened(moving, options.bands, options.moving_modality, options.mask)
    reference_scene = _opened(
        reference, options.reference_bands, options.reference_modality, options.reference_mask
    )
    check_pair(moving_scene, reference_scene)
    seconds: dict[str, float] = {}
    toolkit = make_toolkit(options, moving_scene, reference_scene)
    prior = None if options.prior == "none" else GeocodingPrior.between(moving_scene, reference_scene)
    with SceneReader(moving_scene) as m, SceneReader(reference_scene) as r:
        with _timed(seconds, "overview"):
            placement = place(m, r, prior, toolkit, options, progress)
        opinions: list[_Opinion] = []
        for stage in toolkit.tile_stages():
            with _timed(seconds, "tiles"):
                detail = None if placement is None else match_in_detail(placement, stage, options, progress)
            run = _run_record(toolkit, options, seconds, detail)
            answer = _registration(m.scene, r.scene, placement, detail, run, stage.usual_share)
            opinions.append(_Opinion(stage, detail, answer))
            if placement is None or answer.quality.verdict == "pass":
                break
    return _settled(opinions, placement, options)


@dataclass(frozen=True)
class _Opinion:
    """What one stage at full detail found, and the answer it makes by itself."""

    stage: TileStage
    detail: Detail | None
    answer: Registration


def _settled(
    opinions: Sequence[_Opinion], placement: Placement | None, options: MatchOptions
) -> Registration:
    """The surer answer; where two agree, the one that the tie points of both make."""
    best = reduce(surer, (opinion.answer for opinion in opinions))
    if len(opinions) < 2:
        return best
    first, second, last = opinions[0].detail, opinions[1].detail, opinions[-1]
    if first is None or second is None or not agree(opinions[0].answer, last.answer, first.step):
        return best
    together = pooled(first, second, options)
    answer = last.answer
    whole = _registration(
        answer.moving, answer.reference, placement, together, dict(answer.run), last.stage.usual_share
    )
    return as_probable_as(best, whole)


def _registration(
    moving: Scene,
    reference: Scene,
    placement: Placement | None,
    detail: Detail | None,
    run: dict[str, Any],
    usual_share: float,
) -> Registration:
    """Everything put together, the verdict included."""
    if placement is None or detail is None or detail.found is None:
        cause = "no placement of the moving image on the reference is supported by the image content"
        quality = nothing_found(0 if detail is None else detail.matches, cause)
        return Registration(moving, reference, None, _no_tie(), quality, (), run)
    found = detail.found
    quality, held, evidence = judge(
        found,
        detail.overlap,
        searched_px2(detail),
        detail.step,
        reference.gsd_m,
        placement.agreement,
        detail.verification,
        usual_share,
    )
    run["evidence"] = asdict(evidence)
    viewer, transform = detail.viewer, found.fit.transform
    tie = Tie(
        moving_xy=viewer.from_source(found.points.moving_xy),
        reference_xy=found.points.reference_xy,
        confidence=found.points.confidence,
        inlier=found.fit.inlier,
        check=np.isfinite(held),
        residual_px=found.points.reference_xy - transform(found.points.moving_xy),
    )
    return Registration(
        moving, reference, viewer.pixel_map(transform), tie, quality, _records(detail, found), run
    )


def _records(detail: Detail, found: Estimate) -> tuple[TileRecord, ...]:
    records = []
    inlier_xy = found.points.reference_xy[found.fit.inlier]
    for frame, matches in detail.tiles:
        x, y = frame.origin_xy
        width, height = frame.shape[1] * frame.step, frame.shape[0] * frame.step
        inside = ((inlier_xy >= (x, y)) & (inlier_xy < (x + width, y + height))).all(1)
        records.append(
            TileRecord(round(x), round(y), round(width), round(height), matches, int(inside.sum()))
        )
    return tuple(records)


def _run_record(
    toolkit: Toolkit, options: MatchOptions, seconds: dict[str, float], detail: Detail | None
) -> dict[str, Any]:
    return {
        "version": version("georeg"),
        **toolkit.record(),
        "options": options.to_json(),
        "seed": options.seed,
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "tiles_used": 0 if detail is None else len(detail.tiles),
    }


def _opened(given: Any, bands: Any, modality: Any, mask: Any) -> Scene:
    return given if isinstance(given, Scene) else open_scene(os.fspath(given), bands, modality, mask)


def _no_tie() -> Tie:
    none, no = np.zeros((0, 2)), np.zeros(0, bool)
    return Tie(none, none, np.zeros(0), no, no, none)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - start
