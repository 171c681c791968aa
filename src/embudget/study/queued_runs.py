"""The runs that a worker takes from a store's queue: which comes next, where its data are, what is left to others."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from embudget.errors import EmbudgetError, PairsError, RemoteError, RunError
from embudget.evaluation.of_run import RunScorer
from embudget.pairs import load_pairs
from embudget.records import RunConfig
from embudget.remote import folder_or_url
from embudget.study.claims import BEAT_SECONDS, Claims
from embudget.study.execution import Orders, OutOfMemory
from embudget.study.leases import Hold
from embudget.study.listener import SweepListener
from embudget.study.queue import Place, Queued
from embudget.study.store import Store
from embudget.study.trunks import Task
from embudget.suite import find_shape
from embudget.training.mirror import Mirror, checkpoints_at
from embudget.training.resources import Resources

LOG = logging.getLogger(__name__)


class QueuedRuns(Claims):
    """The runs of a queue, for one worker.

    Args:
        store: has the queue, and takes the records.
        listener: told of what becomes of the runs.
        name: of the worker, for people; by default its host and process.
        device_bytes: memory of its device.
        neighbours: runs that it trains at the same time.
        pairs: the folder of the pairs on this machine or their URL, where it is another one than the queue says.
        checkpoints: likewise, of checkpoints.
    """

    def __init__(
        self,
        store: Store,
        listener: SweepListener,
        *,
        name: str | None,
        device_bytes: float,
        neighbours: int = 1,
        pairs: Path | str | None = None,
        checkpoints: Path | str | None = None,
    ) -> None:
        super().__init__(store, listener, name, counts=True)
        self._queue = store.queue()
        self._device_bytes, self._neighbours = device_bytes, neighbours
        self._pairs, self._checkpoints = pairs, checkpoints
        self._resources: dict[str, Resources] = {}
        """By the id of a place whose pairs were found."""
        self._folders: dict[str, Path] = {}
        """Likewise: where they are on this machine."""
        self._kept: dict[str, tuple[Path | None, Mirror | None]] = {}
        """By the id of a place: the folder of its checkpoints here, and that at its URL."""
        self._from: dict[str, Queued] = {}
        """The id of each run that was taken -> the task that it came with."""
        self._unusable: dict[str, PairsError | RemoteError] = {}
        """Why places cannot be used on this machine, by their ids."""
        self._lacking: dict[str, RunError] = {}
        """Why models cannot be used on this machine, by their names."""
        self._any = self._told = False
        self._next_look = 0.0

    def next_task(self) -> Task | None:
        """The longest task that is free, or None: nothing is left but what others train or need more memory for.

        Raises:
            PairsError, RemoteError: the pairs of no run are on this machine.
            RunError: the model of no run is.
        """
        while True:
            if self._leases.holds_any and time.monotonic() < self._next_look:
                return None
            came, task = self._leases.claim_first(self._pick, self._newest_step)
            if not task:
                came, task = self._take_over()
            if not task:
                if self._is_over():
                    return None
            elif came is Hold.OURS:
                if ready := self._ready(task):
                    self._any, self._told = True, False
                    return ready
            elif came is Hold.RECORDED:
                self._queue.forget([task[0].id])

    def _is_over(self) -> bool:
        """Whether nothing can be had now; where a holder of runs may have ended, wait a little to see whether it has.

        Where a driver has promised more runs, as `spend` does between its rounds, wait for them; but not while runs are
        queued that need another machine: whoever hires one has room for it only once this worker is gone.

        Raises:
            PairsError, RemoteError, RunError: there was nothing at all to do, since pairs or models are missing here.
        """
        if self._leases.holds_any:
            self._next_look = time.monotonic() + BEAT_SECONDS
            return True
        missing = [*self._unusable.values(), *self._lacking.values()]
        if self._may_become_free() or self._more_will_come(missing):
            if not self._told:
                self._told = True
                self._listener.waiting()
            self._stop.wait(min(3.0, self._leases.seconds / 40))
            return False
        if missing and not self._any:
            raise missing[0]
        return True

    def orders(self, task: Task) -> Orders:
        """As the place says that was queued with it."""
        queued = self._from[task[0].id]
        place = self._queue.place(queued.place)
        out = None if queued.out is None else folder_or_url(queued.out)
        if queued.place not in self._resources:
            self._resources[queued.place] = self._resources_at(place)
        return Orders(self._folders[queued.place], self._resources[queued.place], out, place.keep)

    def _pick(self, connection: Connection) -> Task:
        queued = self._queue.pick(
            connection, self._leases.held, self._device_bytes, tuple(self._unusable), tuple(self._lacking)
        )
        return () if queued is None else self._remembered(queued)

    def _remembered(self, queued: Queued) -> Task:
        self._from |= dict.fromkeys((config.id for config in queued.runs), queued)
        return queued.runs

    def _take_over(self) -> tuple[Hold, Task]:
        """Lease a run whose worker is known to be gone, though its lease was not let go."""
        for run, seen in self._leases.of_others().items():
            gone = seen.hold is None and not seen.let_go
            if gone and (queued := self._usable(run)) is not None:
                task = self._remembered(queued)
                if (came := self._leases.claim(task[0], self._newest_step)) in (Hold.OURS, Hold.RECORDED):
                    return came, task
        return Hold.HELD, ()

    def _may_become_free(self) -> bool:
        """Whether a queued run is leased by somebody who may have ended."""
        unsure = [run for run, seen in self._leases.of_others().items() if seen.hold is not Hold.HELD]
        return any(self._usable(run) is not None for run in unsure)

    def _more_will_come(self, missing: Sequence[EmbudgetError]) -> bool:
        return not missing and self._leases.more_to_come() and not self._queue.lacking()

    def _usable(self, run: str) -> Queued | None:
        """The task of a queued run that this machine can train, as far as is known."""
        queued = self._queue.task_of(run, self._device_bytes)
        if queued is None or queued.place in self._unusable or queued.runs[0].model in self._lacking:
            return None
        return queued

    def _ready(self, task: Task) -> Task:
        """What of a task is to be trained now: nothing where its first run is given up, or what it needs is not here.

        The runs of an older study may wait in the queue too, whose pairs nobody has any more. They stay there, and so
        do those of a model that this machine lacks: another worker may have it.
        """
        first = task[0]
        self._follow(task)
        try:
            self.orders(task)
        except (PairsError, RemoteError) as error:
            LOG.warning("left to others: %s", error)
            self._unusable[self._from[first.id].place] = error
            return self._left(first)
        try:
            find_shape(first.model)
        except EmbudgetError as error:
            lacks = RunError(f"this machine lacks the model of the run {first.id}: {error}")
            LOG.warning("left to others: %s", lacks)
            self._lacking[first.model] = lacks
            return self._left(first)
        return task if self._may_begin(first) else ()

    def _left(self, config: RunConfig) -> Task:
        """Leave the task of a run that we hold to others."""
        self._following.pop(config.id, None)
        self._leases.release(config)
        return ()

    def _wait_again(self, task: Task) -> None:
        """It is in the queue still."""

    def _too_large(self, outcome: OutOfMemory) -> None:
        """Leave the task to a worker whose device has more memory."""
        first = outcome.runs[0]
        self._queue.too_small([config.id for config in outcome.runs], self._device_bytes)
        self._left(first)
        self._listener.too_large(first, outcome.reason, self._device_bytes)

    def _newest_step(self, config: RunConfig) -> int:
        return self._step_in(*self._kept_at(self._queue.place(self._from[config.id].place)), config)

    def _kept_at(self, place: Place) -> tuple[Path | None, Mirror | None]:
        if place.id not in self._kept:
            given = self._checkpoints or place.checkpoints
            self._kept[place.id] = (None, None) if given is None else checkpoints_at(given)
        return self._kept[place.id]

    def _resources_at(self, place: Place) -> Resources:
        """Find what a place names on this machine.

        Raises:
            PairsError: the pairs are not here, or others are in their place.
            RemoteError: they or the checkpoints are at a URL that cannot be used.
        """
        folder = self._pairs or folder_or_url(place.pairs)
        wanted = f"this worker needs the pairs {place.pairs_hash}, which the queue has in {place.pairs}"
        try:
            found = load_pairs(folder)
        except PairsError as error:
            raise PairsError(f"{wanted}: say by --pairs DIR where they are on this machine ({error})") from None
        if found.hash != place.pairs_hash:
            raise PairsError(
                f"{wanted}, but {folder} holds {found.hash}: say by --pairs DIR where they are on this machine"
            )
        self._folders[place.id] = found.folder
        checkpoints, mirror = self._kept_at(place)
        if checkpoints is not None:
            try:
                checkpoints.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                LOG.warning(
                    "cannot make %s (%s): interrupted runs start anew; --checkpoints DIR says where to keep them",
                    checkpoints, error.strerror or error,
                )  # fmt: skip
                checkpoints = mirror = None
        scorer = RunScorer(place.evaluate)
        scorer.check()
        return Resources(
            neighbours=self._neighbours,
            checkpoints=checkpoints,
            mirror=mirror,
            checkpoint_seconds=place.checkpoint_seconds,
            keep_checkpoints=True,
            score=scorer,
        )
