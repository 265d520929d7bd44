"""`georeg schema`."""

from __future__ import annotations

from importlib import resources

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of registration.json.

    \b
    Example:
      georeg schema > registration.schema.json
    """
    click.echo(resources.files("georeg").joinpath("registration.schema.json").read_text().rstrip())
