"""The queue of a store: the runs that nobody has trained yet, for whatever worker comes, the longest task first.

A sweep writes its missing runs here before it trains any. A run leaves the queue when its record is written, in the
same transaction, so that nothing is lost where a driver or a worker ends badly. The runs of one trunk are one task,
which one worker trains, cheapest first. Which of them are under way is said by their leases (`embudget.study.leases`).
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from embudget.errors import StoreError
from embudget.frozen import Frozen
from embudget.reading import parse_json
from embudget.records import RunConfig
from embudget.study.database import Database, in_parts
from embudget.study.free_task import longest_free
from embudget.study.run_times import StepKind
from embudget.study.tables import PLACES, QUEUE, RUNS, bring_up_to_date, is_up_to_date
from embudget.study.trunks import Task, own_flops, own_flops_of, tasks
from embudget.training.state import trunk_name


class Place(Frozen):
    """Where the data of queued runs are, as seen by a worker on another machine.

    Example:
        >>> Place(pairs="/data/pairs", pairs_hash=eb.load_pairs("/data/pairs").hash, checkpoints="/data/kept").id
        '58a4c1d1e3b0b7f2'
    """

    pairs: str
    """Folder or URL of the text pairs."""
    pairs_hash: str
    """Their content hash: pairs with another one are refused."""
    checkpoints: str | None = None
    """Folder or URL for the checkpoints of interrupted runs; None keeps none."""
    checkpoint_seconds: float | None = None
    """Time between checkpoints; None for a share of the run."""
    evaluate: tuple[str, ...] = ()
    """Tasks that each model is scored on."""
    keep: bool = False
    """Whether checkpoints stay when a run has its record, for whoever goes on from them."""

    @property
    def id(self) -> str:
        """The hash of its content."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Queued(NamedTuple):
    """A task that waits in the queue."""

    runs: Task
    place: str
    """The id of its `Place`."""
    out: str | None
    """Folder or URL for the model of its run; None where only the record counts."""


class Lacking(NamedTuple):
    """A run that was out of memory on every worker that tried it."""

    config: RunConfig
    device_bytes: float
    """Memory of the largest of their devices."""


def task_name(config: RunConfig) -> str:
    """What the runs of one task share: the name of their trunk, or the id of a run alone."""
    return trunk_name(config) if config.schedule == "wsd" else config.id


class Queue:
    """The queue of a store; `Store.queue` opens it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places: dict[str, Place] = {}
        self._free: tuple[Any, ColumnElement[bool], Select[Any]] | None = None
        """The last statement of `pick`, with what it was made for: making it takes longer than the database does."""

    def add(
        self,
        runs: Sequence[RunConfig],
        place: Place,
        seconds: Mapping[str, float] | None = None,
        out: Mapping[str, str] | None = None,
    ) -> None:
        """Queue those of the runs that have no record; what is queued already stays so, with what is said of it now.

        Args:
            runs: the runs.
            place: where their data are.
            seconds: expected of each run by its id; without them a run's own FLOP decide which task is the longest.
            out: folder or URL for the model of a run, by its id.
        """
        runs = list({config.id: config for config in runs}.values())  # one model may have two names
        size, out = own_flops_of(runs) if seconds is None else seconds, out or {}
        rows: list[dict[str, Any]] = []
        for task in tasks(runs):
            whole = sum(size[config.id] for config in task)
            kind, own = json.dumps(StepKind.of(task[0])), own_flops([one.train_flops for one in task], task[0].decay)
            rows += [
                {
                    "id": config.id, "task": task_name(task[0]), "train_flops": config.train_flops, "flops": flops,
                    "kind": kind, "seconds": whole, "place": place.id, "config": config.model_dump_json(),
                    "out": out.get(config.id),
                }
                for config, flops in zip(task, own, strict=True)
            ]  # fmt: skip
        for some in in_parts(rows):
            for left in (2, 1, 0):
                try:
                    self._database.write(partial(_queue, rows=some, place=place))
                    break
                except IntegrityError as error:  # another driver queues the same runs: now they are there
                    if not left:
                        raise self._database.refusal(error) from None

    def expect(self, runs: Sequence[RunConfig], seconds: Mapping[str, float]) -> None:
        """Say anew what queued runs are expected to take, which is the order in which their tasks are handed out.

        Args:
            runs: whole tasks of them.
            seconds: of each run, by its id.
        """
        values = [
            {"run": config.id, "a_time": whole}
            for task in tasks(runs)
            for whole in [sum(seconds[config.id] for config in task)]
            for config in task
        ]
        change = update(QUEUE).where(QUEUE.c.id == bindparam("run")).values(seconds=bindparam("a_time"))
        self._each(values, lambda connection, some: connection.execute(change, list(some)))

    def pick(
        self,
        connection: Connection,
        held: ColumnElement[bool],
        device_bytes: float,
        without: Collection[str] = (),
        without_models: Collection[str] = (),
    ) -> Queued | None:
        """The longest task that nobody is on and for which a worker's memory may suffice; locked, where rows can be.

        Args:
            connection: in a transaction that goes on to lease the task's first run.
            held: whether a lease is held, of a row of the leases.
            device_bytes: memory of the worker's device.
            without: the ids of places that the worker cannot use.
            without_models: the models that it lacks.
        """
        key = (device_bytes, *without, "", *without_models)
        if self._free is None or self._free[:2] != (key, held):
            locks = self._database.dialect == "postgresql"
            self._free = key, held, longest_free(held, device_bytes, without, without_models, locks)
        found = connection.execute(self._free[2]).all()
        if not found:
            return None
        return Queued(tuple(self._config(row.config) for row in found), found[0].place, found[0].out)

    def task_of(self, run: str, device_bytes: float) -> Queued | None:
        """The task of a queued run, from its cheapest run on; None where it is no longer queued, or needs more memory.

        Args:
            run: its id.
            device_bytes: memory of the worker's device.
        """
        task = select(QUEUE.c.task, QUEUE.c.place, QUEUE.c.out)

        def look(connection: Connection) -> Queued | None:
            row = connection.execute(task.where(QUEUE.c.id == run, QUEUE.c.too_small < device_bytes)).first()
            return None if row is None else self._task(connection, *row)

        return self._database.read(look)

    def place(self, name: str) -> Place:
        """A place by its id.

        Raises:
            StoreError: its row is no place.
        """
        if name not in self._places:
            query = select(PLACES.c.place).where(PLACES.c.id == name)
            text = self._database.read(lambda connection: connection.execute(query).scalar())
            where = f"{self._database.location}: place {name[:40]}"
            self._places[name] = Place.read(parse_json(text or "", where, StoreError), where, StoreError)
        return self._places[name]

    def forget(self, runs: Iterable[str]) -> None:
        """Take runs out of the queue, by their ids: they are not to be trained."""
        self._each(list(runs), lambda connection, some: connection.execute(delete(QUEUE).where(QUEUE.c.id.in_(some))))

    def too_small(self, runs: Iterable[str], device_bytes: float) -> None:
        """Leave runs, by their ids, to workers whose devices have more memory than this."""
        larger = QUEUE.c.too_small < device_bytes
        values = {"too_small": device_bytes}
        self._each(
            list(runs),
            lambda connection, some: connection.execute(
                update(QUEUE).where(QUEUE.c.id.in_(some), larger).values(**values)
            ),
        )

    def ids(self) -> set[str]:
        """The ids of all runs in the queue."""
        return set(self._read(select(QUEUE.c.id), []))

    def count(self) -> int:
        """How many runs are in the queue."""
        found = self._read(select(func.count()).select_from(QUEUE), [0])
        return int(found[0])

    def free_tasks(self, held: Collection[str] = ()) -> int:
        """How many tasks nobody is on, without those that were out of memory on some worker.

        Args:
            held: the ids of all runs that somebody has leased.
        """
        busy: set[str] = set()
        for some in in_parts(held):
            busy |= set(self._read(select(QUEUE.c.task).where(QUEUE.c.id.in_(some), QUEUE.c.too_small == 0), []))
        every = select(func.count(QUEUE.c.task.distinct())).where(QUEUE.c.too_small == 0)
        return max(0, int(self._read(every, [0])[0]) - len(busy))

    def lacking(self) -> list[Lacking]:
        """The runs that were out of memory on every worker that tried them."""

        def look(connection: Connection) -> list[Any]:
            if not is_up_to_date(connection):
                return []
            rows = select(QUEUE.c.config, QUEUE.c.too_small).where(QUEUE.c.too_small > 0).order_by(QUEUE.c.train_flops)
            return list(connection.execute(rows).all())

        return [Lacking(self._config(text), memory) for text, memory in self._database.read(look)]

    def _task(self, connection: Connection, task: str, place: str, out: str | None) -> Queued:
        same = (QUEUE.c.task == task) & (QUEUE.c.place == place)
        rows = connection.execute(select(QUEUE.c.config).where(same).order_by(QUEUE.c.train_flops)).scalars()
        return Queued(tuple(self._config(text) for text in rows), place, out)

    def _config(self, text: str) -> RunConfig:
        where = f"{self._database.location}: a queued run"
        return RunConfig.read(parse_json(text, where, StoreError), where, StoreError)

    def _read(self, query: Any, without: list[Any]) -> list[Any]:  # noqa: ANN401 - selects differ by their columns
        """The first column of a query; what is given where the store has no queue yet."""
        return self._database.read(
            lambda connection: list(connection.execute(query).scalars()) if is_up_to_date(connection) else without
        )

    def _each(self, rows: list[Any], work: Any) -> None:  # noqa: ANN401 - a function of a connection and some of them
        for some in in_parts(rows):
            self._database.write(partial(work, some=some))


def _queue(connection: Connection, rows: Sequence[dict[str, Any]], place: Place) -> None:
    bring_up_to_date(connection)
    ids = [row["id"] for row in rows]
    recorded = set(connection.execute(select(RUNS.c.id).where(RUNS.c.id.in_(ids))).scalars())
    said = [QUEUE.c.id, *(QUEUE.c[name] for name in _AGAIN)]
    there = {run: tuple(rest) for run, *rest in connection.execute(select(*said).where(QUEUE.c.id.in_(ids)))}
    if connection.execute(select(PLACES.c.id).where(PLACES.c.id == place.id)).first() is None:
        connection.execute(insert(PLACES).values(id=place.id, place=place.model_dump_json()))
    fresh = [row | {"too_small": 0.0} for row in rows if row["id"] not in recorded and row["id"] not in there]
    if fresh:
        connection.execute(insert(QUEUE), fresh)
    again = [
        {"run": row["id"]} | {given: row[name] for name, given in _AGAIN.items()}
        for row in rows
        if row["id"] in there and row["id"] not in recorded and there[row["id"]] != tuple(row[name] for name in _AGAIN)
    ]
    if again:
        values: dict[str, Any] = {name: bindparam(given) for name, given in _AGAIN.items()}
        connection.execute(update(QUEUE).where(QUEUE.c.id == bindparam("run")).values(**values), again)


_AGAIN = {"task": "a_task", "seconds": "a_time", "place": "a_place", "out": "an_out"}
"""What is said anew of a run that is queued already, by the names that its values have in the statement."""
