"""`georeg evaluate`."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from georeg.errors import UsageError
from georeg.evaluation import (
    GROUPS,
    Case,
    Estimate,
    Estimator,
    Score,
    geocoded_cases,
    hard_cases,
    read_benchmark,
    score_line,
    scores_json,
    table_text,
)
from georeg.evaluation import evaluate as run
from georeg_cli import options
from georeg_cli.console import progress_option, reporting, verbosity_options

if TYPE_CHECKING:
    from georeg.registration.options import MatchOptions


@click.command()
@click.argument("benchmark")
@click.option(
    "--group", type=click.Choice(GROUPS), default="remote-sensing", show_default=True, help="Which pairs."
)
@click.option("--hard", is_flag=True, help="The track with any rotation and scales of 0.5 to 2.")
@click.option("--geocoded", is_flag=True, help="The track of GeoTIFFs whose geocoding was moved.")
@click.option("--published", is_flag=True, help="Score against the published matrices, where there are some.")
@click.option("--only", multiple=True, metavar="ID", help="Only this pair; repeatable.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N pairs.")
@click.option(
    "--predictions", metavar="DIR", help="Store each answer as DIR/ID.json (matrix, matches, seconds)."
)
@options.match_options
@options.run_options
@options.json_option
@progress_option
@verbosity_options
def evaluate(
    benchmark: str,
    group: str,
    hard: bool,
    geocoded: bool,
    published: bool,
    only: tuple[str, ...],
    limit: int | None,
    predictions: str | None,
    as_json: bool,
    progress: str,
    **values: Any,
) -> None:
    """Score the method on BENCHMARK, a folder of image pairs with known truth.

    Prints, per pair of modalities and in all: the share of pairs with a mean corner error below 3, 5 and 10 px at a
    640-px long side (SR), the area under that curve (AUC), the number and share of correct matches (NCM, prec), the
    share of wrong answers that were passed as right (false), the landmark error where no matrix is true, and median
    seconds. docs/benchmark.md describes the folder.

    \b
    Examples:
      georeg evaluate benchmark/
      georeg evaluate benchmark/ --hard --matcher structural
      georeg evaluate benchmark/ --geocoded --json > figures.json
      georeg evaluate benchmark/ --only mmim_so1 -v
    """
    if hard + geocoded + published > 1:
        raise UsageError(
            "--hard, --geocoded and --published are different tracks: give one of them at a time"
        )
    with tempfile.TemporaryDirectory(prefix="georeg-") as folder, reporting(progress) as show:
        if hard:
            cases = hard_cases(benchmark, folder, group)
        elif geocoded:
            cases = geocoded_cases(benchmark, folder)
        else:
            cases = read_benchmark(benchmark, group, published)
        cases = chosen(cases, only, limit)

        def done(index: int, score: Score) -> None:
            show("evaluate", index, len(cases), score.id)
            if progress in ("auto", "none") and not click.get_current_context().meta.get("georeg.quiet"):
                click.echo(score_line(score), err=True)

        scores = run(cases, estimator(options.match_options_from(values)), done, predictions)
    click.echo(json.dumps(scores_json(scores)) if as_json else table_text(scores))


def chosen(cases: list[Case], only: tuple[str, ...], limit: int | None) -> list[Case]:
    """The cases asked for; `--only geo` chooses the moves geo.p0, geo.p1, ... too."""
    kept = [case for case in cases if not only or case.id in only or case.id.split(".")[0] in only]
    if not kept:
        raise UsageError(
            f"no pair of this track is called {', '.join(only)}" if only else "this track has no pairs"
        )
    return kept[:limit]


def estimator(match_options: MatchOptions) -> Estimator:
    """georeg itself as a method to be scored; its matches are the tie points of the final fit."""
    from georeg.registration import register

    def estimate(moving: str, reference: str) -> Estimate:
        result = register(moving, reference, replace(match_options))
        ties = result.tie
        return Estimate(
            matrix=None if result.transform is None else result.transform.matrix,
            moving_xy=ties.moving_xy[ties.inlier],
            reference_xy=ties.reference_xy[ties.inlier],
            verdict=result.quality.verdict,
            reason="; ".join(result.quality.reasons),
            run={"quality": result.to_json()["quality"], "run": result.run},
        )

    return estimate
