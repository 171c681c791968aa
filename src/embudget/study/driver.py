"""Running a study: the driver hands out the runs that are missing and writes each record as it comes."""

import logging
import shutil
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType

from embudget.errors import ConfigError, StoreError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study.executor import Executor, InProcess, LocalProcesses, Lost, Outcome
from embudget.study.planning import Plan, plan
from embudget.study.spec import Study
from embudget.study.store import LEASE_SECONDS, Store
from embudget.study.trunks import Task, tasks
from embudget.training.resources import Resources
from embudget.training.state import trunk_name

LOG = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
"""A run is recorded as failed once its process has been lost this often."""


class SweepListener:
    """Is told how a sweep goes on; this base class ignores it."""

    def planned(self, plan: Plan, done: Sequence[RunRecord]) -> None:
        """The grid is sized; these of its runs have records already."""

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        """A step of a run: the share of its budget spent, its training loss in nats.

        A run that branches off a trunk starts with the share that the trunk has spent.
        """

    def finished(self, record: RunRecord) -> None:
        """A run has its record."""

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        """The process of a run was lost; it is done again while attempts are left."""

    def held(self, config: RunConfig) -> None:
        """Another sweep on the same store has this run or its trunk; its record is left to that one."""


def sweep(
    study: Study,
    store: str | Path | Store,
    workers: int = 1,
    listener: SweepListener | None = None,
    retry_failed: bool = False,
    checkpoints: str | Path | None = None,
) -> list[RunRecord]:
    """Do the runs of a study that have no record yet.

    Args:
        study: the grid.
        store: where records are kept: a SQLite file, a SQLAlchemy URL or an open store.
        workers: local processes; 1 trains in this process.
        listener: told of the progress.
        retry_failed: whether to do the study's failed runs again. Those that diverged are not, since they would do so
            again.
        checkpoints: folder for what interrupted runs go on from, removed when it is empty; by default beside a SQLite
            file, `Store.checkpoints`. With another database and no folder interrupted runs start anew.

    Returns:
        The records of all runs of the study, in the order of its grid; without those that another sweep on the same
        store still holds.

    Raises:
        ConfigError: fewer than one worker, a grid of which no run is worth doing, or a folder that cannot be made.
        StoreError, PairsError, ModelError, MethodError: what the study names cannot be used.

    Example:
        >>> records = eb.sweep(eb.Study.from_yaml("study.yaml"), store="study.db")
        >>> [record.config.id for record in records if record.status == "failed"]
        []
    """
    if workers < 1:
        raise ConfigError(f"workers must be >= 1, got {workers}")
    listener = listener or SweepListener()
    pairs = load_pairs(study.pairs)
    with nullcontext(store) if isinstance(store, Store) else Store(store) as opened:
        if retry_failed:
            opened.forget_failed(study.configs(pairs.hash))
        resources = Resources(
            checkpoints=opened.checkpoints if checkpoints is None else _made(Path(checkpoints)),
            keep_checkpoints=True,
        )
        if resources.checkpoints is None:
            LOG.warning("no checkpoints are kept: the store is no SQLite file, and no folder for checkpoints was given")
        return _drive(study, pairs, opened, workers, listener, resources)


def _drive(
    study: Study, pairs: Pairs, store: Store, workers: int, listener: SweepListener, resources: Resources
) -> list[RunRecord]:
    there = {record.id: record for record in store.records()}
    planned = plan(study, pairs, list(there.values()))
    for name, reason in planned.refused.items():
        LOG.warning("left out: %s: %s", name, reason)
    if not planned.runs:
        raise ConfigError(f"no run of the study is worth doing: {planned.left_out[0].reason}")
    configs = [run.config for run in planned.runs]
    listener.planned(planned, [there[config.id] for config in configs if config.id in there])
    executor: Executor = (
        InProcess(study.pairs, resources) if workers == 1 else LocalProcesses(study.pairs, workers, resources)
    )
    missing = [config for config in configs if config.id not in there]
    with _Leases(store, missing, listener, resources.checkpoints) as leases:
        for outcome in executor.run(leases.next_task, listener.progress):
            leases.settle(outcome)
    there = {record.id: record for record in store.records()}
    if resources.checkpoints is not None:
        _tidy(resources.checkpoints, configs, there)
    return [there[config.id] for config in configs if config.id in there]


def _made(checkpoints: Path) -> Path:
    """Make the folder before anything is trained, so that its failure does not come after hours of training."""
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"checkpoints must be a folder that can be made, got {checkpoints}: {reason}") from None
    return checkpoints


def _tidy(checkpoints: Path, configs: Sequence[RunConfig], there: Mapping[str, RunRecord]) -> None:
    """Remove the checkpoints that a killed sweep left of runs with records, and the folder if it is empty."""
    ended = {config.id for config in configs if config.id in there and there[config.id].status != "failed"}
    # several runs share the checkpoints of a trunk: they stay while one of them needs them
    wanted = {_checkpoints_name(config) for config in configs if config.id not in ended}
    for name in {_checkpoints_name(config) for config in configs} - wanted:
        shutil.rmtree(checkpoints / name, ignore_errors=True)
    with suppress(OSError):  # there are none, or another sweep has some
        checkpoints.rmdir()


def _checkpoints_name(config: RunConfig) -> str:
    """The folder of a run's checkpoints, or of its trunk's."""
    return trunk_name(config) if config.schedule == "wsd" else config.id


class _Leases:
    """The runs that this sweep holds: claimed when they are begun, renewed meanwhile, let go at the end.

    Only the run under way is claimed, not its whole task, so that the attempts of the others do not count; another
    sweep that meets it leaves the whole task alone.
    """

    def __init__(
        self, store: Store, missing: Sequence[RunConfig], listener: SweepListener, checkpoints: Path | None
    ) -> None:
        self.store = store
        self.checkpoints = checkpoints
        self.waiting = deque(tasks(missing))
        self.listener = listener
        self.following: dict[str, Task] = {}
        """The runs that come after a run under way in its task, by its id."""
        self.attempts: dict[str, int] = {}
        self.held: dict[str, RunConfig] = {}
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "_Leases":
        self._heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stop.set()
        self._heart.join()
        for config in self.held.values():
            # an interruption by the user is not the run's fault
            self.store.release(config, forget=kind is not None)

    def next_task(self) -> Task | None:
        """The next task with a run to be had, or the rest of one whose process was lost; None if there is none."""
        while self.waiting:
            if task := self._begin(self.waiting.popleft()):
                return task
        return None

    def _begin(self, task: Task) -> Task:
        """Claim the first run of a task that no one else has; return it and those after it."""
        while task:
            first, rest = task[0], task[1:]
            if self._claim(first, rest):
                if self.attempts[first.id] <= MAX_ATTEMPTS:
                    return task
                self.listener.finished(self._give_up(first, "its process was lost each time"))
            elif first.id in self.store.ids():
                self.listener.held(first)
            else:
                for config in task:
                    self.listener.held(config)
                return ()
            task = rest
        return ()

    def _claim(self, config: RunConfig, rest: Task) -> bool:
        """Hold a run that is begun; False where another sweep has it or its record is there."""
        attempt = self.store.claim(config)
        self.following[config.id] = rest
        self.attempts[config.id] = attempt or 1
        if attempt is not None:
            self.held[config.id] = config
        return attempt is not None

    def settle(self, outcome: Outcome) -> None:
        """Write the record of a finished run; queue again what is left of a lost task, or give up its first run."""
        if isinstance(outcome, Lost):
            self._lost(outcome)
            return
        rest = self.following.pop(outcome.id)
        if rest:  # claimed before the record is there, so that no other sweep finds the trunk free
            self._claim(rest[0], rest[1:])
        record = outcome.model_copy(update={"attempts": self.attempts[outcome.id]})
        self.store.add(record)  # or another sweep has, if this one was asleep for longer than its lease
        self.held.pop(record.id, None)
        ended = not rest and record.status != "failed"  # a failed run may be done again from its checkpoints
        if ended and self.checkpoints is not None:
            shutil.rmtree(self.checkpoints / _checkpoints_name(record.config), ignore_errors=True)
        self.listener.finished(record)

    def _lost(self, lost: Lost) -> None:
        first, rest = lost.runs[0], lost.runs[1:]
        attempt = self.attempts[first.id]
        self.listener.lost(first, lost.reason, attempt)
        if attempt >= MAX_ATTEMPTS:
            self.listener.finished(self._give_up(first, lost.reason))
        else:
            self.store.release(first)
            self.held.pop(first.id, None)
            rest = lost.runs
        if rest:
            self.waiting.append(rest)

    def _give_up(self, config: RunConfig, reason: str) -> RunRecord:
        attempts = min(self.attempts[config.id], MAX_ATTEMPTS)
        record = RunRecord(config=config, status="failed", attempts=attempts, error=f"{reason} ({attempts} attempts)")
        self.store.add(record)
        self.held.pop(config.id, None)
        return record

    def _beat(self) -> None:
        while not self._stop.wait(LEASE_SECONDS / 4):
            with suppress(StoreError):  # a lock or a full disk may pass before the lease ends
                self.store.renew()
