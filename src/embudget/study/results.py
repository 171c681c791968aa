"""What a store shows of its recorded runs at a glance: a short row beside each record, written with it."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from embudget.errors import StoreError
from embudget.reading import parse_json
from embudget.records import RunConfig, RunRecord
from embudget.study.run_times import RunTime, StepKind
from embudget.study.tables import RESULTS, RUNS, is_up_to_date

YARDSTICK = ("pairs", "eval_pairs", "eval_candidates", "yardstick")
"""Held-out losses compare where these are the same."""


def write_result(
    connection: Connection, record: RunRecord, took: float | None, worker: str, written: float, again: bool
) -> None:
    """Write the row of a record that was just written.

    Args:
        connection: in the transaction that wrote the record.
        record: of a run.
        took: seconds from the run's lease to its record, where the run was trained just now.
        worker: who trained it, as its lease says; empty where nobody has leased it.
        written: when, as the record's row says.
        again: whether the run has such a row, of a record that was replaced.
    """
    if again:
        connection.execute(delete(RESULTS).where(RESULTS.c.id == record.id))
    connection.execute(insert(RESULTS), [result_row(record) | {"took": took, "worker": worker, "written": written}])


def result_row(record: RunRecord) -> dict[str, Any]:
    """The row of a record, without what only its worker knows."""
    config = record.config
    same = ("model", "method", "train_flops", "learning_rate", "seed", "batch_size", "max_length", "negatives")
    pairs = record.pairs_seen
    return {name: getattr(config, name) for name in same} | {
        "id": record.id,
        "status": record.status,
        "precision": config.precision,
        "measured_on": yardstick_of(config),
        "loss": record.loss,
        "reason": None if record.error is None else record.error[:255],
        "flops": None if record.train_flops is None else record.train_flops * record.own_share or None,
        "seconds": None if record.seconds is None else record.seconds * record.own_share,
        "tokens_per_pair": record.tokens / pairs if record.tokens and pairs else None,
        "device": record.provenance.device if record.provenance else "",
        "took": None,
        "worker": "",
        "written": 0.0,
    }


def yardstick_of(config: RunConfig) -> str:
    """What the held-out loss of a run is measured on, in 16 hexadecimal digits."""
    values = [getattr(config, name) for name in YARDSTICK]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def run_times(rows: Iterable[Mapping[str, Any]]) -> list[RunTime]:
    """What the runs of these rows took; those that were not timed are left out.

    A run that went on from a checkpoint was leased for less time than it trained: of loading and measuring it says
    nothing. Nor does the first run of a worker, which waits besides for the libraries to load and the pairs to be
    tokenised: 10 s of a micro model, whose next runs took 0.4 s. A time left of 290 s was told for it where 77 were.
    """
    timed = [row for row in rows if row["flops"] and row["seconds"]]
    first: dict[str, float] = {}
    for row in timed:
        first[row["worker"]] = min(row["written"], first.get(row["worker"], math.inf))
    beside = [
        row["took"] - row["seconds"]
        if (row["took"] or 0.0) > row["seconds"] and row["written"] > first[row["worker"]]
        else None
        for row in timed
    ]
    return [
        RunTime(
            StepKind(*(row[name] for name in StepKind._fields)),
            row["seconds"] / row["flops"],
            seconds,
            row["tokens_per_pair"],
            row["device"],
            row["worker"],
        )
        for row, seconds in zip(timed, beside, strict=True)
    ]


class Result(NamedTuple):
    """What is shown of a recorded run."""

    id: str
    status: str
    model: str
    method: str
    train_flops: float
    learning_rate: float
    seed: int
    loss: float | None
    reason: str | None
    written: float


class Results:
    """The results of a store, read again and again with few cheap queries.

    Records that were written before there was a table of results are read once each, and kept here.
    """

    def __init__(self) -> None:
        self._old: dict[str, dict[str, Any]] = {}
        self._has_table = False
        self._yardstick: str | None = None

    def look(self, connection: Connection) -> None:
        """See what has changed; before anything else is asked in the same transaction."""
        self._has_table = is_up_to_date(connection)
        records = connection.execute(select(func.count()).select_from(RUNS)).scalar_one()
        rows = connection.execute(select(func.count()).select_from(RESULTS)).scalar_one() if self._has_table else 0
        if records - rows != len(self._old):
            self._read_old(connection)
        newest = self._rows(connection, None, RESULTS.c.written.desc(), 1) or [*self._old.values()][-1:]
        self._yardstick = newest[0]["measured_on"] if newest else None

    def counts(self, connection: Connection) -> Counter[str]:
        """How many runs ended how."""
        found = Counter(row["status"] for row in self._old.values())
        if self._has_table:
            query = select(RESULTS.c.status, func.count()).group_by(RESULTS.c.status)
            found.update({status: count for status, count in connection.execute(query)})
        return found

    def failed(self, connection: Connection, most: int) -> list[Result]:
        """The runs that failed last, the newest first."""
        rows = self._rows(connection, RESULTS.c.status == "failed", RESULTS.c.written.desc(), most)
        rows += [row for row in reversed(self._old.values()) if row["status"] == "failed"]
        return [_result(row) for row in rows[:most]]

    def best(self, connection: Connection, most: int) -> list[tuple[Result, int]]:
        """The lowest loss of each of the largest budgets, with the runs of that budget that have one.

        Only losses that compare with the newest run's count.
        """
        lowest: dict[float, tuple[float, int]] = {}
        old = [row for row in self._old.values() if row["status"] == "done" and row["measured_on"] == self._yardstick]
        counts = (RESULTS.c.status == "done") & (RESULTS.c.measured_on == self._yardstick) & RESULTS.c.loss.is_not(None)
        if self._has_table:
            query = (
                select(RESULTS.c.train_flops, func.min(RESULTS.c.loss), func.count())
                .where(counts)
                .group_by(RESULTS.c.train_flops)
                .order_by(RESULTS.c.train_flops.desc())
            )
            lowest = {flops: (loss, count) for flops, loss, count in connection.execute(query)}
        here = {flops: loss for flops, (loss, _) in lowest.items()}
        holder: dict[float, dict[str, Any]] = {}
        for row in old:
            flops, loss = row["train_flops"], row["loss"] if row["loss"] is not None else math.inf
            known, count = lowest.get(flops, (math.inf, 0))
            if loss < known:
                holder[flops] = row
            lowest[flops] = (min(known, loss), count + 1)
        budgets = sorted(lowest, reverse=True)[:most]
        for flops in budgets:
            if flops not in holder:
                mine = counts & (RESULTS.c.train_flops == flops) & (RESULTS.c.loss == here[flops])
                holder[flops] = self._rows(connection, mine, RESULTS.c.written, 1)[0]
        return [(_result(holder[flops]), lowest[flops][1]) for flops in budgets]

    def times(self, connection: Connection, most: int) -> list[RunTime]:
        """What the newest timed runs took."""
        rows = self._rows(connection, RESULTS.c.seconds.is_not(None), RESULTS.c.written.desc(), most)
        return run_times([*rows, *reversed(self._old.values())][:most])

    def _rows(
        self,
        connection: Connection,
        where: "ColumnElement[bool] | None",
        order: "ColumnElement[Any]",
        most: int,
    ) -> list[Any]:
        if not self._has_table:
            return []
        query = select(RESULTS).order_by(order).limit(most)
        return list(connection.execute(query if where is None else query.where(where)).mappings())

    def _read_old(self, connection: Connection) -> None:
        query = select(RUNS.c.id, RUNS.c.record, RUNS.c.written).order_by(RUNS.c.written)
        if self._has_table:
            query = query.outerjoin(RESULTS, RESULTS.c.id == RUNS.c.id).where(RESULTS.c.id.is_(None))
        found = {}
        for run, text, written in connection.execute(query):
            if run not in self._old:
                source = f"run {run}"
                record = RunRecord.read(parse_json(text, source, StoreError), source, StoreError)
                self._old[run] = result_row(record) | {"written": written}
            found[run] = self._old[run]
        self._old = found


def _result(row: Mapping[str, Any]) -> Result:
    return Result(*(row[name] for name in Result._fields))
