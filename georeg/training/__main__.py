"""`python -m georeg.training ARCHIVE... -o RUN`: `georeg train` with fewer options and without click.

It runs where only torch, numpy, Pillow and safetensors are installed.
"""

from __future__ import annotations

import argparse
import sys

from georeg.errors import GeoregError
from georeg.training.run import TrainOptions, train

EXIT_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Parse, train, return the exit code of `georeg train`."""
    parser = argparse.ArgumentParser(prog="python -m georeg.training", description=train.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("archive", nargs="+", help="folders, tar shards or text lists")
    parser.add_argument("-o", "--output", dest="run", required=True, help="folder of the run")
    for name in ("network", "config", "init", "manifest"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--stage", action="append", dest="stages", default=[])
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--max-minutes", type=float)
    parser.add_argument("--device", default="auto")
    parser.add_argument("-j", "--num-threads", type=int, default=0)
    parser.add_argument("--seed", type=int)
    values = vars(parser.parse_args(arguments))
    archive, run = values.pop("archive"), values.pop("run")
    options = TrainOptions(**values | {"stages": tuple(values["stages"])})
    try:
        outcome = train(archive, run, options, report=print_progress, note=print_note)
    except GeoregError as error:
        print(f"georeg: error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{run}: {outcome.steps} steps, {outcome.reason}")
    return EXIT_INTERRUPTED if outcome.reason == "interrupted" else 0


def print_note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_progress(stage: str, done: int, total: int, message: str) -> None:
    print(f"{stage} {done}/{total} {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
