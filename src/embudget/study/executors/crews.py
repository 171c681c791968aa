"""Driving a crew: the runs are queued, workers are hired as long as runs are free, and all is told that they write.

The workers do the rest by themselves. So the driver may be killed and started again, or be there twice: each waits for
the records of its runs, whoever trains them. What only a driver can decide is when to stop asking for a larger device.
"""

import logging
import time
from collections.abc import Mapping, Sequence

from embudget.errors import ConfigError, RunError
from embudget.memory import written
from embudget.records import RunConfig, RunRecord
from embudget.study.executors.base import Crew
from embudget.study.executors.promise import Promise
from embudget.study.holds import Seen
from embudget.study.listener import SweepListener
from embudget.study.ordering import LongestFirst
from embudget.study.queue import Place
from embudget.study.store import Store
from embudget.training.interrupt import deferred, interruptible

LOG = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Time between two looks at the store."""
ALL_IDS_SECONDS = 30.0
"""Time between two comparisons with all ids of the queue, at least. In between only new records are asked for, since
of 100,000 runs these ids take a third of a second."""
LATE_SECONDS = 10.0
"""Records become visible when they are committed, at most so long after the time that they bear; others are found by
all ids of the queue."""
MOST_FAILURES = 3
"""Workers in a row that end before they have trained a step; the sweep then ends with their reason."""
MOST_SEARCHES = 2
"""How often workers are hired for runs that need more memory than any worker had, before they are given up."""
LEAVE_SECONDS = 10.0
"""Workers that find no run left are gone within this time; what is there then waits for a machine."""
HIRE_AGAIN_SECONDS = 15.0
"""Time after which an engine that refused is asked again; the first refusal ends the sweep."""


class CrewDriver:
    """Has a crew train runs, and waits for their records.

    Args:
        crew: hires the workers.
        store: has the queue that they take runs from.
        listener: told of what becomes of the runs.
        workers: how many of them there may be at a time.
        order: tells the queue anew what runs are expected to take, as that becomes known.
    """

    def __init__(
        self,
        crew: Crew,
        store: Store,
        listener: SweepListener,
        workers: int,
        order: LongestFirst | None = None,
    ) -> None:
        self._crew, self._store, self._listener, self._workers = crew, store, listener, workers
        self._order = order
        self._queue, self._leases = store.queue(), store.leases()
        self._waiting: dict[str, RunConfig] = {}
        self._losses: dict[str, int] = {}
        self._trained: set[str] = set()
        """The names of workers that have trained a step."""
        self._holders: set[str] = set()
        """The names of workers that hold a run now, or had not let go of it when they were lost."""
        self._failures: list[str] = []
        self._searches = 0
        self._lacking: dict[str, float] = {}
        self._last_written, self._next_ids = 0.0, 0.0
        self._hired, self._next_hire = False, 0.0
        self._promise = Promise(store)

    def train(
        self,
        runs: Sequence[RunConfig],
        place: Place,
        seconds: Mapping[str, float] | None = None,
        out: Mapping[str, str] | None = None,
        more: bool = False,
    ) -> None:
        """Queue runs and wait until all of them have their records.

        Ended by a signal, it dismisses the crew, whose workers save what they have trained.

        Args:
            runs: the runs.
            place: where their data are.
            seconds: expected of each run, by its id.
            out: folder or URL for the model of a run, by its id.
            more: whether further runs will follow. Workers then stay until `end`, or until the driver is known to be
                gone, and the next runs find them there; else those that find no run left leave.

        Raises:
            ConfigError: the engine cannot be reached, or refuses.
            RunError: three workers in a row failed at once.
            StoreError: the store cannot be used.
        """
        self._waiting = {config.id: config for config in runs}
        self._next_ids = 0.0
        with interruptible():
            try:
                self._queue.add(runs, place, seconds, out)
                if more:
                    self._promise.make()
                else:
                    self.close()
                while True:
                    if gone := self._hear_records():
                        self._queue.add(gone, place, seconds, out)
                    if not self._waiting:
                        return
                    held = self._hear_leases()
                    self._hear_failures()
                    self._hire(held)
                    self._search_memory(held)
                    if self._order is not None:
                        self._order.again(self._waiting.values())
                    time.sleep(POLL_SECONDS)
            except BaseException:
                with deferred():
                    self._crew.dismiss()
                raise

    def end(self) -> None:
        """Let workers at work leave by themselves, and dismiss those that wait for a machine; none if runs are left."""
        self.close()
        until = time.monotonic() + LEAVE_SECONDS
        while not self._queue.count() and self._crew.waiting_or_working():
            if time.monotonic() > until:
                self._crew.dismiss()
                return
            time.sleep(min(0.5, POLL_SECONDS))

    def close(self) -> None:
        """Promise no more runs: workers that are idle leave."""
        self._promise.end()

    def _hear_records(self) -> list[RunConfig]:
        """Tell of runs that have their records; return those that are known to have left the queue without one."""
        now = time.monotonic()
        if now < self._next_ids:
            written = self._store.written_since(self._last_written - LATE_SECONDS)
            left = self._waiting.keys() & written.keys()
            self._last_written = max(written.values(), default=self._last_written)
        else:
            left = self._waiting.keys() - self._queue.ids()
            self._next_ids = time.monotonic() + max(ALL_IDS_SECONDS, 50 * (time.monotonic() - now))
        for record in self._store.records_of(left):
            del self._waiting[record.id]
            self._failures.clear()
            self._listener.finished(record)
        return [self._waiting[run] for run in left & self._waiting.keys()]

    def _hear_leases(self) -> dict[str, Seen]:
        """Tell how far runs are and which lost their workers; return the leases that are held."""
        held: dict[str, Seen] = {}
        leases = self._leases.of_others()
        self._holders = {seen.worker for seen in leases.values() if not seen.let_go}
        for run, seen in leases.items():
            if seen.hold is not None:
                held[run] = seen
                if seen.share is not None:
                    self._trained.add(seen.worker)
            if (config := self._waiting.get(run)) is None:
                continue
            if seen.losses > self._losses.get(run, 0):
                self._losses[run] = seen.losses
                self._listener.lost(config, seen.reason, seen.losses)
            if seen.hold is not None and seen.share is not None and seen.loss is not None:
                self._listener.progress(config, seen.share, seen.loss)
        return held

    def _hear_failures(self) -> None:
        """Count workers that failed before they trained anything: what ails all of them ends the sweep.

        One that was lost with a run is counted by that run's losses, since the run may have been the cause.
        """
        for name, reason in self._crew.gone():
            if not reason:
                continue
            LOG.warning("the worker %s ended: %s", name, reason)
            if any(name in worker for worker in self._trained):
                self._failures.clear()
                continue
            if any(name in worker for worker in self._holders):
                continue
            self._failures.append(reason)
            if len(self._failures) >= MOST_FAILURES:
                raise RunError(
                    f"{MOST_FAILURES} workers in a row ended before they trained anything, the last: {reason}"
                )

    def _hire(self, held: Mapping[str, Seen]) -> None:
        """Have a worker for each task, as far as there may be so many."""
        if time.monotonic() < self._next_hire:
            return
        idle = self._workers - self._crew.waiting_or_working()
        if idle <= 0:
            return  # tasks are counted by looking at the whole queue
        wanted = min(self._workers, self._queue.free_tasks()) - self._workers + idle
        if wanted > 0 and (free := self._queue.free_tasks(held)):
            self._ask_for(min(wanted, free))

    def _ask_for(self, count: int) -> None:
        try:
            self._crew.hire(count)
        except ConfigError as error:
            if not self._hired:
                raise
            LOG.warning("no worker could be hired: %s; asked again in %.0f s", error, HIRE_AGAIN_SECONDS)
            self._next_hire = time.monotonic() + HIRE_AGAIN_SECONDS
        self._hired = True

    def _search_memory(self, held: Mapping[str, Seen]) -> None:
        """Look for larger devices for runs that were out of memory; give them up where none comes."""
        if held or self._crew.waiting_or_working():
            return  # a worker that lives may have a larger device
        lacking = {one.config.id: one for one in self._queue.lacking() if one.config.id in self._waiting}
        sizes = {run: one.device_bytes for run, one in lacking.items()}
        if sizes != self._lacking:
            self._lacking, self._searches = sizes, 0
        if not lacking or self._queue.free_tasks():
            return
        if self._searches < MOST_SEARCHES:
            self._searches += 1
            self._ask_for(min(self._workers, len(lacking)))
            return
        for one in lacking.values():
            most = written(one.device_bytes)
            reason = f"out of memory on every worker that tried it; the largest device has {most}"
            self._store.add(RunRecord(config=one.config, status="failed", error=reason))
