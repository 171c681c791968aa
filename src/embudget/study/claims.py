"""The runs that a sweep or a worker has taken: how they are held, and what becomes of those whose process was lost.

Only the run under way is claimed, not its whole task. Another that meets it leaves the whole task alone. Which run
comes next is decided elsewhere: `embudget.study.own_runs` for a sweep, `embudget.study.queued_runs` for a worker.
"""

import logging
import shutil
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from embudget.errors import StoreError
from embudget.records import RunConfig, RunRecord
from embudget.study.execution import Lost, Orders, Outcome, OutOfMemory
from embudget.study.kept import store_record
from embudget.study.leases import Hold
from embudget.study.listener import SweepListener
from embudget.study.store import Store
from embudget.study.trunks import Task
from embudget.training.mirror import Mirror
from embudget.training.state import trunk_name

LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""A run is recorded as failed once its worker has been lost this often without progress in between.

A newer checkpoint of the run or of its trunk is progress.
"""

BEAT_SECONDS = 5.0
"""Time between two renewals at most, by which others see how far a run is."""


class Claims(ABC):
    """Runs that are claimed when they are begun, renewed meanwhile, and let go at the end.

    Args:
        store: where their records go.
        listener: told of what becomes of them.
        name: of who claims them, for people.
        counts: whether its own end, if it cannot let go, counts as a loss of the run under way.
    """

    def __init__(self, store: Store, listener: SweepListener, name: str | None = None, counts: bool = False) -> None:
        self._store, self._listener = store, listener
        self._leases = store.leases(name, counts)
        self._since: dict[str, float] = {}
        """When each run under way was claimed, by a clock that nobody sets."""
        self._following: dict[str, Task] = {}
        """The runs that come after a run under way in its task, by its id."""
        self._stop, self._due = threading.Event(), threading.Event()
        self._has_trained = False
        """Whether any run has trained a step, which tells others at once that this worker can."""
        self._heart = threading.Thread(target=self._beat, daemon=True)

    @abstractmethod
    def next_task(self) -> Task | None:
        """The next task with a run to be had, or the rest of one whose process was lost; None if there is none.

        Where nothing is left but what others hold that may have ended, it waits until that is known.
        """

    @abstractmethod
    def orders(self, task: Task) -> Orders:
        """How a task that came is to be carried out."""

    @abstractmethod
    def _too_large(self, outcome: OutOfMemory) -> None:
        """Decide what becomes of a task for which this machine has not enough memory."""

    @abstractmethod
    def _wait_again(self, task: Task) -> None:
        """Have what is left of a task come again: its process was lost, and nobody holds it now."""

    def __enter__(self) -> "Claims":
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stop.set()
        self._due.set()
        self._heart.join(timeout=10.0)  # it may be waiting for the database
        with suppress(StoreError):  # the leases end by themselves, and what matters is written
            self._leases.close()

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """Tell of a step of a run; the next renewal of its lease tells others, at once where it is our first step."""
        self._leases.step(config, share, loss)
        if not self._has_trained:
            self._has_trained = True
            self._due.set()
        self._listener.progress(config, share, loss)

    def settle(self, outcome: Outcome) -> None:
        """Write the record of a finished run; queue again what is left of a lost task, or give up its first run.

        Raises:
            StoreError: the record could not be stored; it is kept beside the checkpoints.
        """
        if isinstance(outcome, Lost):
            self._lost(outcome)
            return
        if isinstance(outcome, OutOfMemory):
            self._too_large(outcome)
            return
        orders = self.orders((outcome.config,))
        checkpoints, mirror = orders.resources.checkpoints, orders.resources.mirror
        rest = self._following.pop(outcome.id)
        losses = self._leases.losses(outcome.config)
        if rest:  # claimed before the record is there, so that no other sweep finds the trunk free
            self._claim(rest)
        record = outcome.model_copy(update={"attempts": losses.total + 1})
        since = self._since.pop(record.id, None)
        took = None if since is None else time.monotonic() - since
        store_record(self._store, record, checkpoints, mirror, took)
        self._leases.ended(record.id)
        ended = not rest and record.status != "failed"  # a failed run may be done again from its checkpoints
        if ended and not orders.keep and checkpoints is not None:
            shutil.rmtree(checkpoints / checkpoints_name(record.config), ignore_errors=True)
            if mirror is not None:
                mirror.remove(checkpoints_name(record.config))
        self._listener.finished(record)

    def _follow(self, task: Task) -> None:
        """Remember what comes after the first run of a task, and when that began."""
        self._following[task[0].id] = task[1:]
        self._since[task[0].id] = time.monotonic()

    def _claim(self, task: Task) -> Hold:
        self._follow(task)
        return self._leases.claim(task[0], self._newest_step)

    def _may_begin(self, config: RunConfig) -> bool:
        """Whether a run that we hold is worth another attempt; one that is not gets its record."""
        losses = self._leases.losses(config)
        if losses.stuck < MAX_ATTEMPTS:
            return True
        self._give_up(config, losses.reason or "its process was lost each time")
        return False

    def _lost(self, lost: Lost) -> None:
        first, rest = lost.runs[0], lost.runs[1:]
        losses = self._leases.lost(first, self._newest_step(first), lost.reason)
        self._listener.lost(first, lost.reason, losses.total)
        if losses.stuck >= MAX_ATTEMPTS:
            self._give_up(first, lost.reason)
        else:
            self._leases.release(first)
            rest = lost.runs
        if rest:
            self._wait_again(rest)

    def _give_up(self, config: RunConfig, reason: str) -> None:
        attempts = self._leases.losses(config).total
        record = RunRecord(config=config, status="failed", attempts=attempts, error=f"{reason} ({attempts} attempts)")
        resources = self.orders((config,)).resources
        store_record(self._store, record, resources.checkpoints, resources.mirror)
        self._leases.ended(config.id)
        self._listener.finished(record)

    def _newest_step(self, config: RunConfig) -> int:
        """The step of the newest checkpoint that a run would go on from, -1 if there is none."""
        resources = self.orders((config,)).resources
        return self._step_in(resources.checkpoints, resources.mirror, config)

    @staticmethod
    def _step_in(checkpoints: Path | None, mirror: Mirror | None, config: RunConfig) -> int:
        elsewhere = -1 if mirror is None else mirror.newest_step(checkpoints_name(config))
        folder = None if checkpoints is None else checkpoints / checkpoints_name(config)
        names = [] if folder is None else [path.name.partition("-")[2] for path in folder.glob("step-*")]
        return max([elsewhere, *(int(name) for name in names if name.isdigit())])

    def _beat(self) -> None:
        while True:
            self._due.wait(min(BEAT_SECONDS, self._leases.seconds / 4))
            if self._stop.is_set():
                return
            self._due.clear()
            with suppress(StoreError):  # the next one may pass before the lease ends
                for run in self._leases.renew(self._stop):
                    LOG.warning(
                        "another has taken over the run %s, since its lease was not renewed in time; the record that "
                        "comes first counts", run
                    )  # fmt: skip


def checkpoints_name(config: RunConfig) -> str:
    """The folder of a run's checkpoints, within that of the study."""
    return trunk_name(config) if config.schedule == "wsd" else config.id
