"""Pairs on a real Dask cluster on this machine, with a worker killed in the middle."""

import os
import signal

import fake_delivery
import pytest

from georeg.archive.batch import Batch, run_batch
from georeg.archive.cluster import DaskCluster
from georeg.errors import InputError

pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:DeprecationWarning")


def test_a_killed_worker_loses_nothing(make_pairs, tmp_path):
    pairs = make_pairs(*["pass slow=0.15"] * 10, "fail slow=0.15")
    cluster = DaskCluster("local", workers=2)
    seen, in_flight = [], []
    (victim, *_) = cluster.client.run(os.getpid).values()

    def watch(record, done, total):
        seen.append(record.name)
        in_flight.append(cluster.in_flight)
        if done == 3:
            os.kill(victim, signal.SIGKILL)

    batch = Batch(pairs, tmp_path / "out", deliver=fake_delivery.deliver, weights=lambda match: "w")
    result = run_batch(batch, lambda: cluster, watch)
    assert [record.exit_code for record in result.records] == [0] * 10 + [3]
    assert len(seen) == len(set(seen)) == 11
    assert max(in_flight) <= 4, "two for each of two threads"
    assert all(
        (tmp_path / "out" / path).exists() for record in result.records for path in record.outputs.values()
    )


def test_no_scheduler_is_said_plainly():
    with pytest.raises(InputError, match=r"No Dask workers at tcp://127\.0\.0\.1:1"):
        DaskCluster("tcp://127.0.0.1:1", patience_s=0.5)
