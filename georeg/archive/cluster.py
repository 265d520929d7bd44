"""Pairs on a Dask cluster: one task a pair, a bounded number in flight, only records come back.

Workers need georeg installed and see inputs and the output folder under the same paths. The manifest is written here,
by the client, so that there is one writer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from georeg.archive.manifest import Record
from georeg.archive.work import EXIT_UNEXPECTED, Unit, lost, run_unit, settle_worker, single_threaded
from georeg.errors import InputError, UsageError

TASKS_A_THREAD = 2
"""Tasks in flight for each thread of the cluster: one at work, one waiting, so that no worker idles."""


class DaskCluster:
    """Submits units to a Dask `distributed` scheduler.

    Args:
        address: "tcp://HOST:PORT" of a scheduler, or "local" for one on this machine.
        workers: worker processes where the address is "local".
        patience_s: how long to wait for the first worker.

    Raises:
        UsageError: `distributed` is not installed.
        InputError: there is no scheduler at the address, or it has no workers.
    """

    def __init__(self, address: str, workers: int = 1, patience_s: float = 120.0) -> None:
        try:
            import distributed
        except ImportError as error:
            raise UsageError("Dask is not installed: pip install 'georeg[dask]'.") from error
        for name in ("distributed", "distributed.scheduler", "distributed.core"):
            logging.getLogger(name).setLevel(logging.WARNING)  # each sets itself to INFO when it is imported
        logging.getLogger("distributed.nanny").setLevel(
            logging.ERROR
        )  # it warns of workers that close slowly
        self._cluster: Any = None
        if address == "local":
            self._cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,
            )
        try:
            self._client = distributed.Client(self._cluster or address, timeout=patience_s)
            self._client.wait_for_workers(1, timeout=patience_s)
        except (OSError, TimeoutError) as error:
            self._close_local()
            raise InputError(
                f"No Dask workers at {address} ({error}): check that the scheduler runs."
            ) from error
        self._units: dict[Any, Unit] = {}
        self._completed = distributed.as_completed([], with_results=False)

    @property
    def client(self) -> Any:
        """The `distributed.Client`."""
        return self._client

    @property
    def in_flight(self) -> int:
        """Tasks that were submitted and have not come back."""
        return len(self._units)

    @property
    def room(self) -> int:
        """Tasks that may be submitted now; follows the cluster as it grows and shrinks."""
        threads = sum(
            worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()
        )
        return max(TASKS_A_THREAD * max(threads, 1) - len(self._units), 0)

    def submit(self, unit: Unit) -> None:
        job = unit.job
        future = self._client.submit(
            run_on_cluster,
            replace(unit, job=single_threaded(unit.job)),
            key=f"georeg-{job.name}-{job.key[:12]}-{unit.attempt}",
            pure=False,
        )
        self._units[future] = unit
        self._completed.add(future)

    def results(self) -> Iterator[tuple[Unit, Record]]:
        for future in self._completed.next_batch(block=True):
            unit = self._units.pop(future)
            record = future.result() if future.status == "finished" else _not_done(unit, future)
            future.release()
            yield unit, record

    def close(self) -> None:
        """Cancel what is in flight and leave the cluster; a local one is shut down."""
        self._client.cancel(list(self._units), force=True)
        self._units.clear()
        self._client.close()
        self._close_local()

    def _close_local(self) -> None:
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None


def _not_done(unit: Unit, future: Any) -> Record:
    """The record of a task without a result: its workers died, or could not run it at all."""
    error = future.exception() if future.status == "error" else None
    if error is None or type(error).__name__ == "KilledWorker":
        return lost(unit, future.status if error is None else "several workers died of it")
    said = f"The cluster could not run it: {type(error).__name__}: {error}"
    return replace(lost(unit, ""), exit_code=EXIT_UNEXPECTED, error=said, retryable=False)


def run_on_cluster(unit: Unit) -> Record:
    """`run_unit` as a Dask task."""
    settle_worker()
    return run_unit(unit)
