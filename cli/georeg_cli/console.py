"""What a person or a machine sees on standard error while a command runs: messages and progress."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

log = logging.getLogger("georeg")

PROGRESS_MODES = ("auto", "bar", "json", "none")
Progress = Callable[[str, int, int, str], None]

progress_option = click.option(
    "--progress",
    type=click.Choice(PROGRESS_MODES),
    default="auto",
    show_default=True,
    help="A bar, one JSON object a line, or nothing; auto is a bar on a terminal. Always on standard error.",
)


def set_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    """Log level of everything: warnings, with -v what is done, with -vv every detail; with -q errors only."""
    if param.name == "quiet":
        ctx.meta["georeg.quiet"] = bool(value)
    else:
        ctx.meta["georeg.verbose"] = value
    quiet, verbose = ctx.meta.get("georeg.quiet", False), ctx.meta.get("georeg.verbose", 0)
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(stream=sys.stderr, format="georeg: %(levelname)s: %(message)s", force=True)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.DEBUG if verbose > 1 else logging.ERROR)
    logging.getLogger("georeg").setLevel(level)
    logging.getLogger("rasterio").setLevel(level if verbose > 1 else logging.CRITICAL)


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """-q and -v."""
    quiet = click.option("-q", "--quiet", is_flag=True, expose_value=False, callback=set_verbosity,
                         help="Nothing on standard error but errors.")  # fmt: skip
    verbose = click.option("-v", "--verbose", count=True, expose_value=False, callback=set_verbosity,
                           help="Say what is being done; -vv says everything.")  # fmt: skip
    return quiet(verbose(command))


@contextmanager
def reporting(mode: str) -> Iterator[Progress]:
    """A progress callback for a mode of PROGRESS_MODES, closed at the end; what no bar shows goes into the log."""
    if mode == "auto":
        quiet = click.get_current_context().meta.get("georeg.quiet", False)
        mode = "bar" if sys.stderr.isatty() and not quiet else "none"
    if mode == "bar":
        bar = Bar()
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield print_json if mode == "json" else log_progress


def print_json(stage: str, done: int, total: int, message: str) -> None:
    click.echo(json.dumps({"stage": stage, "done": done, "total": total, "message": message}), err=True)


def log_progress(stage: str, done: int, total: int, message: str) -> None:
    """Seen with -v only."""
    log.info("%s %s %s", stage, f"{done}/{total}" if total else done, message)


class Bar:
    """One tqdm bar per stage, the finished ones staying above."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int, message: str) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage:
            self.close()
            self._bar, self._stage = tqdm(total=total or None, desc=stage, file=sys.stderr, leave=True), stage
        self._bar.total = total or None
        self._bar.n = done
        self._bar.set_postfix_str(message, refresh=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
