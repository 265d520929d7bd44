"""Many pairs: plan, take this shard's part, skip what is done, work, record, sum up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from georeg.archive.jobs import OUTPUTS, Job, WeightsIdentity, job_names, plan_jobs
from georeg.archive.manifest import (
    Manifest,
    Record,
    count_lines,
    is_settled,
    latest,
    manifest_path,
    manifests,
    read_records,
)
from georeg.archive.pairs import Pair
from georeg.archive.pool import Executor
from georeg.archive.shards import Shard
from georeg.archive.summary import write_summary
from georeg.archive.work import Deliver, Unit
from georeg.errors import BatchFailedError, GeoregError, InputError, UsageError
from georeg.output.options import OutputOptions
from georeg.registration.options import MatchOptions

SUMMARY_ALWAYS = 20_000
"""Batches of up to this many pairs are summed up at the end of every shard."""

OnRecord = Callable[[Record, int, int], None]
"""on_record(record, done, total): a pair came to its end; `done` counts the pairs that were skipped too."""


def weights_identity(options: MatchOptions) -> str | None:
    """SHA-256 of the weights that `options` would match with; None where there are none."""
    return None if options.matcher == "structural" else _checksum(options.weights)


@lru_cache(maxsize=64)
def _checksum(name: str | None) -> str | None:
    from georeg.network.weights import find_weights

    try:
        return find_weights(name).sha256
    except GeoregError:
        if name is not None:
            raise
        return None


@dataclass(frozen=True)
class Batch:
    """What a batch is asked to do.

    Attributes:
        pairs: the whole list, whatever the shard.
        folder: where everything goes.
        match, output: options of all pairs that do not override them.
        wanted: which of OUTPUTS to write.
        shard: which part to do.
        resume: go on with the batch in the folder, skipping what is done and unchanged.
        overwrite: start anew in a folder where a batch was before.
        fail_fast: stop at the first pair that fails.
        retries: how often a pair is tried again when that may help.
        deliver: does one pair; None for georeg's own.
        weights: see `WeightsIdentity`.
    """

    pairs: Sequence[Pair]
    folder: Path
    match: MatchOptions = field(default_factory=MatchOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    wanted: tuple[str, ...] = OUTPUTS
    shard: Shard = field(default_factory=Shard)
    resume: bool = False
    overwrite: bool = False
    fail_fast: bool = False
    retries: int = 2
    deliver: Deliver | None = None
    weights: WeightsIdentity = weights_identity


@dataclass(frozen=True)
class BatchResult:
    """How a batch ended.

    Attributes:
        records: the last record of each of the shard's pairs that came to an end, in the list's order.
        skipped: how many were done before.
        unfinished: how many were not tried, because of fail_fast.
    """

    records: tuple[Record, ...]
    skipped: int
    unfinished: int

    @property
    def failed(self) -> tuple[Record, ...]:
        return tuple(record for record in self.records if not record.ok)

    def raise_for_failures(self) -> None:
        """Raise BatchFailedError (exit code 6) if a pair failed."""
        if self.failed or self.unfinished:
            left = f", {self.unfinished} not tried" if self.unfinished else ""
            raise BatchFailedError(
                f"{len(self.failed)} of {len(self.records)} pairs failed{left}: index.html and the manifest say why; "
                "--resume tries again what may go better."
            )


def run_batch(
    batch: Batch,
    make_executor: Callable[[], Executor],
    on_record: OnRecord = lambda record, done, total: None,
) -> BatchResult:
    """Do a batch, or one shard of it.

    Args:
        batch: what to do.
        make_executor: where; called if there is anything left to do, and closed at the end.
        on_record: called in this process after each pair.

    Raises:
        UsageError: the list or an override is wrong, or the folder holds a batch already.
        InputError: the folder cannot be made.
    """
    mine = _jobs(batch)
    known = prepare_folder(batch, mine)
    settled = {job.name for job in mine if is_settled(known.get(job.name), job.key, batch.folder)}
    todo = [job for job in mine if job.name not in settled]
    done = {name: known[name] for name in settled}
    with (
        Manifest(manifest_path(batch.folder, batch.shard)) as manifest,
        closing(_work(todo, make_executor, batch)) as attempts,
    ):
        for record, final in attempts:
            manifest.append(record)
            if final:
                done[record.name] = record
                on_record(record, len(done), len(mine))
            if final and not record.ok and batch.fail_fast:
                break
    sum_up(batch)
    records = tuple(done[job.name] for job in mine if job.name in done)
    return BatchResult(records, len(settled), len(mine) - len(records))


def planned(batch: Batch) -> list[tuple[Job, bool]]:
    """The shard's jobs, and whether each is settled by an earlier run already; writes nothing."""
    mine = _jobs(batch)
    known = _known(batch, mine) if batch.resume else {}
    return [(job, is_settled(known.get(job.name), job.key, batch.folder)) for job in mine]


def sum_up(batch: Batch) -> None:
    """Write the summary of all shards; in large batches only once all have ended, for it takes its time."""
    names = job_names(batch.pairs)
    if (
        batch.shard.count == 1
        or len(names) <= SUMMARY_ALWAYS
        or count_lines(manifests(batch.folder)) >= len(names)
    ):
        write_summary(batch.folder, names)


def _jobs(batch: Batch) -> list[Job]:
    return plan_jobs(
        batch.pairs, batch.folder, batch.match, batch.output, batch.wanted, batch.weights, batch.shard
    )


def _known(batch: Batch, jobs: Sequence[Job]) -> dict[str, Record]:
    """The last record of each of the jobs, from the manifests of all shards."""
    names = {job.name for job in jobs}
    return latest(one for one in read_records(manifests(batch.folder)) if one.name in names)


def prepare_folder(batch: Batch, jobs: Sequence[Job]) -> dict[str, Record]:
    """Make the folder; what is known of an earlier run when the batch resumes, else nothing.

    Raises:
        UsageError: a batch was here before, and neither `resume` nor `overwrite` is set.
        InputError: the folder cannot be made.
    """
    try:
        batch.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {batch.folder} cannot be made: {error.strerror}.") from error
    mine = manifest_path(batch.folder, batch.shard)
    if batch.resume:
        return _known(batch, jobs)
    if mine.exists() and mine.stat().st_size:
        if not batch.overwrite:
            raise UsageError(
                f"{batch.folder} holds a batch already: go on with --resume, or start anew with --overwrite."
            )
        mine.unlink()
    return {}


def _work(
    todo: Sequence[Job], make_executor: Callable[[], Executor], batch: Batch
) -> Generator[tuple[Record, bool], None, None]:
    """(record, whether it is the pair's last) of every attempt; pairs that failed in passing come again at the end."""
    if not todo:
        return
    waiting = deque(Unit(job, 1, batch.deliver) for job in todo)
    busy = 0
    with closing(make_executor()) as executor:
        while waiting or busy:
            while waiting and executor.room:
                executor.submit(waiting.popleft())
                busy += 1
            for unit, record in executor.results():
                busy -= 1
                again = record.retryable and unit.attempt <= batch.retries
                if again:
                    waiting.append(replace(unit, attempt=unit.attempt + 1))
                yield record, not again
