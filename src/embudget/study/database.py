"""Transactions on a store's database, which are done again while its trouble may pass.

A transaction is a function of a connection. It may run more than once, also after a commit whose confirmation was lost,
so it must end the same the second time.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    StaticPool,
    Table,
    cast,
    create_engine,
    event,
    extract,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DisconnectionError, IntegrityError, SQLAlchemyError

from embudget.errors import StoreError, first_line
from embudget.study.location import Location
from embudget.study.trouble import passes

LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""How long a database that is locked or does not answer is asked again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0  # seconds; the longest is well below a lease's quarter
_FRESH_SECONDS = 1.0
"""A connection that was used within this time is used again without asking whether its server is still there."""
_SILENT_SECONDS = 3.0
"""Trouble that passes within this time is not worth a word."""

Result = TypeVar("Result")
Item = TypeVar("Item")
Work = Callable[[Connection], Result]


class Database:
    """A database that can be reached, now and then.

    Raises:
        StoreError: there is no driver for it.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        options: dict[str, Any] = {"poolclass": StaticPool} if location.is_memory else {}
        try:
            self._engine = create_engine(location.url, connect_args=location.options, **options)
        except ModuleNotFoundError as error:
            extra = ": pip install 'embudget[postgresql]'" if location.url.drivername.startswith("postgres") else ""
            raise StoreError(f"cannot open the store {location}: it needs the package {error.name}{extra}") from None
        except (ArgumentError, ImportError, TypeError, ValueError) as error:
            raise StoreError(f"cannot open the store {location}: {location.hide(first_line(error))}") from None
        if location.is_sqlite:
            event.listen(self._engine, "connect", _leave_begin_to_us)
            event.listen(self._engine, "begin", _begin)
        else:
            event.listen(self._engine, "checkin", _note_use)
            event.listen(self._engine, "checkout", self._check_connection)
        # one connection serves all threads of a database in memory; a file has one writer at a time, for whom threads
        # wait by turns here, since those that wait in SQLite ask again at random and some would wait for minutes
        self._turn = threading.RLock() if location.is_sqlite else nullcontext()
        self._answered = False

    @property
    def dialect(self) -> str:
        """The kind of database: sqlite, postgresql, ..."""
        return self._engine.dialect.name

    @cached_property
    def now(self) -> "ColumnElement[float] | None":
        """The server's time in seconds; None where the database has no server, and so no clock that all agree on."""
        if self.dialect == "postgresql":
            return cast(extract("epoch", func.clock_timestamp()), Double)
        if self.dialect in ("mysql", "mariadb"):
            return literal_column("unix_timestamp(current_timestamp(6))", Double)
        return None

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def read(self, work: Work[Result]) -> Result:
        """Do a transaction that writes nothing; otherwise as `write`."""
        return self._run(work, False, None, None, None)

    def write(
        self,
        work: Work[Result],
        patience: float | None = None,
        stop: threading.Event | None = None,
        on_trouble: Callable[[], None] | None = None,
    ) -> Result:
        """Do a transaction, again after growing pauses while the database is locked or does not answer.

        Args:
            work: what to do; its changes are there together or not at all.
            patience: seconds after which to give up, `PATIENCE_SECONDS` by default.
            stop: set by another thread to give up at once.
            on_trouble: called when the first try has failed and before it waits.

        Raises:
            StoreError: the trouble is not one that passes, or it lasted.
            IntegrityError: as the work does, if it breaks a rule of the tables.
        """
        return self._run(work, True, patience, stop, on_trouble)

    def refusal(self, error: SQLAlchemyError) -> StoreError:
        """The error of a store that refused a statement."""
        return StoreError(f"cannot use the store {self.location}: {self._said(error)}")

    def _said(self, error: SQLAlchemyError) -> str:
        return self.location.hide(first_line(getattr(error, "orig", None) or error))[:150]

    def _run(
        self,
        work: Work[Result],
        writes: bool,
        patience: float | None,
        stop: threading.Event | None,
        on_trouble: Callable[[], None] | None,
    ) -> Result:
        patience = PATIENCE_SECONDS if patience is None else patience
        began, pause, warned = time.monotonic(), _FIRST_PAUSE, False
        while True:
            try:
                return self._once(work, writes)
            except IntegrityError:
                raise
            except SQLAlchemyError as error:
                said = self._said(error)
                if not passes(error, self._answered):
                    raise self.refusal(error) from None
                waited = time.monotonic() - began
                if waited >= patience or (stop is not None and stop.is_set()):
                    raise StoreError(
                        f"cannot use the store {self.location}: {said}; tried again for {waited:.0f} s"
                    ) from None
            if on_trouble is not None:
                on_trouble()
                on_trouble = None
            if waited >= _SILENT_SECONDS and not warned:
                warned = True
                LOG.warning(
                    "the store %s is locked or does not answer (%s): trying again for %.0f minutes",
                    self.location, said, patience / 60,
                )  # fmt: skip
            _wait(min(pause * random.uniform(0.5, 1.5), max(0.0, patience - waited)), stop)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _once(self, work: Work[Result], writes: bool) -> Result:
        with self._turn, self._engine.connect() as opened:
            self._answered = True
            connection = opened.execution_options(embudget_writes=writes)
            with connection.begin():
                return work(connection)

    def _check_connection(self, connection: Any, record: Any, _: object) -> None:  # noqa: ANN401 - of SQLAlchemy's pool
        """Have the pool open another connection where the server has ended this one while nobody used it."""
        used = record.info.get("used", time.monotonic())
        if time.monotonic() - used > _FRESH_SECONDS:
            try:
                self._engine.dialect.do_ping(connection)
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise DisconnectionError(str(error)) from error


def insert_new(
    connection: Connection, table: Table, row: Mapping[str, Any], computed: "tuple[tuple[str, ColumnElement[Any]], ...]"
) -> bool:
    """Insert a row unless one with its id is there, in one statement where the database can; whether it was inserted.

    Args:
        connection: in a transaction.
        table: with a column `id`.
        row: values of its columns.
        computed: further columns, with expressions that the database computes.

    Raises:
        IntegrityError: the table refuses the row for another reason.
    """
    if connection.dialect.name in _INSERTS:
        unless = _insert_unless_there(connection.dialect.name, table, computed)
        return connection.execute(unless, dict(row)).first() is not None
    try:
        with connection.begin_nested():
            connection.execute(insert(table).values(dict(computed)), dict(row))
    except IntegrityError:
        if connection.execute(select(table.c.id).where(table.c.id == row["id"])).first() is None:
            raise
        return False
    return True


_INSERTS: dict[str, Callable[[Table], Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
"""Inserts that know ON CONFLICT, by the database."""


@lru_cache(maxsize=32)  # making a statement takes longer than executing it
def _insert_unless_there(dialect: str, table: Table, computed: "tuple[tuple[str, ColumnElement[Any]], ...]") -> Any:  # noqa: ANN401 - an insert, of a type that differs by database
    return _INSERTS[dialect](table).values(dict(computed)).on_conflict_do_nothing().returning(table.c.id)


def in_parts(rows: Iterable[Item]) -> Iterator[tuple[Item, ...]]:
    """Parts of at most a thousand: a statement of SQLite takes 32,766 parameters, and other writers wait meanwhile."""
    left = iter(rows)
    while part := tuple(islice(left, 1000)):
        yield part


def _wait(seconds: float, stop: threading.Event | None) -> None:
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


def _note_use(_: object, record: Any) -> None:  # noqa: ANN401 - of SQLAlchemy's pool
    record.info["used"] = time.monotonic()


def _leave_begin_to_us(connection: Any, _: object) -> None:  # noqa: ANN401 - of sqlite3
    """Python's sqlite3 begins a transaction only before it writes, so that what was read before may be old."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    """Take the lock for writing at once: two transactions that both read first could not both go on."""
    writes = connection.get_execution_options().get("embudget_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
