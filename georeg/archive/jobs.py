"""Jobs: pairs with their options settled, their outputs named, and a key that says when the work is the same.

A job is plain and small, so that it can travel to any process or machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from georeg.archive.overrides import overridden
from georeg.archive.pairs import Pair
from georeg.archive.shards import WHOLE, Shard
from georeg.errors import InputError, UsageError
from georeg.output.options import OutputOptions
from georeg.raster.assets import asset_path, split_asset
from georeg.raster.files import is_local
from georeg.registration.options import MatchOptions

OUTPUTS = ("raster", "registration", "points", "report", "stac")
SUFFIXES = {"GTiff": ".tif", "COG": ".tif", "VRT": ".vrt", "PNG": ".png", "JPEG": ".jpg", "GPKG": ".gpkg"}

WeightsIdentity = Callable[[MatchOptions], str | None]
"""SHA-256 of the weights a pair would be matched with, None where there are none."""


@dataclass(frozen=True)
class Job:
    """One pair, ready to be worked on.

    Attributes:
        name: of its folder and its files, unique in the batch.
        moving, reference: as in `Pair`.
        match, output: its options.
        folder: where its outputs go.
        wanted: which of OUTPUTS are written.
        key: SHA-256 over inputs, options, weights and version: equal keys mean equal work.
        origin: where the pair was written.
        details: what the manifest says of the options: those that differ from the batch's.
    """

    name: str
    moving: str
    reference: str
    match: MatchOptions
    output: OutputOptions
    folder: str
    wanted: tuple[str, ...]
    key: str
    origin: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def path(self, what: str) -> str | None:
        """Where one of OUTPUTS goes; None where it is not wanted."""
        return self.paths().get(what)

    def paths(self) -> dict[str, str]:
        """What -> where it goes, for all that is wanted."""
        raster = ".vrt" if self.output.mode == "vrt" else SUFFIXES.get(self.output.driver, ".tif")
        names = {
            "raster": self.name + raster,
            "registration": "registration.json",
            "points": "points.gpkg",
            "report": "report.html",
            "stac": "item.json",
        }
        return {what: str(Path(self.folder) / names[what]) for what in self.wanted}


def plan_jobs(
    pairs: Sequence[Pair],
    folder: str | os.PathLike[str],
    match: MatchOptions,
    output: OutputOptions,
    wanted: Sequence[str] = OUTPUTS,
    weights: WeightsIdentity = lambda options: options.weights,
    shard: Shard = WHOLE,
) -> list[Job]:
    """One job for each pair of a shard, in their order.

    Args:
        pairs: the whole list, also where only a shard of it is wanted, so that names do not depend on shards.
        folder: the batch's; each job gets a folder in it.
        match, output: the batch's options, which a pair's overrides change.
        wanted: which of OUTPUTS to write.
        weights: see `WeightsIdentity`.
        shard: whose jobs are made; only their files are looked at.

    Raises:
        UsageError: an override is wrong, or two pairs are the same.
    """
    mine = shard.of(list(zip(pairs, job_names(pairs), strict=True)))
    return [_job(pair, name, Path(folder), match, output, tuple(wanted), weights) for pair, name in mine]


def _job(
    pair: Pair,
    name: str,
    folder: Path,
    match: MatchOptions,
    output: OutputOptions,
    wanted: tuple[str, ...],
    weights: WeightsIdentity,
) -> Job:
    match, output = overridden(match, output, pair.overrides, pair.origin)
    identity = {
        "moving": file_identity(pair.moving),
        "reference": file_identity(pair.reference),
        "masks": [file_identity(mask) for mask in (match.mask, match.reference_mask) if mask],
        "match": _kept(match.to_json()),
        "output": _kept(vars(output)),
        "wanted": wanted,
        "weights": weights(match),
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return Job(
        name=name,
        moving=pair.moving,
        reference=pair.reference,
        match=match,
        output=output,
        folder=str(folder / name),
        wanted=wanted,
        key=hashlib.sha256(text.encode()).hexdigest(),
        origin=pair.origin,
        details=dict(pair.overrides),
    )


def _kept(options: dict[str, Any]) -> dict[str, Any]:
    """The options without those that change nothing in the result."""
    return {name: value for name, value in options.items() if name not in ("num_threads", "overwrite")}


def file_identity(path: str) -> list[Any]:
    """What tells whether an input has changed: its path, and for local files size and time of change.

    Of a STAC item's asset both files count, the item's and the asset's.
    """
    local, asset = split_asset(path)
    if not is_local(local):
        return [path]
    return [os.path.abspath(local), asset, *_stamp(local), *_asset_stamp(path)]


def _stamp(local: str) -> list[Any]:
    try:
        status = os.stat(local)
    except OSError:
        return ["missing"]
    return [status.st_size, status.st_mtime_ns]


def _asset_stamp(path: str) -> list[Any]:
    """The same of the file that a STAC item names; nothing where `path` names none, or the item tells no such asset."""
    try:
        image = asset_path(path)
    except InputError:
        return []
    return [image, *_stamp(image)] if image != path and is_local(image) else []


def job_names(pairs: Sequence[Pair]) -> list[str]:
    """A name for each pair: the one given, else the moving image's, with a hash where several would share it."""
    plain = [safe_name(pair.name or _stem(pair.moving)) for pair in pairs]
    often = Counter(name.lower() for name in plain)
    names = [
        name if pair.name or often[name.lower()] == 1 else f"{name}_{_short_hash(pair)}"
        for pair, name in zip(pairs, plain, strict=True)
    ]
    doubled = {name for name, count in Counter(name.lower() for name in names).items() if count > 1}
    for pair, name in zip(pairs, names, strict=True):
        if name.lower() in doubled:
            raise UsageError(
                f"{pair.origin}: a pair named {name} is there already: remove one, or give them different names "
                "in a column 'name'."
            )
    return names


def safe_name(text: str) -> str:
    """A file name that every file system takes: letters, digits, and . _ - in it; at most 100 characters."""
    name = re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._-")
    return name[:100] or "pair"


def _stem(path: str) -> str:
    """The last part of a path without its suffix; a STAC asset is added to its item's name."""
    file, asset = split_asset(path)
    stem = Path(file.rstrip("/")).name
    stem = stem.rsplit(".", 1)[0] if "." in stem[1:] else stem
    return f"{stem}_{asset}" if asset else stem


def _short_hash(pair: Pair) -> str:
    text = json.dumps([pair.moving, pair.reference, pair.overrides], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
