"""The store of a study: one row a run, keyed by the hash of its configuration, in any database SQLAlchemy reaches.

Rows are inserted whole, in one transaction, and stay as they are. Only those of failed runs make way: for the record of
a run that ended well after all, or when they are deleted so that the runs are done again. Beside them stand the leases
of the sweeps at work (see `embudget.study.leases`) and the queue of the runs to come (`embudget.study.queue`).
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from embudget.errors import StoreError
from embudget.reading import parse_json
from embudget.records import RunConfig, RunRecord, rows_frame
from embudget.records.stored import Row, stored_row
from embudget.study.copying import Copied, copy_rows
from embudget.study.database import Database, in_parts
from embudget.study.leases import Hold, Leases
from embudget.study.location import Location
from embudget.study.queue import Queue
from embudget.study.results import write_result
from embudget.study.tables import LEASES, QUEUE, RESULTS, RUNS, check_tables, is_up_to_date, make_tables

if TYPE_CHECKING:
    import pandas as pd

    from embudget.study.progress import ProgressReader


class Store:
    """Records of runs in a database.

    While the database is locked or its server restarts, every call waits and tries again for up to ten minutes.

    Args:
        location: a SQLAlchemy URL (postgresql://...), or the path of a SQLite file.
        create: whether to make the file and tables where there are none.

    Raises:
        StoreError: the database cannot be opened, or its tables are another program's.

    Example:
        >>> with eb.Store("study.db") as store:
        ...     records = store.records()
        >>> laws = eb.fit(records)
    """

    def __init__(self, location: str | Path, create: bool = True) -> None:
        self._location = Location(location)
        self._location.check_file(create)
        self._database = Database(self._location)
        self._is_current = False
        """Whether the tables are known to be of this version's format, which they stay."""
        self._prepare(create)

    @property
    def location(self) -> str:
        """The path or URL, with passwords hidden."""
        return str(self._location)

    @property
    def checkpoints(self) -> Path | None:
        """Folder for the checkpoints of runs in training, beside a SQLite file; None for any other database."""
        file = self._location.file
        return None if file is None else Path(f"{file}.checkpoints")

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self) -> list[RunRecord]:
        """All records, in the order they were written.

        Raises:
            StoreError: the database cannot be read, or a row of it is no record.
        """
        return [self._read(run, text) for run, text in self._texts()]

    def rows(self) -> Iterator[Row]:
        """All records as flat rows, in the order they were written, for tables of very many runs.

        A row has the values of `embudget.records.COLUMNS` and the losses by group. Rows are read as they are asked
        for, so that memory stays bounded, and without the checks of `RunRecord`: see `embudget.records.stored`.

        Raises:
            StoreError: the database cannot be read, or a row of it is no record.

        Example:
            >>> with Store("study.db") as store:
            ...     best = min((row for row in store.rows() if row["loss"]), key=lambda row: row["loss"])
        """
        for run, text in self._texts():
            yield stored_row(run, text, self._where(run), StoreError)

    def _texts(self) -> Iterator[tuple[str, str]]:
        """The id and the JSON of every record, in the order they were written, without holding them all."""
        ids = select(RUNS.c.id).order_by(RUNS.c.written)
        return self._texts_of(self._database.read(lambda connection: list(connection.execute(ids).scalars())))

    def _texts_of(self, runs: Collection[str]) -> Iterator[tuple[str, str]]:
        for some in in_parts(runs):
            rows = select(RUNS.c.id, RUNS.c.record).where(RUNS.c.id.in_(some))
            there = self._database.read(lambda connection, rows=rows: connection.execute(rows).all())  # type: ignore[misc]
            found = {run: text for run, text in there}
            yield from ((run, found[run]) for run in some if run in found)

    def frame(self) -> "pd.DataFrame":
        """All records as a table for a notebook: one row a run, in the order they were written.

        The columns are `embudget.records.COLUMNS`, those of `embudget records --csv`: the configuration, with `budget`
        for the FLOP that were asked for, and what was measured, NaN where it was not. To fit laws take `records`, or
        `embudget.runs.RunTable.of`, which leaves out what does not count and averages the seeds.

        Example:
            >>> with Store("study.db") as store:
            ...     runs = store.frame()
            >>> done = runs[runs.status == "done"]
            >>> done.pivot_table(index="model", columns="budget", values="loss", aggfunc="min")

        Raises:
            StoreError: the database cannot be read.
        """
        return rows_frame(self.rows())

    def ids(self) -> set[str]:
        """The ids of all runs that have a record."""
        return self._database.read(lambda connection: set(connection.execute(select(RUNS.c.id)).scalars()))

    def written_since(self, moment: float) -> dict[str, float]:
        """The runs whose records were written after a moment, by their ids, and when; in seconds of the database."""
        query = select(RUNS.c.id, RUNS.c.written).where(RUNS.c.written > moment)
        return self._database.read(lambda connection: {run: written for run, written in connection.execute(query)})

    def records_of(self, runs: Collection[str]) -> list[RunRecord]:
        """The records of those of the runs, by id, that have one, in the order of the ids."""
        return [self._read(run, text) for run, text in self._texts_of(runs)]

    @property
    def address(self) -> str:
        """The path or URL with its passwords, absolute: for the environment of workers, never for a file or a log."""
        return self._location.address

    def leases(self, name: str | None = None, counts: bool = False) -> Leases:
        """Leases for one sweep or worker on this store, as `Leases` takes them; close them at its end."""
        return Leases(self._database, name, counts)

    def progress(self) -> "ProgressReader":
        """Looks at how far the runs are, again and again; see `embudget.study.progress`."""
        from embudget.study.progress import ProgressReader

        return ProgressReader(self._database)

    def check_idle(self) -> None:
        """Refuse a store in which a run is under way.

        Raises:
            StoreError: names one of them, and who trains it.
        """
        with self.leases() as leases:
            for run, seen in leases.of_others().items():
                if seen.hold is Hold.HELD:
                    raise StoreError(f"{self.location}: {seen.worker} trains the run {run}: end or interrupt it first")

    def copy_to(self, other: "Store") -> Copied:
        """Copy records, queue and losses into another store, whole or not at all; see `embudget.study.copying`.

        Raises:
            StoreError: it holds other runs, or other records of the same runs.

        Example:
            >>> with Store("study.db", create=False) as here, Store("postgresql://me:secret@host/study") as there:
            ...     here.copy_to(there).records
            24
        """
        return copy_rows(self._database, other._database)

    def queue(self) -> Queue:
        """The runs that wait for a worker."""
        return Queue(self._database)

    def add(self, record: RunRecord, on_trouble: Callable[[], None] | None = None, took: float | None = None) -> bool:
        """Write a record, end its lease and take its run out of the queue, in one transaction.

        Args:
            record: replaces the record of a failed run, if it is of one that did not fail.
            on_trouble: called if the database is in trouble, before it is tried again.
            took: seconds from the run's lease to its record, where the run was trained just now.

        Returns:
            Whether it was written; False where the run has a record already, which stays as it is.

        Raises:
            StoreError: the database cannot be written.
        """
        config, text = record.config.model_dump_json(), record.model_dump_json(exclude_none=True)

        def work(connection: Connection) -> bool:
            current = self._is_current = self._is_current or is_up_to_date(connection)
            there = connection.execute(_before(self._database.now, current), {"run": record.id}).one()
            # clocks differ and jump; the order of writing is kept all the same
            written = max(time.time() if there.now is None else there.now, (there.last or 0.0) + 1e-3)
            row = {"id": record.id, "config": config, "status": record.status, "record": text, "written": written}
            is_new = _write(connection, row, there.status)
            if current:
                if is_new:
                    write_result(connection, record, took, there.worker or "", written, there.result is not None)
                connection.execute(delete(QUEUE).where(QUEUE.c.id == record.id))
            connection.execute(delete(LEASES).where(LEASES.c.id == record.id))
            return is_new

        for _ in range(2):
            try:
                return self._database.write(work, on_trouble=on_trouble)
            except IntegrityError:  # another process has just written it: look at what
                continue
        return False

    def forget_failed(self, runs: Iterable[RunConfig]) -> None:
        """Delete the records of those of the runs that failed, so that they are done again."""
        ids = [config.id for config in runs]

        def work(connection: Connection) -> None:
            for run in ids:
                failed = connection.execute(delete(RUNS).where(RUNS.c.id == run, RUNS.c.status == "failed"))
                if failed.rowcount and is_up_to_date(connection):
                    connection.execute(delete(RESULTS).where(RESULTS.c.id == run))

        self._database.write(work)

    def _prepare(self, create: bool) -> None:
        if self._database.read(lambda connection: check_tables(connection, self.location, create)):
            return
        with suppress(IntegrityError):  # another process was first
            self._database.write(make_tables)

    def _where(self, run: str) -> str:
        """How a message about a row begins."""
        return f"{self.location}: run {str(run)[:40]}"

    def _read(self, run: str, text: Any) -> RunRecord:  # noqa: ANN401 - whatever the row holds
        row = self._where(run)
        return RunRecord.read(parse_json(text, row, StoreError), row, StoreError)


@lru_cache(maxsize=8)  # making it takes longer than executing it
def _before(now: "ColumnElement[float] | None", current: bool) -> "Select[Any]":
    """What is known before a record is written, in one row: the time by the server, the last record's, the run's own.

    An older store, that has not been brought up to date, says neither who has leased the run nor has it a short row.
    """

    def of_run(column: "ColumnElement[Any]", ids: "ColumnElement[str]") -> "ColumnElement[Any]":
        return select(column).where(ids == bindparam("run")).scalar_subquery()

    return select(
        (null() if now is None else now).label("now"),
        select(func.max(RUNS.c.written)).scalar_subquery().label("last"),
        of_run(RUNS.c.status, RUNS.c.id).label("status"),
        (of_run(LEASES.c.worker, LEASES.c.id) if current else null()).label("worker"),
        (of_run(RESULTS.c.id, RESULTS.c.id) if current else null()).label("result"),
    )


def _write(connection: Connection, row: dict[str, Any], status: str | None) -> bool:
    """Insert the row of a record, or put it in the place of a failed one; whether it was written.

    Args:
        connection: in a transaction.
        row: of the record.
        status: of the record that the run has, if it has one.
    """
    if status is None:
        connection.execute(insert(RUNS), [row])
        return True
    if status != "failed" or row["status"] == "failed":
        return False
    failed = (RUNS.c.id == row["id"]) & (RUNS.c.status == "failed")
    return connection.execute(update(RUNS).where(failed).values(row)).rowcount == 1
