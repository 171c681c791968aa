"""The runs that a worker takes from a store's queue: which comes next, where its data are, what is left to others."""

import logging
import time
from pathlib import Path

from sqlalchemy import Connection

from embudget.errors import EmbudgetError, PairsError, RunError
from embudget.evaluation.of_run import RunScorer
from embudget.pairs import load_pairs
from embudget.records import RunConfig
from embudget.study.claims import BEAT_SECONDS, Claims
from embudget.study.execution import Orders, OutOfMemory
from embudget.study.leases import Hold
from embudget.study.listener import SweepListener
from embudget.study.queue import Place, Queued
from embudget.study.store import Store
from embudget.study.trunks import Task
from embudget.suite import find_shape
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
        pairs: the folder of the pairs on this machine, where it is another one than the queue says.
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
        pairs: Path | None = None,
        checkpoints: Path | None = None,
    ) -> None:
        super().__init__(store, listener, name, counts=True)
        self._queue = store.queue()
        self._device_bytes, self._neighbours = device_bytes, neighbours
        self._pairs, self._checkpoints = pairs, checkpoints
        self._resources: dict[str, Resources] = {}
        """By the id of a place whose pairs were found."""
        self._from: dict[str, Queued] = {}
        """The id of each run that was taken -> the task that it came with."""
        self._unusable: dict[str, PairsError] = {}
        """Why places cannot be used on this machine, by their ids."""
        self._any = False
        self._next_look = 0.0

    def next_task(self) -> Task | None:
        """The longest task that is free, or None: nothing is left but what others train or need more memory for.

        Raises:
            PairsError: the pairs of no run are on this machine.
            RunError: the model of a run is not.
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
                    self._any = True
                    return ready
            elif came is Hold.RECORDED:
                self._queue.forget([task[0].id])

    def _is_over(self) -> bool:
        """Whether nothing can be had now; where a holder of runs may have ended, wait a little to see whether it has.

        Raises:
            PairsError: there was nothing at all to do, since pairs are missing here.
        """
        if self._leases.holds_any:
            self._next_look = time.monotonic() + BEAT_SECONDS
            return True
        if self._may_become_free():
            self._stop.wait(min(3.0, self._leases.seconds / 40))
            return False
        if self._unusable and not self._any:
            raise next(iter(self._unusable.values()))
        return True

    def orders(self, task: Task) -> Orders:
        """As the place says that was queued with it."""
        queued = self._from[task[0].id]
        place = self._queue.place(queued.place)
        out = None if queued.out is None else Path(queued.out)
        if queued.place not in self._resources:
            self._resources[queued.place] = self._resources_at(place)
        return Orders(self._folder_of(place), self._resources[queued.place], out, place.keep)

    def _pick(self, connection: Connection) -> Task:
        queued = self._queue.pick(connection, self._leases.held(), self._device_bytes, tuple(self._unusable))
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

    def _usable(self, run: str) -> Queued | None:
        """The task of a queued run that this machine can train, as far as is known."""
        queued = self._queue.task_of(run, self._device_bytes)
        return None if queued is None or queued.place in self._unusable else queued

    def _ready(self, task: Task) -> Task:
        """What of a task is to be trained now: nothing where its first run is given up, or its pairs are not here.

        The runs of an older study may wait in the queue too, whose pairs nobody has any more. They stay there.

        Raises:
            RunError: its model is not on this machine; another worker may have it.
        """
        self._follow(task)
        try:
            self.orders(task)
        except PairsError as error:
            LOG.warning("left to others: %s", error)
            self._unusable[self._from[task[0].id].place] = error
            self._leases.release(task[0])
            return ()
        if not self._may_begin(task[0]):
            return ()
        try:
            find_shape(task[0].model)
        except EmbudgetError as error:
            raise RunError(f"this machine lacks the model of the run {task[0].id}: {error}") from None
        return task

    def _wait_again(self, task: Task) -> None:
        """It is in the queue still."""

    def _too_large(self, outcome: OutOfMemory) -> None:
        """Leave the task to a worker whose device has more memory."""
        first = outcome.runs[0]
        self._queue.too_small([config.id for config in outcome.runs], self._device_bytes)
        self._following.pop(first.id, None)
        self._leases.release(first)
        self._listener.too_large(first, outcome.reason, self._device_bytes)

    def _newest_step(self, config: RunConfig) -> int:
        return self._step_in(self._kept_at(self._queue.place(self._from[config.id].place)), config)

    def _kept_at(self, place: Place) -> Path | None:
        given = self._checkpoints or place.checkpoints
        return None if given is None else Path(given)

    def _folder_of(self, place: Place) -> Path:
        return self._pairs or Path(place.pairs)

    def _resources_at(self, place: Place) -> Resources:
        """Find what a place names on this machine.

        Raises:
            PairsError: the pairs are not here, or others are in their place.
        """
        folder = self._folder_of(place)
        wanted = f"this worker needs the pairs {place.pairs_hash}, which the queue has in {place.pairs}"
        try:
            there = load_pairs(folder).hash
        except PairsError as error:
            raise PairsError(f"{wanted}: say by --pairs DIR where they are on this machine ({error})") from None
        if there != place.pairs_hash:
            raise PairsError(f"{wanted}, but {folder} holds {there}: say by --pairs DIR where they are on this machine")
        checkpoints = self._kept_at(place)
        if checkpoints is not None:
            try:
                checkpoints.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                LOG.warning(
                    "cannot make %s (%s): interrupted runs start anew; --checkpoints DIR says where to keep them",
                    checkpoints, error.strerror or error,
                )  # fmt: skip
                checkpoints = None
        scorer = RunScorer(place.evaluate)
        scorer.check()
        return Resources(
            neighbours=self._neighbours,
            checkpoints=checkpoints,
            checkpoint_seconds=place.checkpoint_seconds,
            keep_checkpoints=True,
            score=scorer,
        )
