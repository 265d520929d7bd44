"""`georeg batch`."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from georeg_cli import options
from georeg_cli.console import Progress, progress_option, reporting, verbosity_options

if TYPE_CHECKING:
    from georeg.archive.batch import Batch, BatchResult
    from georeg.archive.manifest import Record
    from georeg.archive.pairs import Pair
    from georeg.archive.pool import Executor
    from georeg.archive.series import Series
    from georeg.registration.options import MatchOptions

NO_REFERENCE = "(none)"
SERIES = ("reference", "chain", "joint")
WRITABLE = ("raster", "registration", "points", "report", "stac")

list_options = options.combined(
    click.argument("pairs", required=False),
    click.option("-o", "--output", "folder", required=True, metavar="DIR", help="Where everything goes."),
    click.option("--moving", metavar="GLOB", help="Instead of a list: all that match (quote it; ** is any depth)."),
    click.option("--reference", metavar="FILE", help="Reference of all pairs that name none."),
    click.option("--series", type=click.Choice(SERIES), default="reference", show_default=True,
                 help="Each image to its reference; or, in the list's order, in a chain, or all adjusted together."),
    click.option("--neighbours", type=click.IntRange(1), default=3, show_default=True, metavar="N",
                 help="With --series joint: to how many earlier images each is registered."),
    click.option("--write", "wanted", metavar="WHAT,...", default=",".join(WRITABLE), show_default=True,
                 help="What to write for each pair."),
)  # fmt: skip

work_options = options.combined(
    click.option("-j", "--jobs", type=click.IntRange(1), metavar="N",
                 help="Pairs at a time, each on one thread. [default: as cores and memory allow]"),
    click.option("--per-gpu", type=click.IntRange(1), default=1, show_default=True, metavar="N",
                 help="Pairs at a time on each GPU."),
    click.option("--dask", metavar="tcp://HOST:PORT|local", help="Work on a Dask cluster."),
    click.option("--shard", metavar="I/N",
                 help="Do part I of N only. [default: from Slurm's, AWS Batch's or Kubernetes' array variables]"),
    click.option("--resume", is_flag=True, help="Go on: skip what is done and unchanged, repeat what may go better."),
    click.option("--overwrite", is_flag=True, help="Start anew in a folder that holds a batch."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first pair that fails."),
    click.option("--retries", type=click.IntRange(0), default=2, show_default=True, metavar="N",
                 help="Try a pair again after failures that may pass: memory, a lost worker, the network."),
    click.option("--keep-failed", is_flag=True, help="Write rasters even if the verdict is fail."),
    click.option("--dry-run", is_flag=True, help="Only list what would be done."),
)  # fmt: skip


@click.command()
@list_options
@work_options
@options.match_options
@options.output_options
@options.memory_option("Memory a pair may take: with the cores it decides how many are worked on at a time.")
@options.seed_option
@options.json_option
@progress_option
@verbosity_options
def batch(
    pairs: str | None,
    folder: str,
    moving: str | None,
    reference: str | None,
    wanted: str,
    jobs: int | None,
    per_gpu: int,
    dask: str | None,
    shard: str | None,
    series: str,
    neighbours: int,
    dry_run: bool,
    as_json: bool,
    progress: str,
    **values: Any,
) -> None:
    """Register many pairs and sum up how they went.

    PAIRS is a CSV file with the columns moving and reference, JSON lines, or, with --reference, plain paths, one a
    line; - reads it from standard input. Further columns override options for their pair (moving_modality, band,
    search_radius, ...); a column "name" names the outputs. Inputs may be assets of STAC items: item.json#B04.

    Each pair gets a folder in DIR with the registered image, registration.json, tie points, a report and a STAC item.
    DIR/manifest.jsonl records every pair as it ends, DIR/summary.csv, DIR/footprints.gpkg and DIR/index.html sum up.
    A batch may be killed at any moment and goes on with --resume.

    \b
    Examples:
      georeg batch pairs.csv -o out
      georeg batch --moving 'sar/*.tif' --reference optical.tif -o out -j 8
      find scenes -name '*.jp2' | georeg batch - --reference base.tif -o out
      georeg batch pairs.csv -o out --resume
      georeg batch pairs.csv -o out --dask tcp://scheduler:8786
      sbatch --array=1-50 --wrap 'georeg batch pairs.csv -o out --shard /50'
      georeg batch pairs.csv -o out --json | jq .counts
      georeg batch --moving 'stack/*.tif' --series joint -o out
    """
    from georeg.archive.batch import Batch, run_batch
    from georeg.archive.shards import parse_shard

    match_options = options.match_options_from(values)
    output_options = options.output_options_from({"keep_failed": values.pop("keep_failed"), **values})
    whole = Batch(
        pairs=read_list(pairs, moving, reference if series == "reference" else reference or NO_REFERENCE),
        folder=Path(folder),
        match=match_options,
        output=output_options,
        wanted=wanted_outputs(wanted),
        shard=parse_shard(shard, os.environ),
        **{name: values[name] for name in ("resume", "overwrite", "fail_fast", "retries")},
    )
    if dry_run:
        list_plan(whole if series == "reference" else registrations_of(whole, reference, series, neighbours))
        return
    with reporting(progress) as show:

        def on_record(record: Record, done: int, total: int) -> None:
            tell(show, progress, record, done, total)

        def executor() -> Executor:
            return make_executor(dask, jobs, per_gpu, match_options)

        if series == "reference":
            show("pairs", 0, len(whole.shard.of(whole.pairs)), "")
            result, solution = run_batch(whole, executor, on_record), None
        else:
            from georeg.archive.series import run_series

            found = run_series(as_series(whole, reference, series, neighbours), executor, on_record)
            result, solution = found.images, found.solution
    if as_json:
        click.echo(json.dumps(as_object(result, folder, solution)))
    else:
        click.echo("\n".join(as_lines(result, folder, solution)))
    result.raise_for_failures()


def registrations_of(whole: Batch, reference: str | None, mode: str, neighbours: int) -> Batch:
    """The registrations that a time series begins with."""
    from georeg.archive.series import neighbour_batch

    return neighbour_batch(as_series(whole, reference, mode, neighbours))


def as_series(whole: Batch, reference: str | None, mode: str, neighbours: int) -> Series:
    """The list as a time series."""
    from georeg.archive.series import Series

    if any(
        pair.overrides or pair.name or pair.reference != (reference or NO_REFERENCE) for pair in whole.pairs
    ):
        raise click.UsageError(
            f"--series {mode} takes a list of images only, one a line, and at most one --reference."
        )
    return Series([pair.moving for pair in whole.pairs], reference, mode, neighbours, whole)


def read_list(pairs: str | None, moving: str | None, reference: str | None) -> list[Pair]:
    """The pairs of a list, of standard input, or of a glob."""
    from georeg.archive.pairs import glob_pairs, read_pair_file, read_pairs

    if (pairs is None) == (moving is None):
        raise click.UsageError("Give either a list of pairs (- for standard input) or --moving GLOB.")
    if moving is not None:
        if reference is None:
            raise click.UsageError("--moving needs --reference FILE.")
        return glob_pairs(moving, reference)
    assert pairs is not None
    if pairs == "-":
        return read_pairs("-", sys.stdin.read(), reference)
    return read_pair_file(pairs, reference)


def wanted_outputs(text: str) -> tuple[str, ...]:
    """--write as a tuple."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    wrong = [name for name in names if name not in WRITABLE]
    if wrong or not names:
        raise click.BadParameter(f"{text!r} is not a list of {', '.join(WRITABLE)}", param_hint="--write")
    return tuple(name for name in WRITABLE if name in names)


def make_executor(dask: str | None, jobs: int | None, per_gpu: int, match: MatchOptions) -> Executor:
    """Where the pairs are worked on."""
    from georeg.archive import machine
    from georeg.archive.pool import LocalPool

    count = jobs or machine.worker_count(match.memory_bytes)
    if dask is not None:
        from georeg.archive.cluster import DaskCluster

        return DaskCluster(dask, count)
    gpus = 0 if match.matcher == "structural" else machine.gpu_count(match.device)
    if not gpus:
        return LocalPool(count)
    first = int(match.device.partition(":")[2] or 0)
    return LocalPool(min(count, gpus * per_gpu), tuple(f"cuda:{first + index}" for index in range(gpus)))


def tell(show: Progress, mode: str, record: Record, done: int, total: int) -> None:
    """Progress, and a line for each failure."""
    verdict = record.verdict or f"error {record.exit_code}"
    if not record.ok and mode != "json":
        from tqdm import tqdm

        tqdm.write(f"georeg: {record.name}: {record.error}", file=sys.stderr)
    show("pairs", done, total, f"{record.name}: {verdict}")


def list_plan(whole: Batch) -> None:
    """One line a pair: what would be done with it."""
    from georeg.archive.batch import planned

    for job, settled in planned(whole):
        click.echo(f"{'done' if settled else 'to do':6} {job.name}\t{job.moving}\t{job.reference}")


def counts(result: BatchResult) -> dict[str, int]:
    """How many pairs came to each verdict, or to none ("error")."""
    found = Counter(record.verdict or "error" for record in result.records)
    return {name: found[name] for name in ("pass", "warn", "fail", "error")}


def as_object(result: BatchResult, folder: str, solution: dict[str, Any] | None) -> dict[str, Any]:
    """The result for machines."""
    return {
        "schema": "georeg.batch/1",
        "pairs": len(result.records) + result.unfinished,
        "skipped": result.skipped,
        "unfinished": result.unfinished,
        "counts": counts(result),
        "failed": [
            {name: getattr(one, name) for name in ("name", "exit_code", "error")} for one in result.failed
        ],
        "index": str(Path(folder) / "index.html"),
        **({} if solution is None else {"loop_closure_px": solution["loop_closure_px"]}),
    }


def as_lines(result: BatchResult, folder: str, solution: dict[str, Any] | None) -> list[str]:
    """The result for people."""
    said = ", ".join(f"{count} {name}" for name, count in counts(result).items() if count) or "nothing to do"
    lines = [f"pairs      {said}"]
    if result.skipped:
        lines.append(f"skipped    {result.skipped} that were done before")
    if solution is not None and solution["loop_closure_px"]["loops"]:
        loops = solution["loop_closure_px"]
        lines.append(
            f"loops      close within {loops['median']:.2f} px (median), {loops['max']:.2f} px at most"
        )
    return [*lines, f"wrote      {Path(folder) / 'index.html'}, summary.csv, footprints.gpkg"]
