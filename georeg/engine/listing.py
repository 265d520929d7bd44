"""The files of an archive: found in folders, lists and tar shards, named, opened one after the other."""

from __future__ import annotations

import csv
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from georeg.engine.decode import IMAGE_SUFFIXES
from georeg.errors import InputError

ALIASES = {
    "optical": ("optical", "rgb", "visible", "vis", "pan", "panchromatic", "aerial", "ortho", "s2", "naip"),
    "sar": ("sar", "radar", "s1", "vv", "vh", "palsar"),
    "infrared": ("infrared", "thermal", "nir", "ir", "tir", "swir", "lwir"),
    "map": ("map", "maps", "topo", "osm"),
    "elevation": ("elevation", "depth", "dem", "dsm", "dtm", "hillshade", "lidar"),
}
MODALITY_OF = {alias: modality for modality, aliases in ALIASES.items() for alias in aliases}


@dataclass(frozen=True)
class FileJob:
    name: str
    path: Path
    member: str | None = None


def list_files(roots: Sequence[Path]) -> list[FileJob]:
    jobs: list[FileJob] = []
    for root in roots:
        if root.is_dir():
            found = sorted(path for path in root.rglob("*") if path.is_file())
            for path in found:
                jobs.extend(_jobs_of(path, path.relative_to(root).as_posix()))
        elif root.suffix.lower() in (".txt", ".lst", ".csv"):
            jobs.extend(_listed(root))
        else:
            jobs.extend(_jobs_of(root, root.name))
    return jobs


def _jobs_of(path: Path, name: str) -> list[FileJob]:
    if path.suffix.lower() == ".tar" or path.name.lower().endswith((".tar.gz", ".tgz")):
        try:
            with tarfile.open(path) as shard:
                members = [member.name for member in shard if member.isfile()]
        except (tarfile.TarError, OSError) as error:
            cause = str(error).partition(":")[0]
            raise InputError(
                f"{path} is not a readable tar ({cause}): it is damaged or truncated; copy or download it again"
            ) from error
        return [FileJob(member, path, member) for member in members if _is_image(member)]
    return [FileJob(name, path)] if _is_image(path.name) else []


def _listed(listing: Path) -> list[FileJob]:
    lines = [line.split(",")[0].strip() for line in listing.read_text().splitlines()]
    paths = [Path(line) if Path(line).is_absolute() else listing.parent / line for line in lines if line]
    return [FileJob(path.as_posix(), path) for path in paths if _is_image(path.name)]


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def thin(jobs: list[FileJob], limit: int | None) -> list[FileJob]:
    """Keep about `limit` files, evenly spread, with both files of a pair or neither."""
    if limit is None or limit >= len(jobs):
        return jobs
    groups: dict[str, list[FileJob]] = defaultdict(list)
    for job in jobs:
        groups[pair_key(job.name) or job.name].append(job)
    keys = list(groups)
    count = max(1, round(limit * len(keys) / len(jobs)))
    keep = np.unique(np.linspace(0, len(keys) - 1, count).round().astype(int))
    return [job for index in keep for job in groups[keys[index]]]


def open_files(jobs: Iterable[FileJob]) -> Iterator[tuple[str, bytes | Path]]:
    shard: tarfile.TarFile | None = None
    try:
        for job in jobs:
            if job.member is None:
                yield job.name, job.path
                continue
            if shard is None or shard.name != str(job.path.resolve()):
                if shard is not None:
                    shard.close()
                shard = tarfile.open(job.path.resolve())  # noqa: SIM115 (kept open over many members)
            stream = shard.extractfile(job.member)
            yield job.name, stream.read() if stream is not None else b""
    finally:
        if shard is not None:
            shard.close()


def read_manifest(manifest: str | Path | None, roots: Sequence[Path]) -> dict[str, str]:
    places = [root / "manifest.csv" if root.is_dir() else root.parent / "manifest.csv" for root in roots]
    path = (
        Path(manifest) if manifest is not None else next((place for place in places if place.is_file()), None)
    )
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"cannot read the manifest {path} ({error.strerror}): check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"the manifest {path} is no CSV ({error}): it needs the columns path and modality"
        ) from error
    return {row["path"]: _canonical(row.get("modality") or "") for row in rows if row.get("path")}


def _canonical(word: str) -> str:
    return MODALITY_OF.get(word.strip().lower(), "")


def modality_from_path(name: str) -> str:
    path = PurePosixPath(name)
    for part in reversed(path.parts[:-1]):
        words = part.lower().split("-")
        if len(words) == 2 and all(word in MODALITY_OF for word in words) and path.stem[-2:] in ("_a", "_b"):
            return MODALITY_OF[words[0] if path.stem.endswith("_a") else words[1]]
        if part.lower() in MODALITY_OF:
            return MODALITY_OF[part.lower()]
    return ""


def pair_key(name: str) -> str:
    path = PurePosixPath(name.split("#")[0])
    tail = name.split("#")[1] if "#" in name else ""
    return f"{path.parent}/{path.stem[:-2]}#{tail}" if path.stem[-2:] in ("_a", "_b") else ""
