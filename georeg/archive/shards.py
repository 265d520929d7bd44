"""A batch cut into parts that know nothing of one another, for array jobs.

Shards are counted from 1: `--shard 1/4` to `--shard 4/4`. Pair number p (from 0) belongs to shard p mod N + 1, so
that neighbours in a list, which are often alike, are spread over the shards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from georeg.errors import UsageError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(
                f"There is no shard {self.index} of {self.count}: shards run from 1/{self.count} to "
                f"{self.count}/{self.count}."
            )

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The items that belong to this shard, in their order."""
        return list(items[self.index - 1 :: self.count])

    @property
    def label(self) -> str:
        """For file names: "" for the whole, else "-0003-of-0010"."""
        return "" if self.count == 1 else f"-{self.index:04d}-of-{self.count:04d}"


WHOLE = Shard()


def parse_shard(text: str | None, environment: Mapping[str, str]) -> Shard:
    """A shard from `I/N`, from `/N` with I taken from the array job, or wholly from the array job; else all.

    Args:
        text: what the user wrote; None where nothing.
        environment: the process's variables. Slurm, AWS Batch and Kubernetes (indexed jobs) are known; Kubernetes
            does not say how many parts there are, so it needs `/N` (or a variable JOB_COMPLETIONS). With `/N` a
            Slurm array must count from 1, so that single parts can be sent again with `--array=3,7`.

    Raises:
        UsageError: the text is neither, or the array job's variables do not fit.
    """
    number = {name: int(value) for name, value in environment.items() if re.fullmatch(r"\d+", value)}
    if text is None:
        return _whole_array(number)
    parts = re.fullmatch(r"(\d*)/(\d+)", text.strip())
    if not parts:
        raise UsageError(f"--shard {text} is not of the form I/N, e.g. 1/4 for the first of four parts.")
    if parts[1]:
        return Shard(int(parts[1]), int(parts[2]))
    index = number.get("SLURM_ARRAY_TASK_ID", _from_zero(number))
    if index is None:
        raise UsageError(
            f"--shard {text} takes the part's number from an array job, but there is none: give I/N."
        )
    return Shard(index, int(parts[2]))


def _whole_array(number: Mapping[str, int]) -> Shard:
    """The shard that an array job's own variables describe; everything outside of one."""
    if "SLURM_ARRAY_TASK_ID" in number:
        step = number.get("SLURM_ARRAY_TASK_STEP") or 1
        place = (number["SLURM_ARRAY_TASK_ID"] - number.get("SLURM_ARRAY_TASK_MIN", 0)) // step
        return Shard(place + 1, number.get("SLURM_ARRAY_TASK_COUNT", place + 1))
    index = _from_zero(number)
    if index is None:
        return Shard()
    count = number.get("AWS_BATCH_JOB_ARRAY_SIZE", number.get("JOB_COMPLETIONS"))
    if count is None:
        raise UsageError("JOB_COMPLETION_INDEX is set, but not how many parts there are: give --shard /N.")
    return Shard(index, count)


def _from_zero(number: Mapping[str, int]) -> int | None:
    """Index from 1 of those that count from 0: AWS Batch and Kubernetes."""
    for name in ("AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"):
        if name in number:
            return number[name] + 1
    return None
