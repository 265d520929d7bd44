"""What a machine offers, and what a pair took of it."""

import numpy as np
import pytest

from georeg.archive import machine

GIB = 1024**3


@pytest.mark.parametrize(
    ("cores", "free", "expected"),
    [(8, 64 * GIB, 8), (8, 8 * GIB, 4), (2, 1 * GIB, 1), (64, 0, 1)],
)
def test_workers_as_cores_and_memory_allow(cores, free, expected):
    assert machine.worker_count(2 * GIB, cores, free) == expected


def test_this_machine_has_something_to_offer():
    assert machine.core_count() >= 1
    assert machine.available_bytes() > 0
    assert machine.gpu_count("cpu") == 0


def test_peak_memory_is_of_the_work_since_the_reset():
    np.ones(30_000_000).sum()
    if not machine.reset_peak():
        pytest.skip("this system cannot measure peak memory anew")
    before = machine.peak_bytes()
    block = np.ones(20_000_000)
    after = machine.peak_bytes()
    assert after - before > 0.7 * block.nbytes
