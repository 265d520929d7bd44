"""One pair from paths to files: check, register, write, refuse."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from georeg import output as writers
from georeg.errors import NotRegistrableError
from georeg.output.options import THREAD_BYTES, OutputOptions
from georeg.raster import open_scene
from georeg.raster.assets import asset_path, split_asset
from georeg.raster.atomic import atomic_output
from georeg.registration import register
from georeg.registration.destinations import Destinations
from georeg.registration.options import MatchOptions, Progress, no_progress
from georeg.registration.reuse import registration_of
from georeg.result import Registration
from georeg.threads import thread_count


class RefusedError(NotRegistrableError):
    """The verdict is fail. `registration` says what was found all the same."""

    def __init__(self, message: str, registration: Registration) -> None:
        super().__init__(message)
        self.registration = registration


def deliver(
    moving: str,
    reference: str,
    destinations: Destinations,
    match_options: MatchOptions = MatchOptions(),
    output_options: OutputOptions = OutputOptions(),
    progress: Progress = no_progress,
) -> Registration:
    """Register one pair and write what is wanted.

    The destinations are checked before any work. On the verdict "fail" no raster is written (unless
    `output_options.keep_failed`), but the other outputs are.

    Args:
        moving, reference: what GDAL opens, or assets of STAC items: `item.json#asset`.
        destinations: where results go.
        match_options, output_options: see there.
        progress: called with (stage, done, total, message).

    Returns:
        The registration.

    Raises:
        RefusedError: the verdict is "fail"; raised after everything is written.
        GeoregError: any other cause, with its remedy.
    """
    items = [split_asset(os.fspath(path))[0] for path in (moving, reference)]
    moving, reference = asset_path(moving), asset_path(reference)
    destinations.check([*items, *_inputs(moving, reference, match_options)], output_options.overwrite)
    if destinations.raster:
        writers.check_options(destinations.raster, output_options)
    registration = register(moving, reference, match_options, progress)
    output_options = replace(output_options, num_threads=writing_threads(match_options))
    write_delivery(registration, destinations, output_options, progress)
    if registration.quality.verdict == "fail":
        kept = destinations.raster is not None and is_written(registration, output_options)
        raise RefusedError(refusal(registration, kept), registration)
    return registration


def is_written(registration: Registration, options: OutputOptions) -> bool:
    """Whether a raster is made: there is a transform, and it is trusted or `keep_failed` is set."""
    trusted = registration.quality.verdict != "fail"
    return registration.transform is not None and (trusted or options.keep_failed)


def write_delivery(
    registration: Registration,
    destinations: Destinations,
    output_options: OutputOptions = OutputOptions(),
    progress: Progress = no_progress,
) -> None:
    """Write what is wanted of a registration; the raster only if it is trusted or `keep_failed` is set."""
    if destinations.raster and is_written(registration, output_options):
        writers.write_raster(registration, destinations.raster, output_options, progress)
    _write_companions(registration, destinations, progress)


def apply_registration(
    registration: Registration,
    moving: str,
    output: str,
    options: OutputOptions = OutputOptions(),
    progress: Progress = no_progress,
) -> None:
    """Write `moving`, an image on the ground of the registered one, with a stored registration.

    Args:
        registration: as `read_registration` gives it.
        moving: the registered image, or one of the same size, or one whose geocoding is wrong alike; STAC assets too.
        output: the raster to write.
        options, progress: as in `deliver`.

    Raises:
        NotRegistrableError: the registration's verdict is "fail" and `options.keep_failed` is not set.
        UsageError: `moving` cannot be placed on the registered image, or the output cannot be written.
    """
    moving = asset_path(moving)
    Destinations(raster=output).check([moving], options.overwrite)
    writers.check_options(output, options)
    if not is_written(registration, options):
        raise NotRegistrableError(refusal(registration))
    writers.write_raster(registration_of(open_scene(moving), registration), output, options, progress)


def refusal(registration: Registration, raster_kept: bool = False) -> str:
    """Why a registration is not trusted, and what can be done."""
    given = "; ".join(reason.rstrip(".") for reason in registration.quality.reasons)
    reasons = given or "it is not trustworthy"
    raster = "No raster was written (--keep-failed would)"
    if raster_kept:
        raster = "The raster was kept as asked"
    elif registration.transform is None:
        raster = "No raster was written, as there is no transform to write one with"
    return (
        f"{registration.moving.name} could not be registered to {registration.reference.name}: {reasons}. "
        f"{raster}; --moving-modality, --search-radius, --mask or another band may help."
    )


def writing_threads(options: MatchOptions) -> int:
    """How many threads resample: as many as are wanted and as the memory allows."""
    return max(1, min(thread_count(options.num_threads), options.memory_bytes // THREAD_BYTES))


def _inputs(moving: str, reference: str, options: MatchOptions) -> list[str]:
    named = (moving, reference, options.mask, options.reference_mask)
    return [os.fspath(path) for path in named if path is not None]


def _write_companions(registration: Registration, destinations: Destinations, progress: Progress) -> None:
    """Tie points, report and registration.json; the last one stands for "all done"."""
    order = ("points", "report", "registration")
    wanted = sorted((w for w in destinations.wanted if w[0] in order), key=lambda w: order.index(w[0]))
    for index, (name, path) in enumerate(wanted):
        progress("write", index, len(wanted), name)
        _write_companion(registration, name, path)
    if wanted:
        progress("write", len(wanted), len(wanted), "done")


def _write_companion(registration: Registration, name: str, path: str) -> None:
    if name == "points":
        writers.write_points(registration, path)
    elif name == "report":
        writers.write_report(registration, path)
    else:
        write_registration(registration, path)


def write_registration(registration: Registration, path: str) -> None:
    """Write registration.json."""
    text = json.dumps(registration.to_json(), indent=1, allow_nan=False)
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
