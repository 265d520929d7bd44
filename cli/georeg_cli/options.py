"""Options that several commands share, each defined once, and how they become MatchOptions and OutputOptions."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from georeg.geometry.transforms import KINDS
from georeg.output.options import OUTPUT_MODES, RESAMPLINGS, OutputOptions
from georeg.registration.options import MATCHERS, PRIORS, MatchOptions
from georeg.scene import Modality

Command = TypeVar("Command", bound=Callable[..., Any])
MODALITIES = ("auto", *(str(name) for name in Modality))
DRIVERS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jp2": "JP2OpenJPEG", ".img": "HFA", ".webp": "WEBP",
    ".vrt": "VRT",
}  # fmt: skip
"""GDAL's drivers by the endings that no GeoTIFF may have."""
MEMORY_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def combined(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several decorators as one; --help lists them in the order given here."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


class Memory(click.ParamType):
    """A number of bytes such as 2G, 512M or 4GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
        if not found or float(found[1]) <= 0:
            raise click.BadParameter(f"{value!r} is not a size: write it as 2G or 512M", ctx, param)
        return int(float(found[1]) * MEMORY_UNITS[found[2].upper()])


class Threads(click.ParamType):
    """A number of threads, or ALL_CPUS (0)."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, str) and value.upper() == "ALL_CPUS":
            return 0
        if str(value).isdigit():
            return int(value)
        raise click.BadParameter(f"{value!r} is neither a number of threads nor ALL_CPUS", ctx, param)


class Device(click.ParamType):
    """auto, cpu, cuda or cuda:N."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
            return str(value)
        raise click.BadParameter(f"{value!r} is none of auto, cpu, cuda, cuda:N", ctx, param)


def creation_options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE texts as a dict with upper-case keys."""
    pairs = [value.partition("=") for value in values]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise click.BadParameter(f"{key!r} is not of the form KEY=VALUE", ctx, param)
    return {key.upper(): value for key, _, value in pairs}


modality = click.Choice(MODALITIES)


def device_option(what: str) -> Callable[[Command], Command]:
    """--device, of `what` runs there."""
    return click.option("--device", type=Device(), default="auto", show_default=True, metavar="auto|cpu|cuda[:N]",
                        help=f"Where the {what} runs.")  # fmt: skip


match_options = combined(
    click.option("-b", "--band", "bands", type=click.IntRange(1), multiple=True, metavar="N",
                 help="Band of MOVING to match, 1-based; repeat it to average several. [default: chosen]"),
    click.option("--reference-band", "reference_bands", type=click.IntRange(1), multiple=True, metavar="N",
                 help="The same for REFERENCE."),
    click.option("--moving-modality", type=modality, default="auto", show_default=True,
                 help="What kind of sensor MOVING is from; decides how its pixels are normalised."),
    click.option("--reference-modality", type=modality, default="auto", show_default=True,
                 help="The same for REFERENCE."),
    click.option("--transform", type=click.Choice(("auto", *KINDS)), default="auto", show_default=True,
                 help="The model to fit; auto takes the simplest one that the tie points do not contradict."),
    click.option("--matcher", type=click.Choice(MATCHERS), default="auto", show_default=True,
                 help="How windows are compared: by the network, by structure alone (needs no weights), or by both "
                 "(hybrid, which auto takes)."),
    click.option("--weights", metavar="NAME|FILE", help="Weights of the network: a shipped name or a .safetensors."),
    device_option("network"),
    click.option("--prior", type=click.Choice(PRIORS), default="auto", show_default=True,
                 help="Start from the files' own geocoding, ignore it (none), or use it where it fits (auto)."),
    click.option("--search-radius", "search_radius_m", type=click.FloatRange(0, min_open=True), metavar="METRES",
                 help="How far the geocoding may be off. [default: chosen, and enlarged where needed]"),
    click.option("--target-accuracy", "target_accuracy_m", type=click.FloatRange(0, min_open=True), metavar="METRES",
                 help="Stop matching once the predicted accuracy is better than this, or after 64 tiles. "
                      "[default: 0.1 px, 16 tiles]"),
    click.option("--exhaustive", is_flag=True, help="Match every tile, however sure the result is already."),
    click.option("--mask", metavar="FILE",
                 help="Where MOVING may be matched: polygons, or a raster on its grid (non-zero)."),
    click.option("--reference-mask", metavar="FILE", help="The same for REFERENCE."),
)  # fmt: skip

threads_option = click.option("-j", "--num-threads", type=Threads(), default="ALL_CPUS", show_default=True,
                              metavar="N|ALL_CPUS", help="CPU threads.")  # fmt: skip


def memory_option(what: str) -> Callable[[Command], Command]:
    """--memory, and `what` it is for."""
    return click.option("--memory", "memory_bytes", type=Memory(), default="2G", show_default=True, metavar="SIZE",
                        help=what)  # fmt: skip


seed_option = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N",
                           help="Seed of every random draw; the same seed gives the same result.")  # fmt: skip
run_options = combined(
    threads_option,
    memory_option("Memory for pixels in hand: limits how many threads resample at once."),
    seed_option,
)

output_options = combined(
    click.option("--output-mode", "mode", type=click.Choice(OUTPUT_MODES), default="resample", show_default=True,
                 help="Resample the pixels, only rewrite the georeferencing, or write a VRT with control points."),
    click.option("--output-grid", "grid", type=click.Choice(("reference", "moving")), default="reference",
                 show_default=True, help="Whose pixel size and CRS the output has."),
    click.option("--dst-crs", metavar="CRS", help="CRS of the output, e.g. EPSG:32633."),
    click.option("--resolution", type=click.FloatRange(0, min_open=True), metavar="SIZE",
                 help="Pixel size of the output, in units of its CRS."),
    click.option("--bbox", type=float, nargs=4, default=None, metavar="XMIN YMIN XMAX YMAX",
                 help="Extent of the output, in its CRS."),
    click.option("-r", "--resampling", type=click.Choice(RESAMPLINGS), default="bilinear", show_default=True,
                 help="How pixels are interpolated; bands with a colour table always take the nearest."),
    click.option("--dst-nodata", type=float, metavar="VALUE", help="Nodata value of the output. [default: the file's]"),
    click.option("--co", "creation_options", multiple=True, callback=creation_options, metavar="KEY=VALUE",
                 help="GDAL creation option; repeatable."),
    click.option("-f", "--of", "driver", metavar="DRIVER",
                 help="GDAL driver of the output. [default: COG, or what an ending such as .png or .jp2 says]"),
)  # fmt: skip

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace outputs that exist already.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")


def match_options_from(values: dict[str, Any]) -> MatchOptions:
    """MatchOptions from a command's parameters, which lose the values that were used."""
    taken = {name: values.pop(name) for name in MatchOptions.__dataclass_fields__ if name in values}
    for name in ("bands", "reference_bands"):
        taken[name] = taken.get(name) or None
    for name in ("moving_modality", "reference_modality"):
        given = taken.get(name) or "auto"
        taken[name] = None if given == "auto" else Modality(given)
    return MatchOptions(**taken)


def output_options_from(values: dict[str, Any], output: str | None = None) -> OutputOptions:
    """OutputOptions from a command's parameters, which lose the values that were used.

    Args:
        output: the raster's name, whose ending says the driver where none was given.
    """
    taken = {name: values.pop(name) for name in OutputOptions.__dataclass_fields__ if name in values}
    ending = "" if output is None else os.path.splitext(output)[1].lower()
    taken["driver"] = taken.get("driver") or DRIVERS.get(ending, "COG")
    return OutputOptions(**taken)
