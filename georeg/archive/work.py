"""One pair of a batch: done here, in a worker process or on another machine, and summed up in a record.

`run_job` raises nothing that one pair can cause: whatever happens becomes the record's exit code and sentence.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from georeg.archive import machine
from georeg.archive.footprint import footprint_ring
from georeg.archive.jobs import OUTPUTS, Job
from georeg.archive.manifest import Record
from georeg.archive.stac import write_item
from georeg.errors import GeoregError, InputError, NotRegistrableError, ResourceError
from georeg.output.options import OutputOptions
from georeg.raster.assets import asset_path
from georeg.raster.files import is_local
from georeg.registration.destinations import Destinations
from georeg.registration.options import MatchOptions
from georeg.result import Registration

Deliver = Callable[[str, str, Destinations, MatchOptions, OutputOptions], Registration]
"""Registers one pair and writes what is wanted, as `georeg.registration.deliver.deliver` does."""

EXIT_UNEXPECTED = 1
_PASSING_ERRNO = {
    errno.EIO,
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ESTALE,
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
}


@dataclass(frozen=True)
class Unit:
    """What is sent to a worker: a job, which attempt it is, and how to do it.

    Attributes:
        job: see there.
        attempt: from 1.
        deliver: None for georeg's own.
        device: overrides the job's device; None leaves it.
    """

    job: Job
    attempt: int = 1
    deliver: Deliver | None = None
    device: str | None = None


def run_unit(unit: Unit) -> Record:
    """Work on one pair and tell how it went; never raises for what a pair can cause."""
    job, start = unit.job, time.perf_counter()
    machine.reset_peak()
    blank = Record(job.name, job.key, job.moving, job.reference, 0, attempt=unit.attempt, options=job.details)
    try:
        record = _delivered(unit, blank)
    except Exception as error:  # whatever one pair does, the others go on
        record = _failed(blank, job, error)
        with suppress(OSError):  # a folder in which something lies stays
            Path(job.folder).rmdir()
    return replace(
        record,
        seconds=round(time.perf_counter() - start, 3),
        peak_rss_bytes=machine.peak_bytes(),
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=socket.gethostname(),
    )


def _delivered(unit: Unit, blank: Record) -> Record:
    """Register, write, describe."""
    job = unit.job
    clean_folder(job)
    match = job.match if unit.device is None else replace(job.match, device=unit.device)
    targets = Destinations(**{what: path for what, path in job.paths().items() if what != "stac"})
    refusal: NotRegistrableError | None = None
    try:
        registration = (unit.deliver or _own_deliver())(
            job.moving, job.reference, targets, match, replace(job.output, overwrite=True)
        )
    except NotRegistrableError as error:
        found = getattr(error, "registration", None)
        if not isinstance(found, Registration):
            raise
        registration, refusal = found, error
    record = described(blank, job, registration, refusal)
    force_to_disk(job)
    return record


def _own_deliver() -> Deliver:
    from georeg.registration.deliver import deliver

    return deliver


def described(
    blank: Record, job: Job, registration: Registration, refusal: NotRegistrableError | None
) -> Record:
    """The record of a pair that came to a verdict; writes its STAC item too."""
    quality, run = registration.quality, registration.run
    ring = footprint_ring(registration)
    stac = job.path("stac")
    if stac is not None and refusal is None:
        write_item(stac, job, registration, ring)
    return replace(
        blank,
        exit_code=0 if refusal is None else refusal.exit_code,
        error=None if refusal is None else str(refusal),
        verdict=quality.verdict,
        probability_correct=_finite(quality.probability_correct),
        ce90_px=_finite(quality.ce90_px),
        ce90_m=_finite(quality.ce90_m),
        holdout_rmse_px=_finite(quality.holdout_rmse_px),
        coverage=_finite(min(quality.coverage, 1.0)),
        inliers=quality.inliers,
        reasons=quality.reasons,
        weights=_weights(run),
        matcher=_text(run.get("matcher")),
        version=_text(run.get("version")),
        outputs=outputs_there(job),
        footprint=ring,
    )


def outputs_there(job: Job) -> dict[str, str]:
    """What -> path from the batch's folder, of the outputs that were written."""
    base = Path(job.folder).parent
    there = {what: Path(path) for what, path in job.paths().items() if Path(path).exists()}
    return {what: path.relative_to(base).as_posix() for what, path in there.items()}


def force_to_disk(job: Job) -> None:
    """Have the outputs written out before the record is: a power cut must not leave "done" beside empty files."""
    for path in (*job.paths().values(), job.folder):
        with suppress(OSError):  # not written; or a file system that cannot
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def clean_folder(job: Job) -> None:
    """Make the job's folder, without what an earlier, interrupted or outdated attempt of the job left in it.

    Nothing else that may lie there is touched.

    Raises:
        InputError: the folder cannot be made.
        ResourceError: the disk is full.
    """
    folder = Path(job.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {Path(path).name for path in replace(job, wanted=OUTPUTS).paths().values()}
        stems = {Path(name).stem for name in names}
        for entry in list(folder.iterdir()):
            unfinished = entry.name.startswith(tuple(f".{stem}." for stem in stems))
            if entry.is_file() and (entry.name in names or unfinished):
                entry.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"There is no space left for {folder}: free some, then go on with --resume."
            ) from error
        raise InputError(f"The folder {folder} cannot be used: {error.strerror}.") from error


def _failed(blank: Record, job: Job, error: BaseException) -> Record:
    """The record of a pair that came to no verdict."""
    code, retryable = EXIT_UNEXPECTED, False
    if isinstance(error, GeoregError):
        code = error.exit_code
        retryable = isinstance(error, ResourceError) or (
            isinstance(error, InputError) and any(map(_is_remote, (job.moving, job.reference)))
        )
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        code, retryable = ResourceError.exit_code, True
    elif isinstance(error, OSError):
        retryable = error.errno in _PASSING_ERRNO
    said = str(error) or "no details"
    sentence = said if isinstance(error, GeoregError) else f"unexpected {type(error).__name__}: {said}"
    return replace(blank, exit_code=code, error=sentence, retryable=retryable)


def lost(unit: Unit, cause: str) -> Record:
    """The record of a pair whose worker vanished."""
    job = unit.job
    return Record(
        name=job.name,
        key=job.key,
        moving=job.moving,
        reference=job.reference,
        exit_code=ResourceError.exit_code,
        error=f"The worker vanished ({cause}), most often for want of memory: try fewer with -j.",
        retryable=True,
        attempt=unit.attempt,
        options=job.details,
        finished=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=socket.gethostname(),
    )


def _is_remote(path: str) -> bool:
    """Whether an input, or the asset that it names, lies behind a network."""
    try:
        return not is_local(asset_path(path))
    except InputError:
        return not is_local(path)


def _weights(run: dict[str, Any]) -> dict[str, Any] | None:
    weights = run.get("weights")
    if isinstance(weights, dict):
        return {
            str(name): value if isinstance(value, int | float) else _text(value)
            for name, value in weights.items()
        }
    checksum = run.get("weights_sha256")
    return {"name": _text(weights), "sha256": _text(checksum)} if weights or checksum else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _finite(value: float | None) -> float | None:
    """JSON knows no infinity."""
    return None if value is None or not abs(value) < float("inf") else float(value)


THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GDAL_NUM_THREADS")
"""Set to 1 for workers before they start, so that they do not fight for cores."""


def settle_worker() -> None:
    """One thread for the libraries that do not read THREAD_VARIABLES."""
    import cv2

    cv2.setNumThreads(1)


def single_threaded(job: Job) -> Job:
    """The job on one thread, as it runs beside others."""
    return replace(job, match=replace(job.match, num_threads=1))
