"""How far is a study? What a store says of its runs at a moment: for screens, for scripts, and for the order of runs.

A look costs a few queries of short rows, of `QUEUE`, `LEASES` and `RESULTS`: with 100,000 runs less than a second. It
writes nothing, so that anyone who may read the store may watch.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import Connection, func, select

from embudget.errors import StoreError
from embudget.frozen import Frozen
from embudget.reading import parse_json
from embudget.study.database import Database, in_parts
from embudget.study.holds import Seen
from embudget.study.leases import Leases
from embudget.study.results import Result, Results
from embudget.study.run_times import RunTime, RunTimes, StepKind
from embudget.study.schedule import Busy, time_left
from embudget.study.tables import LEASES, QUEUE, is_up_to_date

MOST_TIMES = 2000
"""The newest runs by whose times the others are expected."""
MOST_FAILURES, MOST_BUDGETS = 20, 12
LOADED = 0.5
"""assumption: share of the time beside training that a run has behind it when it trains: it is loaded then, and will be
measured."""


class Running(Frozen):
    """A run that a worker is training; without its fields where it is not queued, as of a search on one machine."""

    id: str
    model: str | None
    method: str | None
    train_flops: float | None
    learning_rate: float | None
    seed: int | None
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

    more: bool = Field(description="whether a driver will queue further runs, as `spend` does between its rounds")

    @property
    def ended(self) -> int:
        """Runs that have their records."""
        return self.done + self.no_gain + self.diverged + self.failed

    @property
    def over(self) -> bool:
        """Whether no run is under way, none waits, and none is to come."""
        return not self.running and not self.waiting and not self.more


class _Queued(NamedTuple):
    """A queued run of a task that somebody is on."""

    id: str
    task: str
    train_flops: float
    flops: float
    """What it adds to its task."""
    kind: StepKind


class _Alike(NamedTuple):
    """Waiting tasks that take as long as each other."""

    kind: StepKind
    flops: float
    runs: int
    """Runs that each of the tasks has."""
    tasks: int


class ProgressReader:
    """Looks at a store now and then; `Store.progress` makes one.

    Args:
        database: holds the tables of a store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._results = Results()
        self._leases = Leases(database)
        self._names: dict[str, tuple[float, int]] = {}
        """The rate and the seed of each run under way, by its id: configurations are read once."""

    def look(self, workers: int | None = None) -> StoreProgress:
        """See how far the store is now.

        Args:
            workers: how many runs are trained at a time; by default as many as are under way.

        Raises:
            StoreError: the store cannot be read.
        """
        leases, more = self._leases.of_others(), self._leases.more_to_come()
        held = {run: seen for run, seen in leases.items() if seen.hold is not None and not seen.let_go}
        return self._database.read(lambda connection: self._look(connection, held, more, workers))

    def times(self) -> list[RunTime]:
        """What the runs took that were measured last.

        Raises:
            StoreError: the store cannot be read.
        """

        def read(connection: Connection) -> list[RunTime]:
            self._results.look(connection)
            return self._results.times(connection, MOST_TIMES)

        return self._database.read(read)

    def _look(self, connection: Connection, held: dict[str, Seen], more: bool, workers: int | None) -> StoreProgress:
        results = self._results
        results.look(connection)
        counts = results.counts(connection)
        begun, waiting = self._read_queue(connection)
        runs = {one.id: one for task in begun.values() for one in task}
        under_way = {run: seen for run, seen in held.items() if run in runs}
        self._read_names(connection, under_way)
        times = results.times(connection, MOST_TIMES)
        times += [time for run, seen in under_way.items() if (time := _pace(runs[run], seen)) is not None]
        known = RunTimes(times, 1.0) if times else None
        queued = len(runs) + sum(alike.tasks * alike.runs for alike in waiting)
        others = [_unqueued(run, seen) for run, seen in held.items() if run not in runs]
        left = None if known is None else _time_left(known, begun, waiting, under_way, workers)
        return StoreProgress(
            done=counts["done"], no_gain=counts["no_gain"], diverged=counts["diverged"], failed=counts["failed"],
            running=tuple([*self._running(known, runs, under_way), *others]),
            waiting=queued - len(under_way),
            failures=tuple(map(_ended, results.failed(connection, MOST_FAILURES))),
            best=tuple(
                Best(train_flops=one.train_flops, runs=count, run=_ended(one))
                for one, count in results.best(connection, MOST_BUDGETS)
            ),
            seconds_left=left if queued else max((run.seconds_left or 0.0 for run in others), default=0.0),
            more=more,
        )  # fmt: skip

    @staticmethod
    def _read_queue(connection: Connection) -> tuple[dict[str, list[_Queued]], list[_Alike]]:
        """The tasks that have a lease, their runs cheapest first; and how many others wait of each kind and size."""
        if not is_up_to_date(connection):
            return {}, []
        leased = select(QUEUE.c.task).join(LEASES, LEASES.c.id == QUEUE.c.id).where(LEASES.c.token != "")
        columns = [getattr(QUEUE.c, name) for name in _Queued._fields]
        begun: dict[str, list[_Queued]] = defaultdict(list)
        for row in connection.execute(select(*columns).where(QUEUE.c.task.in_(leased)).order_by(QUEUE.c.train_flops)):
            queued = _Queued(row.id, row.task, row.train_flops, row.flops, StepKind(*json.loads(row.kind)))
            begun[queued.task].append(queued)
        count = func.count().label("runs")
        every = (
            select(func.min(QUEUE.c.kind).label("kind"), func.sum(QUEUE.c.flops).label("flops"), count)
            .where(QUEUE.c.task.not_in(leased))
            .group_by(QUEUE.c.task)
            .subquery()
        )
        alike = every.c.kind, every.c.flops, every.c.runs
        waiting = connection.execute(select(*alike, func.count()).group_by(*alike))
        return begun, [_Alike(StepKind(*json.loads(kind)), *rest) for kind, *rest in waiting]

    def _read_names(self, connection: Connection, under_way: Collection[str]) -> None:
        self._names = {run: name for run, name in self._names.items() if run in under_way}
        for some in in_parts(set(under_way) - self._names.keys()):
            query = select(QUEUE.c.id, QUEUE.c.config).where(QUEUE.c.id.in_(some))
            for run, text in connection.execute(query):
                config = parse_json(text, f"the queued run {run}", StoreError)
                self._names[run] = config["learning_rate"], config["seed"]

    def _running(
        self, known: RunTimes | None, runs: Mapping[str, _Queued], under_way: Mapping[str, Seen]
    ) -> list[Running]:
        found = []
        for run, seen in under_way.items():
            queued, (rate, seed) = runs[run], self._names[run]
            found.append(
                Running(
                    id=run, model=queued.kind.model, method=queued.kind.method, train_flops=queued.train_flops,
                    learning_rate=rate, seed=seed, worker=seen.worker, share=seen.share,
                    loss=None if seen.share is None else seen.loss,
                    seconds_left=None if known is None else _left(queued, seen, known),
                )
            )  # fmt: skip
        return sorted(found, key=lambda run: (-(run.seconds_left or 0.0), run.id))


def _unqueued(run: str, seen: Seen) -> Running:
    share = seen.share
    return Running(
        id=run, model=None, method=None, train_flops=None, learning_rate=None, seed=None, worker=seen.worker,
        share=share, loss=None if share is None else seen.loss,
        seconds_left=max(0.0, 1 - share) / seen.pace if share is not None and seen.pace else None,
    )  # fmt: skip


def _pace(queued: _Queued, seen: Seen) -> RunTime | None:
    """What a run takes by its pace; while it is measured its pace says nothing."""
    if not seen.pace or (seen.share or 1.0) >= 1.0:
        return None
    return RunTime(queued.kind, 1 / (seen.pace * queued.train_flops), worker=seen.worker)


def _time_left(
    known: RunTimes,
    begun: Mapping[str, list[_Queued]],
    waiting: Iterable[_Alike],
    under_way: Mapping[str, Seen],
    workers: int | None,
) -> float | None:
    """Seconds until all runs have ended, by a schedule: a task that somebody is on is trained by him to its end."""

    def seconds(kind: StepKind, flops: float, runs: int) -> float:
        return flops * known.seconds_per_flop(kind) + runs * known.beside(kind.model)

    free = [(seconds(alike.kind, alike.flops, alike.runs), alike.tasks) for alike in waiting]
    busy = []
    for task in begun.values():
        mine = next((place for place, queued in enumerate(task) if queued.id in under_way), None)
        later = task[0 if mine is None else mine + 1 :]
        rest = seconds(task[0].kind, sum(queued.flops for queued in later), len(later))
        if mine is None:  # whoever was on it is gone
            free.append((rest, 1))
            continue
        seen = under_way[task[mine].id]
        slowness = known.slowness(seen.worker)
        busy.append(Busy(_left(task[mine], seen, known) + slowness * rest, slowness))
    idle = max(0, (workers or 0) - len(busy))
    free.sort(reverse=True)
    return time_left((each for each, count in free for _ in range(count)), busy + [Busy(0.0)] * idle)


def _left(queued: _Queued, seen: Seen, known: RunTimes) -> float:
    """Seconds until a run under way has its record."""
    slowness, beside = known.slowness(seen.worker), known.beside(queued.kind.model)
    if seen.share is None:
        return slowness * (queued.flops * known.seconds_per_flop(queued.kind) + beside)
    rest = max(0.0, 1.0 - seen.share)
    if seen.pace and rest:
        training = rest / seen.pace
    else:
        training = slowness * rest * queued.train_flops * known.seconds_per_flop(queued.kind)
    return training + slowness * LOADED * beside


def _ended(result: Result) -> Ended:
    return Ended(**{name: value for name, value in result._asdict().items() if name in Ended.model_fields})
