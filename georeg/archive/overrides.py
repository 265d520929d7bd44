"""Options of one pair, from the batch's own and what the list says for that pair.

Columns bear the names of the command line's options, with dashes or underscores, or those of the option classes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from georeg.errors import UsageError
from georeg.geometry.transforms import KINDS
from georeg.output.options import OUTPUT_MODES, RESAMPLINGS, OutputOptions
from georeg.registration.options import MATCHERS, PRIORS, MatchOptions
from georeg.scene import Modality

UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
ALIASES = {
    "band": "bands",
    "reference_band": "reference_bands",
    "search_radius": "search_radius_m",
    "target_accuracy": "target_accuracy_m",
    "memory": "memory_bytes",
    "output_mode": "mode",
    "output_grid": "grid",
    "of": "driver",
    "co": "creation_options",
}


def overridden(
    match: MatchOptions, output: OutputOptions, overrides: dict[str, Any], origin: str = ""
) -> tuple[MatchOptions, OutputOptions]:
    """The options with a pair's overrides applied.

    Args:
        match, output: the batch's options.
        overrides: name -> value, as text or as JSON has it.
        origin: of the pair, for messages.

    Raises:
        UsageError: an option does not exist or cannot have that value.
    """
    chosen: dict[str, Any] = {}
    for written, value in overrides.items():
        name = field_name(written)
        if name not in CONVERTERS:
            raise UsageError(f"{origin}: there is no option {written!r}{_nearest(name)}.")
        try:
            chosen[name] = CONVERTERS[name](value)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{origin}: {written} cannot be {value!r}: {error}.") from error
    of_match = {name: value for name, value in chosen.items() if name in MatchOptions.__dataclass_fields__}
    of_output = {name: value for name, value in chosen.items() if name not in of_match}
    return replace(match, **of_match), replace(output, **of_output)


def field_name(written: str) -> str:
    """An option's field name from any of its spellings: --search-radius, search_radius, search_radius_m."""
    name = written.strip().lstrip("-").replace("-", "_").lower()
    return ALIASES.get(name, name)


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, CONVERTERS, 1)
    return f"; did you mean {near[0]!r}?" if near else " (a column whose name starts with _ is a note)"


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def convert(value: Any) -> str:
        if str(value) not in choices:
            raise ValueError(f"it is one of {', '.join(choices)}")
        return str(value)

    return convert


def _bands(value: Any) -> tuple[int, ...] | None:
    parts = value if isinstance(value, list | tuple) else re.split(r"[\s,;]+", str(value).strip())
    bands = tuple(int(part) for part in parts if str(part))
    if any(band < 1 for band in bands):
        raise ValueError("bands count from 1")
    return bands or None


def _modality(value: Any) -> Modality | None:
    return None if str(value) == "auto" else Modality(str(value))


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError("it is a number above 0")
    return number


def _flag(value: Any) -> bool:
    words = {
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
        "off": False,
    }
    if str(value).lower() not in words:
        raise ValueError("it is true or false")
    return words[str(value).lower()]


def _box(value: Any) -> tuple[float, ...]:
    parts = value if isinstance(value, list | tuple) else re.split(r"[\s,;]+", str(value).strip())
    if len(parts) != 4:
        raise ValueError("it is four numbers: xmin ymin xmax ymax")
    return tuple(float(part) for part in parts)


def _creation(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(key).upper(): str(item) for key, item in value.items()}
    pairs = [part.partition("=") for part in re.split(r"[\s;]+", str(value).strip())]
    if any(not key or not equals for key, equals, _ in pairs):
        raise ValueError("it is KEY=VALUE, several separated by spaces")
    return {key.upper(): item for key, _, item in pairs}


def parsed_bytes(value: Any) -> int:
    """A number of bytes from 2147483648, 2G, 512M or 4GiB."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise ValueError("it is a size such as 2G or 512M")
    return int(float(found[1]) * UNITS[found[2].upper()])


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "bands": _bands,
    "reference_bands": _bands,
    "moving_modality": _modality,
    "reference_modality": _modality,
    "transform": _one_of(("auto", *KINDS)),
    "matcher": _one_of(MATCHERS),
    "weights": str,
    "device": str,
    "prior": _one_of(PRIORS),
    "search_radius_m": _positive,
    "target_accuracy_m": _positive,
    "exhaustive": _flag,
    "mask": str,
    "reference_mask": str,
    "num_threads": int,
    "memory_bytes": parsed_bytes,
    "seed": int,
    "mode": _one_of(OUTPUT_MODES),
    "grid": _one_of(("reference", "moving")),
    "dst_crs": str,
    "resolution": _positive,
    "bbox": _box,
    "resampling": _one_of(RESAMPLINGS),
    "dst_nodata": float,
    "creation_options": _creation,
    "driver": str,
    "keep_failed": _flag,
}
"""Every option that a pair may override; "overwrite" is the batch's alone."""
