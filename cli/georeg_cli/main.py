"""The `georeg` command: finds the command's file when it is called, and turns errors into exit codes.

Nothing heavy is imported here, so that `georeg --help` and shell completion answer at once.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

log = logging.getLogger("georeg")

EXIT_UNEXPECTED, EXIT_USAGE, EXIT_RESOURCE, EXIT_INTERRUPTED = 1, 2, 5, 130

COMMANDS = {
    "match": "Register one image to another: the main job.",
    "warp": "Apply a stored registration to further bands, files or masks.",
    "batch": "Register many pairs, here or on a cluster.",
    "train": "Train the matcher on unlabelled scenes.",
    "evaluate": "Score the method on pairs with known truth.",
    "doctor": "Say what is installed, which devices there are, and whether the weights are intact.",
    "schema": "Print the JSON Schema of registration.json.",
}
"""Command -> one line of help. The command NAME is the click command NAME in georeg_cli/NAME.py."""

EPILOG = """\b
Exit codes: 0 done, 1 unexpected error, 2 wrong usage, 3 not registrable, 4 input missing or
unreadable, 5 out of memory, disk or device, 6 batch finished with failures, 130 interrupted.
Results go to standard output, messages and progress to standard error.

\b
Shell completion, for bash (also zsh, fish):
  eval "$(_GEOREG_COMPLETE=bash_source georeg)"
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, and that ends with georeg's exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"georeg_cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=COMMANDS[name]) for name in COMMANDS if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, standalone_mode: bool = True, **kwargs: Any) -> Any:
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **kwargs)
        try:
            code = super().main(*args, standalone_mode=False, **kwargs)
            sys.stdout.flush()
        except Exception as error:
            sys.exit(report(error))
        except KeyboardInterrupt:
            sys.exit(report(click.Abort()))
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="georeg", prog_name="georeg")
def cli() -> None:
    """Register remote-sensing images from different sensors to one another."""


def report(error: Exception) -> int:
    """Say on standard error what went wrong and return the exit code for it."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, click.Abort):
        click.echo("georeg: interrupted; no file was left half written", err=True)
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        silence_stdout()
        return 0
    code, message = explain(error)
    log.log(logging.INFO if code == EXIT_UNEXPECTED else logging.DEBUG, "the error's origin", exc_info=error)
    click.echo(f"georeg: error: {message}", err=True)
    return code


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and sentence for any error."""
    from georeg.errors import GeoregError

    if isinstance(error, GeoregError):
        return error.exit_code, str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            EXIT_RESOURCE,
            f"memory ran out ({error or 'no details'}): try a smaller --memory or --device cpu",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            EXIT_RESOURCE,
            f"no space left to write {error.filename or 'the output'}: free some and try again",
        )
    return EXIT_UNEXPECTED, f"unexpected {type(error).__name__}: {error} (-v shows where; please report it)"


def silence_stdout() -> None:
    """Whoever reads standard output has gone; keep the interpreter from complaining about it at exit."""

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminated(signum: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `georeg` executable; a terminated run cleans up as an interrupted one does."""
    # Idle OpenMP threads sleep instead of spinning: on a busy machine spinning costs many times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, terminated)
    cli(prog_name="georeg")


if __name__ == "__main__":
    main()
