"""The store of a study: one row a run, keyed by the hash of its configuration, in any database SQLAlchemy reaches.

Rows are inserted whole, in one transaction, and never changed; those of failed runs may be deleted, so that the runs
are done again. Beside them stand leases: a sweep claims a run before it trains it, so that two sweeps on one store
never train the same run, and counts the attempts. A lease ends with its run, when its sweep lets go of it, or when it
has not been renewed for two minutes. A sweep on the same machine also sees at once that the holder's process is gone.
"""

import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from embudget.errors import StoreError, first_line
from embudget.reading import check_regular, parse_json
from embudget.records import RunConfig, RunRecord, records_frame

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

LEASE_SECONDS = 120.0
"""A lease is free again when it was not renewed for this long; sweeps renew theirs every quarter of it."""

FORMAT = "1"

_PROCESS = uuid.uuid4().hex[:12]
"""Tells this process apart from an earlier one with the same number, as restarted containers have."""

_METADATA = MetaData()
_ABOUT = Table(
    "embudget", _METADATA, Column("key", String(32), primary_key=True), Column("value", String(64), nullable=False)
)
_RUNS = Table(
    "runs",
    _METADATA,
    Column("id", String(16), primary_key=True),
    Column("config", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("record", Text, nullable=False),
    Column("written", Double, nullable=False),
)
_LEASES = Table(
    "leases",
    _METADATA,
    Column("id", String(16), primary_key=True),
    Column("owner", String(128), nullable=False),
    Column("expires", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
)


class Store:
    """Records of runs in a database.

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
        self.location = str(location)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{_PROCESS}"
        if "://" not in self.location:
            _check_file(Path(self.location), create)
        url = self.location if "://" in self.location else f"sqlite:///{self.location}"
        try:
            self._engine: Engine = create_engine(url)
        except (ArgumentError, ImportError) as error:
            raise StoreError(f"cannot open the store {self.location}: {_one_line(error)}") from None
        self._prepare(create)

    @property
    def checkpoints(self) -> Path | None:
        """Folder for the checkpoints of runs in training, beside a SQLite file; None for any other database."""
        file = self._engine.url.database if self._engine.dialect.name == "sqlite" else None
        if not file or file == ":memory:" or file.startswith("file:"):
            return None
        return Path(f"{file}.checkpoints")

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def records(self) -> list[RunRecord]:
        """All records, in the order they were written."""
        with self._connect() as connection:
            rows = connection.execute(select(_RUNS.c.record).order_by(_RUNS.c.written)).scalars().all()
        row_of = f"{self.location}: a row"
        return [RunRecord.read(parse_json(row, row_of, StoreError), row_of, StoreError) for row in rows]

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
        return records_frame(self.records())

    def ids(self) -> set[str]:
        """The ids of all runs that have a record."""
        with self._connect() as connection:
            return set(connection.execute(select(_RUNS.c.id)).scalars())

    def claim(self, config: RunConfig) -> int | None:
        """Lease a run.

        Returns:
            The number of this attempt, from 1; None while another sweep holds the run, or when it has its record.
        """
        with self._connect() as connection:
            attempt = self._lease(connection, config.id)
            # looked up after the lease is ours: until then another sweep could have written it
            if connection.execute(select(_RUNS.c.id).where(_RUNS.c.id == config.id)).first() is not None:
                connection.execute(delete(_LEASES).where(_LEASES.c.id == config.id))
                return None
        return attempt

    def renew(self) -> None:
        """Extend the leases that this process holds and that have not been let go."""
        with self._connect() as connection:
            connection.execute(
                update(_LEASES)
                .where(_LEASES.c.owner == self._owner, _LEASES.c.expires > 0)
                .values(expires=time.time() + LEASE_SECONDS)
            )

    def release(self, config: RunConfig, forget: bool = False) -> None:
        """Let a leased run go without a record; with ``forget`` the attempt does not count."""
        mine = (_LEASES.c.id == config.id) & (_LEASES.c.owner == self._owner)
        with self._connect() as connection:
            values = {"expires": 0.0} | ({"attempts": _LEASES.c.attempts - 1} if forget else {})
            connection.execute(update(_LEASES).where(mine).values(**values))

    def add(self, record: RunRecord) -> bool:
        """Write a record and end its lease, in one transaction.

        Returns:
            Whether it was written; False where the run has a record already, which stays as it is.

        Raises:
            StoreError: the database cannot be written.
        """
        row = {
            "id": record.id,
            "config": record.config.model_dump_json(),
            "status": record.status,
            "record": record.model_dump_json(exclude_none=True),
            "written": time.time(),
        }
        try:
            with self._connect() as connection:
                connection.execute(insert(_RUNS).values(row))
                connection.execute(delete(_LEASES).where(_LEASES.c.id == record.id))
        except IntegrityError:
            return False
        return True

    def forget_failed(self, runs: Iterable[RunConfig]) -> None:
        """Delete the records of those of the runs that failed, so that they are done again."""
        with self._connect() as connection:
            for config in runs:
                connection.execute(delete(_RUNS).where(_RUNS.c.id == config.id, _RUNS.c.status == "failed"))

    def _lease(self, connection: Connection, run: str) -> int | None:
        """Take the lease of a run if it is free; the number of the attempt."""
        expires = time.time() + LEASE_SECONDS
        held = connection.execute(select(_LEASES).where(_LEASES.c.id == run)).first()
        if held is None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(_LEASES).values(id=run, owner=self._owner, expires=expires, attempts=1))
            except IntegrityError:
                return None
            return 1
        if held.expires > time.time() and not _process_is_gone(held.owner):
            return None
        taken = connection.execute(
            update(_LEASES)
            .where(_LEASES.c.id == run, _LEASES.c.owner == held.owner, _LEASES.c.expires == held.expires)
            .values(owner=self._owner, expires=expires, attempts=held.attempts + 1)
        )
        return int(held.attempts) + 1 if taken.rowcount == 1 else None

    def _prepare(self, create: bool) -> None:
        with self._connect() as connection:
            tables = set(inspect(connection).get_table_names())
            if tables and _ABOUT.name not in tables:
                raise StoreError(f"{self.location} is a database of another program: it holds {min(tables)}")
        found = self._format() if tables else None
        if found is None:
            if not create:
                raise StoreError(f"{self.location} holds no study")
            self._create()
            found = self._format()
        if found != FORMAT:
            raise StoreError(f"{self.location} has format {found}, this version of embudget reads {FORMAT}")

    def _create(self) -> None:
        """Make what is missing; another process may do the same at the same time."""
        try:
            with self._connect() as connection:
                for table in (_ABOUT, _RUNS, _LEASES):
                    connection.execute(CreateTable(table, if_not_exists=True))
                connection.execute(insert(_ABOUT).values(key="format", value=FORMAT))
        except IntegrityError:
            pass  # the other was first

    def _format(self) -> str | None:
        with self._connect() as connection:
            found = connection.execute(select(_ABOUT.c.value).where(_ABOUT.c.key == "format")).scalar()
        return None if found is None else str(found)

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        """One transaction; the database's failures become one line."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, UnicodeError) as error:  # the driver lets text through that is not UTF-8
            raise StoreError(f"cannot use the store {self.location}: {_one_line(error)}") from None


def _check_file(path: Path, create: bool) -> None:
    try:
        if path.is_dir():
            raise StoreError(f"a store is a file or a URL, got the folder {path}")
        if path.exists():
            check_regular(path)
            with path.open("rb") as file:
                start = file.read(16)
            if start and start != b"SQLite format 3\0":
                raise StoreError(f"{path} is not a store: it is no SQLite file")
        elif not create:
            raise StoreError(f"there is no store at {path}")
        elif not path.absolute().parent.is_dir():
            raise StoreError(f"cannot make the store {path}: its folder does not exist")
    except OSError as error:
        raise StoreError(f"cannot open the store {path}: {error.strerror}") from None
    except ValueError as error:  # a name with a NUL
        raise StoreError(f"cannot open the store {str(path)!r}: {error}") from None


def _process_is_gone(owner: str) -> bool:
    """Whether an owner on this machine has ended; of other machines only the lease's time tells."""
    host, pid, process = owner.rsplit(":", 2)
    if host != socket.gethostname() or os.name != "posix":
        return False
    if int(pid) == os.getpid():
        return process != _PROCESS
    try:
        os.kill(int(pid), 0)
    except OSError as error:  # of another user's process: permission is denied
        return isinstance(error, ProcessLookupError)
    return False


def _one_line(error: BaseException) -> str:
    """What the database's driver says, or SQLAlchemy where it was no error of the driver."""
    return first_line(getattr(error, "orig", None) or error)
