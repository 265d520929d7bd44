"""Shards: parts that together are the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeg.archive.shards import Shard, parse_shard
from georeg.errors import UsageError


@given(st.integers(0, 60), st.integers(1, 12))
def test_shards_together_are_the_whole(size, count):
    items = list(range(size))
    parts = [Shard(index, count).of(items) for index in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        (None, {}, Shard(1, 1)),
        ("2/5", {}, Shard(2, 5)),
        ("2/5", {"AWS_BATCH_JOB_ARRAY_INDEX": "0"}, Shard(2, 5)),
        (None, slurm := {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_STEP": "2",
                         "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(3, 4)),
        ("/9", slurm, Shard(7, 9)),
        (None, {"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, Shard(1, 10)),
        ("/3", {"JOB_COMPLETION_INDEX": "2"}, Shard(3, 3)),
        (None, {"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "4"}, Shard(3, 4)),
    ],
)  # fmt: skip
def test_array_jobs_are_understood(text, environment, expected):
    assert parse_shard(text, environment) == expected


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("0/4", {}, "shards run from 1/4 to 4/4"),
        ("5/4", {}, "shards run from 1/4"),
        ("half", {}, "not of the form I/N"),
        ("/4", {}, "there is none"),
        ("/4", {"SLURM_ARRAY_TASK_ID": "0"}, "no shard 0 of 4"),
        (None, {"JOB_COMPLETION_INDEX": "2"}, "--shard /N"),
    ],
)
def test_what_cannot_be_is_refused(text, environment, message):
    with pytest.raises(UsageError, match=message):
        parse_shard(text, environment)
