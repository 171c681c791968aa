"""The runs of one sweep: which comes next, which it holds, what becomes of those whose worker was lost.

Only the run under way is claimed, not its whole task. Another sweep that meets it leaves the whole task alone.
"""

import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from embudget.errors import StoreError
from embudget.records import RunConfig, RunRecord
from embudget.study.execution import Lost, Outcome
from embudget.study.kept import store_record
from embudget.study.leases import Hold
from embudget.study.listener import SweepListener
from embudget.study.store import Store
from embudget.study.trunks import Task, tasks
from embudget.training.state import trunk_name

LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""A run is recorded as failed once its worker has been lost this often without progress in between.

A newer checkpoint of the run or of its trunk is progress.
"""


MoreRuns = Callable[[], Sequence[RunConfig]]
"""Gives further runs without a record once all that came before have theirs; none at the end."""


class Claims:
    """The missing runs of a sweep: claimed when they are begun, renewed meanwhile, let go at the end.

    Args:
        store: where their records go.
        missing: runs without a record.
        listener: told of what becomes of them.
        checkpoints: the folder for what interrupted runs go on from.
        more: asked for further runs when no run is left and none under way, as often as it gives any.
        keep: whether the checkpoints of runs that have their records stay, for whoever goes on from them.
    """

    def __init__(
        self,
        store: Store,
        missing: Sequence[RunConfig],
        listener: SweepListener,
        checkpoints: Path | None,
        more: MoreRuns = tuple,
        keep: bool = False,
    ) -> None:
        self._store = store
        self._leases = store.leases()
        self._checkpoints = checkpoints
        self._waiting = deque(tasks(missing))
        self._more, self._keep = more, keep
        self._elsewhere: list[tuple[Task, Hold]] = []
        """Tasks that other sweeps are on."""
        self._listener = listener
        self._following: dict[str, Task] = {}
        """The runs that come after a run under way in its task, by its id."""
        self._next_look = 0.0
        self._told = False
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Claims":
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stop.set()
        self._heart.join(timeout=10.0)  # it may be waiting for the database
        with suppress(StoreError):  # the leases end by themselves, and what matters is written
            self._leases.close()

    def next_task(self) -> Task | None:
        """The next task with a run to be had, or the rest of one whose worker was lost; None if there is none.

        Where nothing is left but what sweeps hold that may have ended, it waits until that is known.
        """
        while True:
            while self._waiting:
                if task := self._begin(self._waiting.popleft()):
                    return task
            if self._look_again():
                continue
            if self._leases.holds_any or self._elsewhere or not (more := self._more()):
                return None
            self._waiting.extend(tasks(more))

    def settle(self, outcome: Outcome) -> None:
        """Write the record of a finished run; queue again what is left of a lost task, or give up its first run.

        Raises:
            StoreError: the record could not be stored; it is kept beside the checkpoints.
        """
        if isinstance(outcome, Lost):
            self._lost(outcome)
            return
        rest = self._following.pop(outcome.id)
        losses = self._leases.losses(outcome.config)
        if rest:  # claimed before the record is there, so that no other sweep finds the trunk free
            self._claim(rest)
        record = outcome.model_copy(update={"attempts": losses.total + 1})
        store_record(self._store, record, self._checkpoints)
        self._leases.ended(record.id)
        ended = not rest and record.status != "failed"  # a failed run may be done again from its checkpoints
        if ended and not self._keep and self._checkpoints is not None:
            shutil.rmtree(self._checkpoints / checkpoints_name(record.config), ignore_errors=True)
        self._listener.finished(record)

    def _begin(self, task: Task) -> Task:
        """Hold the first run of a task that no one else has; return it and those after it."""
        while task:
            came = self._claim(task)
            if came is Hold.OURS:
                if self._leases.losses(task[0]).stuck < MAX_ATTEMPTS:
                    return task
                self._give_up(task[0], "its process was lost each time")
            elif came is Hold.RECORDED:
                self._listener.held(task[0])
            else:
                self._elsewhere.append((task, came))
                return ()
            task = task[1:]
        return ()

    def _claim(self, task: Task) -> Hold:
        self._following[task[0].id] = task[1:]
        return self._leases.claim(task[0])

    def _look_again(self) -> bool:
        """Queue the tasks that others hold once more, if it is time to see what became of them."""
        now, quarter = time.monotonic(), self._leases.seconds / 4
        if not self._elsewhere:
            return False
        if self._leases.holds_any:  # workers of ours are busy, and one is idle
            if now < self._next_look:
                return False
        elif all(came is Hold.HELD for _, came in self._elsewhere):
            for task, _ in self._elsewhere:
                for config in task:
                    self._listener.held(config)
            self._elsewhere.clear()
            return False
        else:
            if not self._told:
                self._told = True
                self._listener.watching(sum(len(task) for task, _ in self._elsewhere), self._leases.seconds)
            self._stop.wait(min(3.0, quarter / 10))
        self._next_look = now + quarter
        self._waiting.extend(task for task, _ in self._elsewhere)
        self._elsewhere.clear()
        return True

    def _lost(self, lost: Lost) -> None:
        first, rest = lost.runs[0], lost.runs[1:]
        losses = self._leases.lost(first, self._newest_step(first))
        self._listener.lost(first, lost.reason, losses.total)
        if losses.stuck >= MAX_ATTEMPTS:
            self._give_up(first, lost.reason)
        else:
            self._leases.release(first)
            rest = lost.runs
        if rest:
            self._waiting.append(rest)

    def _give_up(self, config: RunConfig, reason: str) -> None:
        attempts = self._leases.losses(config).total
        record = RunRecord(config=config, status="failed", attempts=attempts, error=f"{reason} ({attempts} attempts)")
        store_record(self._store, record, self._checkpoints)
        self._leases.ended(config.id)
        self._listener.finished(record)

    def _newest_step(self, config: RunConfig) -> int:
        """The step of the newest checkpoint that a run would go on from, -1 if there is none."""
        folder = None if self._checkpoints is None else self._checkpoints / checkpoints_name(config)
        names = [] if folder is None else [path.name.partition("-")[2] for path in folder.glob("step-*")]
        return max((int(name) for name in names if name.isdigit()), default=-1)

    def _beat(self) -> None:
        while not self._stop.wait(self._leases.seconds / 4):
            with suppress(StoreError):  # the next one may pass before the lease ends
                for run in self._leases.renew(self._stop):
                    LOG.warning(
                        "another sweep has taken over the run %s, since this one did not renew its lease in time; the "
                        "record that comes first counts", run
                    )  # fmt: skip


def checkpoints_name(config: RunConfig) -> str:
    """The folder of a run's checkpoints, within that of the study."""
    return trunk_name(config) if config.schedule == "wsd" else config.id
