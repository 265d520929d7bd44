"""Writes docs/cli.md from the commands' own help.

    python docs/make_cli_page.py

A test compares the page with the help, so that it cannot grow old.
"""

from __future__ import annotations

from pathlib import Path

import click
from georeg_cli.main import COMMANDS, cli

WIDTH = 100
INTRODUCTION = """\
# The command line

The order is always `MOVING REFERENCE [OUTPUT]`: inputs first, output last. Results go to standard output (one JSON
object with `--json`), messages and the progress bar to standard error. Outputs are written beside their final name and
renamed at the end, so that an interrupted run leaves no half file; nothing is overwritten without `--overwrite`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error nobody expected |
| 2 | wrong usage: contradicting options, a band that is not there, an output that exists |
| 3 | not registrable: no overlap, too few matches, or the verdict is fail; no raster was written |
| 4 | an input is missing or unreadable, or a folder cannot be written to |
| 5 | memory, disk space or the device ran out |
| 6 | a batch came to its end, but some pairs failed |
| 130 | interrupted (Ctrl-C or SIGTERM); outputs that were not finished are as they were before |

An image is whatever GDAL opens (a file, `/vsis3/...`, a subdataset), or an asset of a STAC item on disk or behind http:
`item.json#B04`. `item.json` alone means its only asset with the role "data", or else its only image that is no preview.

`--progress json` writes one JSON object a line to standard error:

    {"stage": "tiles", "done": 12, "total": 40, "message": "held-out error 0.6 px"}

In scripts:

    georeg match sar.tif optical.tif out.tif --json > result.json || echo "not registered: exit code $?"
    for image in scenes/*.tif; do
      georeg match "$image" reference.tif "out/$(basename "$image")" --registration "out/$(basename "$image" .tif).json"
    done

Shell completion, for bash (zsh and fish alike): `eval "$(_GEOREG_COMPLETE=bash_source georeg)"`.
"""


def help_text(name: str) -> str:
    """What `georeg NAME --help` prints at WIDTH columns."""
    parent = click.Context(cli, info_name="georeg", help_option_names=["-h", "--help"])
    command = cli.get_command(parent, name)
    assert command is not None
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def page() -> str:
    """The whole of docs/cli.md."""
    parts = [INTRODUCTION]
    parts += [
        f"## georeg {name}\n\n{COMMANDS[name]}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(page(), encoding="utf-8")
