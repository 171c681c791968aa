"""A worker: it takes runs from a store's queue, trains them and writes their records, until no run is left for it.

Any number of them, on any machines that reach the store, share its runs. Each run is trained in a child process, so
that a run that crashes costs the worker nothing but that process; its loss counts, with its reason.
"""

from contextlib import closing, nullcontext
from pathlib import Path

from embudget.errors import ConfigError
from embudget.remote import folder_or_url
from embudget.study.executors.local import LocalProcesses
from embudget.study.listener import SweepListener
from embudget.study.machine import least_device_bytes
from embudget.study.queued_runs import QueuedRuns
from embudget.study.store import Store

STORE = "EMBUDGET_STORE"
"""Environment variable with a store's address, which may hold a password and so stands on no command line."""


def work(
    store: str | Path | Store,
    *,
    workers: int = 1,
    name: str | None = None,
    pairs: str | Path | None = None,
    checkpoints: str | Path | None = None,
    listener: SweepListener | None = None,
) -> None:
    """Train the queued runs of a store until none is left, but those that others train or that need more memory.

    Where a driver has promised further runs, as one of `embudget spend` does between its rounds, it waits for them.

    A signal (SIGTERM, as of a preempted node, or Ctrl-C) has the runs under way write checkpoints; their leases are let
    go, so that others go on with them at once.

    Args:
        store: where the queue is: a SQLite file, a SQLAlchemy URL or an open store.
        workers: runs at a time, each with its GPU or its share of the cores.
        name: of this worker, shown by `embudget watch`; by default its host and process.
        pairs: folder or URL of the pairs, as this machine sees it, where it is another one than the queue says.
        checkpoints: likewise, of the checkpoints of interrupted runs.
        listener: told of the runs.

    Raises:
        ConfigError: fewer than one run at a time.
        PairsError: the pairs of a run are not on this machine.
        RunError: its model is not.
        StoreError: the store cannot be used, or was in trouble for longer than ten minutes.

    Example:
        >>> work("postgresql://me:secret@host/study", name="node-7")
    """
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    with nullcontext(store) if isinstance(store, Store) else Store(store, create=False) as opened:
        runs = QueuedRuns(
            opened,
            listener or SweepListener(),
            name=name,
            device_bytes=least_device_bytes(),
            neighbours=workers,
            pairs=None if pairs is None else folder_or_url(pairs),
            checkpoints=None if checkpoints is None else folder_or_url(checkpoints),
        )
        executor = LocalProcesses(workers)
        # closed before the leases are let go, so that the runs under way are saved by then
        with runs, closing(executor.run(runs.next_task, runs.orders, runs.progress)) as outcomes:
            for outcome in outcomes:
                runs.settle(outcome)
