"""`georeg warp`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from georeg_cli import options
from georeg_cli.console import progress_option, reporting, verbosity_options


@click.command()
@click.argument("moving")
@click.argument("output")
@click.option(
    "--registration",
    required=True,
    metavar="FILE.json",
    help="What `georeg match` stored; - reads it from standard input.",
)
@options.output_options
@options.overwrite_option
@click.option("--keep-failed", is_flag=True, help="Use the registration even if its verdict is fail.")
@options.threads_option
@options.json_option
@progress_option
@verbosity_options
def warp(moving: str, output: str, registration: str, as_json: bool, progress: str, **values: Any) -> None:
    """Apply a stored registration to MOVING and write it to OUTPUT.

    MOVING is the image that was registered, or another one on the same ground: further bands, a mask, a
    classification. It must have the same size as the registered image, or a geotransform and CRS of its own that lie
    on the same (wrong) ground. An asset of a STAC item is named as item.json#B04.

    \b
    Examples:
      georeg match sar.tif optical.tif --registration r.json
      georeg warp sar.tif sar_registered.tif --registration r.json
      georeg warp water_mask.tif water_registered.tif --registration r.json -r nearest
      georeg match sar.tif optical.tif --json | georeg warp sar.tif out.tif --registration -
    """
    from georeg.registration.deliver import apply_registration
    from georeg.registration.stored import parse_registration, read_registration

    if registration == "-":
        stored = parse_registration(sys.stdin.read(), "standard input")
    else:
        stored = read_registration(registration)
    with reporting(progress) as show:
        apply_registration(stored, moving, output, options.output_options_from(values, output), show)
    click.echo(json.dumps({"output": output}) if as_json else f"wrote {output}")
