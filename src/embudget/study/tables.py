"""The tables of a store, and bringing older ones up to date.

Records, in `RUNS`, are the same in every format, so that an older store is read as it is. The first sweep that queues
or claims a run in it replaces the leases, which are those of sweeps by an older version, and adds what is missing:
format 1 had leases that ended by the clock of whoever looked, format 2 had neither a queue nor the progress of runs.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateTable, DropTable

from embudget.errors import StoreError

FORMAT, _OLD_FORMATS = "3", ("1", "2")

_METADATA = MetaData()
ABOUT = Table(
    "embudget", _METADATA, Column("key", String(32), primary_key=True), Column("value", String(64), nullable=False)
)
RUNS = Table(
    "runs",
    _METADATA,
    Column("id", String(16), primary_key=True),
    Column("config", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("record", Text, nullable=False),
    Column("written", Double, nullable=False),
)
_BY_TIME = Index("runs_written", RUNS.c.written)  # each new record looks up the last one's time
LEASES = Table(
    "leases",
    _METADATA,
    Column("id", String(16), primary_key=True),
    Column("token", String(32), nullable=False),  # known to its holder alone; empty where it is free
    Column("beat", BigInteger, nullable=False),  # grows with each renewal
    Column("renewed", Double),  # seconds by the server's clock, where there is one
    Column("process", String(255), nullable=False),
    Column("losses", Integer, nullable=False),
    Column("stuck", Integer, nullable=False),  # the last losses, without progress in between
    Column("step", BigInteger, nullable=False),  # where the newest checkpoint stood at the last loss
    Column("reason", String(255), nullable=False),  # why the last worker was lost, for people
    Column("counts", Integer, nullable=False),  # 1: a worker, whose end counts as a loss; 0: a driver, whose does not
    Column("worker", String(128), nullable=False),  # the holder's name, for people
    Column("share", Double),  # spent share of the run's budget; NULL before its first step
    Column("loss", Double),  # loss of the last step, nats
    Column("pace", Double),  # shares a second, by the worker's own clock
)
QUEUE = Table(
    "queue",
    _METADATA,
    # A run waits here until it has its record. Those of one task share a trunk: one worker trains them, cheapest first.
    Column("id", String(16), primary_key=True),
    Column("task", String(32), nullable=False, index=True),  # the name of their trunk, or the id of a run alone
    Column("train_flops", Double, nullable=False),  # the order of runs in their task
    Column("flops", Double, nullable=False),  # those it adds to its task
    Column("kind", Text, nullable=False),  # JSON of `embudget.study.run_times.StepKind`: how long a FLOP takes
    Column("seconds", Double, nullable=False),  # expected of the whole task: the longest is handed out first
    Column("place", String(16), nullable=False),  # where its pairs and checkpoints are
    Column("config", Text, nullable=False),
    Column("out", Text),  # the folder or URL for its model; NULL where only the record counts
    Column("too_small", Double, nullable=False),  # bytes of the largest device whose memory did not suffice, 0 if none
)
Index("queue_order", QUEUE.c.seconds.desc(), QUEUE.c.task)
PLACES = Table(
    "places",
    _METADATA,
    Column("id", String(16), primary_key=True),  # the hash of its content
    Column("place", Text, nullable=False),  # JSON of `embudget.study.queue.Place`
)
RESULTS = Table(
    "results",
    _METADATA,
    # What is shown of a run while others go on, and what it took: records take up to 25 kB each, too much to be read
    # every few seconds. A run recorded by an older version has no row.
    Column("id", String(16), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("model", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("train_flops", Double, nullable=False),  # its budget
    Column("learning_rate", Double, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("max_length", Integer, nullable=False),
    Column("negatives", Integer, nullable=False),
    Column("precision", String(16), nullable=False),
    Column("measured_on", String(16), nullable=False),  # losses compare where it is the same
    Column("loss", Double),
    Column("reason", String(255)),  # why it failed or diverged
    Column("flops", Double),  # its own, without what a cheaper run of its trunk had spent
    Column("seconds", Double),  # that these took
    Column("took", Double),  # seconds from its lease to its record, by the worker's own clock
    Column("tokens_per_pair", Double),
    Column("device", Text, nullable=False),
    Column("worker", String(128), nullable=False),
    Column("written", Double, nullable=False),
)
Index("results_written", RESULTS.c.written)


def check_tables(connection: Connection, location: str, create: bool) -> bool:
    """Whether the tables are there and can be used.

    Raises:
        StoreError: they are another program's or of an unknown format, or missing and not to be made.
    """
    tables = set(inspect(connection).get_table_names())
    if tables and ABOUT.name not in tables:
        raise StoreError(f"{location} is a database of another program: it holds {min(tables)}")
    found = _format(connection) if tables else None
    if found is None and not create:
        raise StoreError(f"{location} holds no study")
    if found not in (None, FORMAT, *_OLD_FORMATS):
        raise StoreError(f"{location} has format {found}, this version of embudget reads {FORMAT}")
    return found is not None


def make_tables(connection: Connection) -> None:
    """Make all tables, also where a start at this was interrupted.

    Raises:
        IntegrityError: another process has just done so.
    """
    connection.execute(CreateTable(ABOUT, if_not_exists=True))
    connection.execute(insert(ABOUT).values(key="format", value=FORMAT))
    connection.execute(CreateTable(RUNS, if_not_exists=True))
    _make_the_rest(connection)


def bring_up_to_date(connection: Connection) -> None:
    """Replace the leases of older formats, which are those of sweeps by an older version, and add what they lack."""
    if _format(connection) == FORMAT:
        return
    # if several processes come at once, one changes the row and the others wait for it
    changed = connection.execute(
        update(ABOUT).where(ABOUT.c.key == "format", ABOUT.c.value.in_(_OLD_FORMATS)).values(value=FORMAT)
    )
    if changed.rowcount == 1:
        _make_the_rest(connection)


def is_up_to_date(connection: Connection) -> bool:
    """Whether the store has a queue: one of an older format has none until a sweep or a worker begins in it."""
    return _format(connection) == FORMAT


def _make_the_rest(connection: Connection) -> None:
    _BY_TIME.create(connection, checkfirst=True)
    connection.execute(DropTable(LEASES, if_exists=True))
    for table in (LEASES, QUEUE, PLACES, RESULTS):
        table.create(connection, checkfirst=True)


def _format(connection: Connection) -> str | None:
    found = connection.execute(select(ABOUT.c.value).where(ABOUT.c.key == "format")).scalar()
    return None if found is None else str(found)
