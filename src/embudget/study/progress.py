"""How far is a study? What a store says of its runs at a moment: for screens, for scripts, and for the order of runs.

A look costs a few queries of short rows, of `QUEUE`, `LEASES` and `RESULTS`: with 100,000 runs less than a second. It
writes nothing, so that anyone who may read the store may watch.
"""

from collections import defaultdict
from typing import Any, NamedTuple

from pydantic import Field
from sqlalchemy import Connection, select

from embudget.errors import StoreError
from embudget.frozen import Frozen
from embudget.reading import parse_json
from embudget.study.database import Database, in_parts
from embudget.study.holds import Seen
from embudget.study.leases import Leases
from embudget.study.results import Result, Results
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.schedule import Busy, time_left
from embudget.study.tables import QUEUE, is_up_to_date
from embudget.study.trunks import own_flops

MOST_TIMES = 2000
"""The newest runs by whose times the others are expected."""
MOST_FAILURES, MOST_BUDGETS = 20, 12
LOADED = 0.5
"""assumption: share of the time beside training that a run has behind it when it trains: it is loaded then, and will be
measured."""


class Running(Frozen):
    """A run that a worker is training."""

    id: str
    model: str
    method: str
    train_flops: float
    learning_rate: float
    seed: int
    worker: str
    share: float | None = Field(description="of its budget that is spent; None before its first step")
    loss: float | None = Field(description="of its last step, nats")
    seconds_left: float | None = Field(description="until it has its record; None before anything is known")


class Ended(Frozen):
    """A run that has its record."""

    id: str
    model: str
    method: str
    train_flops: float
    learning_rate: float
    seed: int
    loss: float | None = Field(description="held-out, nats")
    reason: str | None = Field(description="why it failed")


class Best(Frozen):
    """The best run of a budget so far."""

    train_flops: float
    runs: int = Field(description="runs of this budget with a loss that compares")
    run: Ended


class StoreProgress(Frozen):
    """How far the studies of a store are."""

    done: int
    no_gain: int
    diverged: int
    failed: int
    running: tuple[Running, ...] = Field(description="those that end last first")
    waiting: int = Field(description="queued runs that nobody is on")
    failures: tuple[Ended, ...] = Field(description=f"the last {MOST_FAILURES} runs that failed, the newest first")
    best: tuple[Best, ...] = Field(description=f"of each of the {MOST_BUDGETS} largest budgets, the largest first")
    seconds_left: float | None = Field(
        description="until all runs have ended, on the workers that train some now; None where nobody does, or nothing "
        "is known of the speed"
    )

    @property
    def ended(self) -> int:
        """Runs that have their records."""
        return self.done + self.no_gain + self.diverged + self.failed

    @property
    def over(self) -> bool:
        """Whether no run is under way and none waits."""
        return not self.running and not self.waiting


class _Queued(NamedTuple):
    """A queued run."""

    id: str
    task: str
    train_flops: float
    kind: StepKind
    learning_rate: float
    seed: int
    decay: float


class ProgressReader:
    """Looks at a store now and then; `Store.progress` makes one.

    Args:
        database: holds the tables of a store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._results = Results()
        self._leases = Leases(database)
        self._queued: dict[str, _Queued] = {}
        """The runs of the queue, by their ids: their configurations are read once."""

    def look(self, workers: int | None = None) -> StoreProgress:
        """See how far the store is now.

        Args:
            workers: how many runs are trained at a time; by default as many as are under way.

        Raises:
            StoreError: the store cannot be read.
        """
        leases = self._leases.of_others()
        held = {run: seen for run, seen in leases.items() if seen.hold is not None and not seen.let_go}
        return self._database.read(lambda connection: self._look(connection, held, workers))

    def times(self) -> list[RunTime]:
        """What the runs took that were measured last.

        Raises:
            StoreError: the store cannot be read.
        """

        def read(connection: Connection) -> list[RunTime]:
            self._results.look(connection)
            return self._results.times(connection, MOST_TIMES)

        return self._database.read(read)

    def _look(self, connection: Connection, held: dict[str, Seen], workers: int | None) -> StoreProgress:
        results = self._results
        results.look(connection)
        counts = results.counts(connection)
        self._read_queue(connection)
        times = results.times(connection, MOST_TIMES)
        times += [time for run, seen in held.items() if (time := self._pace(run, seen)) is not None]
        known = RunTimes(times, 1.0) if times else None
        under_way = {run: seen for run, seen in held.items() if run in self._queued}
        left = None if known is None else self._time_left(known, under_way, workers)
        return StoreProgress(
            done=counts["done"], no_gain=counts["no_gain"], diverged=counts["diverged"], failed=counts["failed"],
            running=tuple(self._under_way(known, under_way)),
            waiting=len(self._queued) - len(under_way),
            failures=tuple(map(_ended, results.failed(connection, MOST_FAILURES))),
            best=tuple(
                Best(train_flops=one.train_flops, runs=runs, run=_ended(one))
                for one, runs in results.best(connection, MOST_BUDGETS)
            ),
            seconds_left=left if self._queued else 0.0,
        )  # fmt: skip

    def _read_queue(self, connection: Connection) -> None:
        if not is_up_to_date(connection):
            self._queued = {}
            return
        there = set(connection.execute(select(QUEUE.c.id)).scalars())
        self._queued = {run: queued for run, queued in self._queued.items() if run in there}
        query = select(QUEUE.c.id, QUEUE.c.task, QUEUE.c.train_flops, QUEUE.c.config)
        fresh = there - self._queued.keys()
        if len(fresh) > len(there) / 2:  # as at the first look: all at once
            rows = [connection.execute(query)]
        else:
            rows = [connection.execute(query.where(QUEUE.c.id.in_(some))) for some in in_parts(fresh)]
        for run, task, train_flops, text in (row for some in rows for row in some):
            if run in fresh:
                config = parse_json(text, f"the queued run {run}", StoreError)
                kind = StepKind(*(config[name] for name in StepKind._fields))
                rate, seed, decay = config["learning_rate"], config["seed"], config["decay"]
                self._queued[run] = _Queued(run, task, train_flops, kind, rate, seed, decay)

    def _pace(self, run: str, seen: Seen) -> RunTime | None:
        """What a run takes by its pace; while it is measured its pace says nothing."""
        queued = self._queued.get(run)
        if queued is None or not seen.pace or (seen.share or 1.0) >= 1.0:
            return None
        return RunTime(queued.kind, 1 / (seen.pace * queued.train_flops), worker=seen.worker)

    def _under_way(self, known: RunTimes | None, held: dict[str, Seen]) -> list[Running]:
        found = []
        for run, seen in held.items():
            queued = self._queued[run]
            found.append(
                Running(
                    id=run, model=queued.kind.model, method=queued.kind.method, train_flops=queued.train_flops,
                    learning_rate=queued.learning_rate, seed=queued.seed, worker=seen.worker, share=seen.share,
                    loss=None if seen.share is None else seen.loss,
                    seconds_left=None if known is None else _left(queued, seen, known),
                )
            )  # fmt: skip
        return sorted(found, key=lambda run: (-(run.seconds_left or 0.0), run.id))

    def _time_left(self, known: RunTimes, held: dict[str, Seen], workers: int | None) -> float | None:
        by_task: dict[str, list[_Queued]] = defaultdict(list)
        for queued in self._queued.values():
            by_task[queued.task].append(queued)
        busy, waiting = [], []
        for task in by_task.values():
            task.sort(key=lambda queued: queued.train_flops)
            mine = next((queued for queued in task if queued.id in held), None)
            kind = task[0].kind
            a_flop, beside = known.seconds_per_flop(kind), known.beside(kind.model)
            own = own_flops([queued.train_flops for queued in task], task[0].decay)
            each = [flops * a_flop + beside for flops in own]
            if mine is None:
                waiting.append(sum(each))
                continue
            seen = held[mine.id]
            slowness = known.slowness(seen.worker)
            later = sum(each[task.index(mine) + 1 :])
            busy.append(Busy(_left(mine, seen, known) + slowness * later, slowness))
        idle = max(0, (workers or 0) - len(busy))
        return time_left(sorted(waiting, reverse=True), busy + [Busy(0.0)] * idle)


def _left(queued: _Queued, seen: Seen, known: RunTimes) -> float:
    """Seconds until a run under way has its record."""
    slowness, beside = known.slowness(seen.worker), known.beside(queued.kind.model)
    if seen.share is None:
        return slowness * (queued.train_flops * known.seconds_per_flop(queued.kind) + beside)
    rest = max(0.0, 1.0 - seen.share)
    if seen.pace and rest:
        training = rest / seen.pace
    else:
        training = slowness * rest * queued.train_flops * known.seconds_per_flop(queued.kind)
    return training + slowness * LOADED * beside


def _ended(result: Result) -> Ended:
    return Ended(**{name: value for name, value in result._asdict().items() if name in Ended.model_fields})
