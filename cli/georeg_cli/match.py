"""`georeg match`."""

from __future__ import annotations

import json
from typing import Any

import click

from georeg_cli import options
from georeg_cli.console import progress_option, reporting, verbosity_options
from georeg_cli.summary import summary_lines


@click.command()
@click.argument("moving")
@click.argument("reference")
@click.argument("output", required=False)
@click.option(
    "--registration", metavar="FILE.json", help="Store the transform, the figures and how they were made."
)
@click.option(
    "--points",
    multiple=True,
    metavar="FILE",
    help="Store the tie points: .gpkg, .geojson, .csv, _gcp.csv (GDAL) or .points (QGIS); repeatable.",
)
@click.option(
    "--report", metavar="FILE.html", help="Store a page with pictures and plain words; needs no network."
)
@options.match_options
@options.output_options
@options.overwrite_option
@click.option("--keep-failed", is_flag=True, help="Write OUTPUT even if the verdict is fail.")
@options.run_options
@options.json_option
@progress_option
@verbosity_options
def match(
    moving: str,
    reference: str,
    output: str | None,
    registration: str | None,
    points: tuple[str, ...],
    report: str | None,
    as_json: bool,
    progress: str,
    **values: Any,
) -> None:
    """Register MOVING to REFERENCE and write it to OUTPUT.

    The images may come from different sensors, have different pixel sizes, CRS and bands, and lie far from where they
    say they do; they are read in windows, so their size does not matter. Anything GDAL opens will do, /vsi paths
    included, and assets of STAC items, on disk or behind http: item.json#B04. Without OUTPUT nothing but the result is
    printed. If no trustworthy registration is found, no raster is written and the exit code is 3.

    \b
    Examples:
      georeg match sar.tif optical.tif sar_registered.tif
      georeg match sar.tif optical.tif out.tif --report out.html --points ties.gpkg
      georeg match drone.tif satellite.tif out.tif --output-grid moving -r cubic
      georeg match scan.png map.tif out.tif --prior none
      georeg match thermal.tif rgb.tif out.tif --output-mode georeference
      georeg match s1_item.json#vv s2_item.json#B04 out.tif
      georeg match a.tif b.tif --json | jq .quality.verdict
    """
    from georeg.registration.deliver import RefusedError, deliver, is_written
    from georeg.registration.destinations import Destinations

    match_options = options.match_options_from(values)
    output_options = options.output_options_from(values, output)
    destinations = Destinations(raster=output, registration=registration, points=points, report=report)
    refused: RefusedError | None = None
    with reporting(progress) as show:
        try:
            result = deliver(moving, reference, destinations, match_options, output_options, show)
        except RefusedError as error:
            refused, result = error, error.registration
    if as_json:
        click.echo(json.dumps(result.to_json(), allow_nan=False))
    else:
        written = destinations.written(is_written(result, output_options))
        click.echo("\n".join(summary_lines(result, written)))
    if refused is not None:
        raise refused
