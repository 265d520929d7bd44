"""The manifest of a batch: one JSON object a line for each pair that came to an end, only ever appended to.

A line is written and flushed to the disk before its pair counts as done. A line cut short by a crash is skipped when
the manifest is read, and the next line starts on a new one, so that killing a batch at any moment loses at most the
pairs that were being worked on. Shards write one manifest each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from georeg.archive.shards import Shard
from georeg.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = "georeg.manifest/1"
FINAL_CODES = (0, 2, 3, 4)
"""Exit codes that would come out the same again: done, wrong option, not registrable, unreadable input."""


@dataclass(frozen=True)
class Record:
    """What came of one pair.

    Attributes:
        name, key: of the job.
        moving, reference: inputs.
        exit_code: as `georeg match` would have ended.
        error: the sentence for people, None where all went well.
        retryable: whether trying again may help (memory, a lost worker, a network that did not answer).
        attempt: from 1.
        verdict: "pass", "warn", "fail", or None where it did not come to one.
        probability_correct, ce90_px, ce90_m, holdout_rmse_px, coverage, inliers: of the quality.
        reasons: of the verdict.
        options: that differ from the batch's.
        weights: name and sha256 of the network's weights; None without.
        matcher, version: what did it.
        seconds, peak_rss_bytes: what it took.
        outputs: what -> path relative to the batch's folder.
        footprint: longitude-latitude ring of the registered image, None where unknown.
        finished: UTC time, ISO 8601.
        host: of the worker.
    """

    name: str
    key: str
    moving: str
    reference: str
    exit_code: int
    error: str | None = None
    retryable: bool = False
    attempt: int = 1
    verdict: str | None = None
    probability_correct: float | None = None
    ce90_px: float | None = None
    ce90_m: float | None = None
    holdout_rmse_px: float | None = None
    coverage: float | None = None
    inliers: int | None = None
    reasons: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] | None = None
    matcher: str | None = None
    version: str | None = None
    seconds: float = 0.0
    peak_rss_bytes: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    footprint: list[list[float]] | None = None
    finished: str = ""
    host: str = ""

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def to_line(self) -> str:
        """One line of the manifest, without its end."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> Record | None:
        """The record of a line; None where the line is no whole record."""
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            return None
        if not isinstance(values, dict) or not {"name", "key", "exit_code"} <= values.keys():
            return None
        known = {one.name for one in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        return cls(**{**kept, "reasons": tuple(kept.get("reasons", ()))})


class Manifest:
    """Appends records to one file; made for a single writer.

    Use as a context manager.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = open(self.path, "ab")  # noqa: SIM115 (closed by close)
        self._lock()
        self._mend()

    def _lock(self) -> None:
        """Keep a second batch away, where the system has locks; the system unlocks whatever way this one ends."""
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise UsageError(
                f"Another georeg batch is at work in {self.path.parent}: wait for it, or take another folder."
            ) from error

    def _mend(self) -> None:
        """Start on a new line where the last writer was cut short."""
        if self._file.tell() and not _ends_with_newline(self.path):
            self._file.write(b"\n")

    def append(self, record: Record) -> None:
        """Write one record and wait until the disk has it."""
        self._file.write(record.to_line().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def manifest_path(folder: str | os.PathLike[str], shard: Shard) -> Path:
    """Where a shard's manifest lies."""
    return Path(folder) / f"manifest{shard.label}.jsonl"


def manifests(folder: str | os.PathLike[str]) -> list[Path]:
    """The manifests of a batch, of all its shards."""
    return sorted(Path(folder).glob("manifest*.jsonl"))


def read_records(paths: Iterable[str | os.PathLike[str]]) -> Iterator[Record]:
    """All whole records, in the order they were written within each file."""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                record = Record.from_line(line)
                if record is not None:
                    yield record


def count_lines(paths: Iterable[str | os.PathLike[str]]) -> int:
    """Lines of all files together, without understanding them."""
    total = 0
    for path in paths:
        with open(path, "rb") as file:
            total += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return total


def latest(records: Iterable[Record]) -> dict[str, Record]:
    """The last record of each pair, by name (by time of finishing where shards overlap)."""
    last: dict[str, Record] = {}
    for record in records:
        if record.name not in last or record.finished >= last[record.name].finished:
            last[record.name] = record
    return last


def is_settled(record: Record | None, key: str, folder: Path) -> bool:
    """Whether a pair needs no more work: the same work came to a final end, and its outputs are still there."""
    if record is None or record.key != key or record.retryable or record.exit_code not in FINAL_CODES:
        return False
    return all((folder / path).exists() for path in record.outputs.values())
