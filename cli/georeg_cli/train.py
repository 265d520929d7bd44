"""`georeg train`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from georeg.errors import UsageError
from georeg_cli import options
from georeg_cli.console import progress_option, reporting, verbosity_options

EXIT_INTERRUPTED = 130


train_options = options.combined(
    click.option("-o", "--output", "run", metavar="RUN", help="Folder of the run: weights, checkpoint, log, curves."),
    click.option("--network", metavar="tiny|small|base", help="Size of the network. [default: as --init, else small]"),
    click.option("--config", metavar="FILE",
                 help="JSON of stages and settings, such as RUN/config.json of another run."),
    click.option("--stage", "stages", multiple=True, metavar="NAME",
                 help="Only this stage of the cascade; repeatable."),
    click.option("--resume", is_flag=True, help="Go on with RUN where it stopped, to the same numbers."),
    click.option("--init", metavar="NAME|FILE", help="Begin with these weights."),
    click.option("--manifest", metavar="FILE",
                 help="CSV with columns path and modality. [default: manifest.csv, if any]"),
    click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Stop this slice after N steps."),
    click.option("--max-minutes", type=click.FloatRange(0, min_open=True), metavar="M",
                 help="Stop it after M minutes."),
    click.option("--benchmark", metavar="DIR", help="At each validation, also score georeg on this benchmark folder."),
    click.option("--preview", "sheet", metavar="FILE.png", help="Only draw a contact sheet of training pairs."),
    click.option("--overwrite", is_flag=True, help="Replace the contact sheet if it exists already."),
    options.device_option("training"),
    options.threads_option,
    click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of every draw. [default: the config's]"),
)  # fmt: skip


@click.command()
@click.argument("archive", nargs=-1, required=True)
@train_options
@options.json_option
@progress_option
@verbosity_options
def train(archive: tuple[str, ...], run: str | None, benchmark: str | None, sheet: str | None,
          overwrite: bool, as_json: bool, progress: str, **values: Any) -> int:  # fmt: skip
    """Train the matcher on ARCHIVE: unlabelled rasters in a folder, tar shards, or text lists of paths.

    Pairs are made as they are needed: random warps known exactly, and changes of appearance that imitate other
    sensors; NAME_a and NAME_b in one folder are taken as an aligned pair. A run can be stopped at any time (Ctrl-C
    saves it) and resumed; its weights.safetensors serves georeg match --weights. Start it with torchrun to use
    several processes or cards.

    \b
    Examples:
      georeg train scenes/ -o run
      georeg train scenes/ -o run --resume --max-minutes 30
      georeg train scenes/ -o tuned --init small --stage finetune
      georeg train scenes/ --preview sheet.png
    """
    from georeg.training import TrainOptions

    training = TrainOptions(**values)
    if sheet is not None:
        return draw_sheet(archive, sheet, overwrite, training, as_json)
    if run is None:
        raise UsageError("give the folder of the run with -o RUN (or a picture with --preview FILE.png)")
    with reporting(progress) as show:
        return run_training(archive, run, training, benchmark, show, as_json)


def draw_sheet(archive: tuple[str, ...], sheet: str, overwrite: bool, training: Any, as_json: bool) -> int:
    from georeg.training import preview

    scenes, path = preview(list(archive), sheet, training, overwrite)
    tell(scenes.summary())
    click.echo(json.dumps({"preview": str(path), "tiles": len(scenes.tiles)}) if as_json else str(path))
    return 0


def run_training(
    archive: tuple[str, ...],
    run: str,
    training: Any,
    benchmark: str | None,
    show: Callable[[str, int, int, str], None],
    as_json: bool,
) -> int:
    from georeg.training import train as run_train

    if benchmark is not None:
        from georeg.evaluation import read_benchmark

        read_benchmark(benchmark)  # a wrong path is told now, not at the first validation
    external = None if benchmark is None else partial(benchmark_figures, benchmark)
    outcome = run_train(list(archive), run, training, report=show, note=tell, external=external)
    if as_json:
        click.echo(json.dumps({"run": run, **asdict(outcome)}))
    else:
        click.echo(f"{run}: {outcome.steps} steps, {outcome.reason}")
        if outcome.reason != "finished":
            tell(f"go on with: georeg train {' '.join(archive)} -o {run} --resume")
    return EXIT_INTERRUPTED if outcome.reason == "interrupted" else 0


def benchmark_figures(folder: str, weights: Path) -> dict[str, float]:
    """SR and AUC of `georeg match --matcher network` with these weights on a benchmark folder."""
    from georeg.evaluation import evaluate, read_benchmark, summarise
    from georeg.registration.options import MatchOptions
    from georeg_cli.evaluate import estimator

    estimate = estimator(MatchOptions(matcher="network", weights=str(weights)))
    overall = summarise(evaluate(read_benchmark(folder), estimate))
    return {name: value for name, value in overall.items() if name.startswith(("SR@", "AUC@"))}


def tell(text: str) -> None:
    """A line for people on standard error, unless -q."""
    if not click.get_current_context().meta.get("georeg.quiet"):
        click.echo(text, err=True)
