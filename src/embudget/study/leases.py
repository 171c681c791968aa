"""Leases: a sweep claims a run before it trains it, so that two sweeps on one store never train the same run.

A lease carries its holder's token, which nobody else has, and a count that grows with each renewal. It ends

- with its run, or when its holder lets go of it;
- when the holder's process is known to have ended (see `embudget.study.holder`);
- when it has not been renewed for `LEASE_SECONDS`: by the clock of the database's server, where there is one. A SQLite
  file has no clock, and the clocks of hosts that share it may differ by minutes. There, whoever wants the lease must
  have watched the count stand still for that long, by a clock that nobody sets.

Beside it stands how often the run lost its worker. The loss of a sweep does not count.
"""

import os
import threading
import time
import uuid
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Row,
    case,
    cast,
    delete,
    extract,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from embudget.records import RunConfig
from embudget.study.database import Database
from embudget.study.holder import is_running, name_process
from embudget.study.tables import LEASES, RUNS, bring_up_to_date

LEASE_SECONDS = 120.0
"""A lease is free again when it was not renewed for this long; sweeps renew theirs every quarter of it."""

_issued: set[str] = set()
"""Tokens of this process, those of sweeps that have ended included."""
_in_use: set[str] = set()


def _forget_all() -> None:
    """A forked process holds nothing of what its parent does."""
    _issued.clear()
    _in_use.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Hold(Enum):
    """What came of claiming a run."""

    OURS = "ours"
    RECORDED = "recorded"
    """The run has its record."""
    HELD = "held"
    """A sweep has it that is known to live."""
    UNSURE = "unsure"
    """A sweep has it that may have ended; asked again, it is known within `LEASE_SECONDS`."""


class Losses(NamedTuple):
    """How often a run lost its worker."""

    total: int = 0
    stuck: int = 0
    """The last of them, between which it made no progress."""
    step: int = -1
    """The step of its newest checkpoint when a worker was last lost; -1 before any loss."""

    def another(self, step: int) -> "Losses":
        """With one more, at which the newest checkpoint was that of ``step``."""
        return Losses(self.total + 1, 1 if step > self.step else self.stuck + 1, max(step, self.step))


class _Watch:
    """What was seen of another's lease, at times of a clock that nobody sets."""

    def __init__(self, row: "Row[Any]", now: float) -> None:
        self.token, self.beat = row.token, row.beat
        self.looked = self.still_since = now
        self.moved: float | None = None
        """When it was last seen renewed."""

    def look(self, row: "Row[Any]", now: float, longest_gap: float) -> None:
        if row.token != self.token:
            self.__init__(row, now)  # type: ignore[misc]
        elif row.beat != self.beat:
            self.beat, self.still_since, self.moved = row.beat, now, now
        elif now - self.looked > longest_gap:
            self.still_since = now  # we slept, or the database was locked for its holder too
        self.looked = now


class Leases:
    """The leases of one sweep. Use it in a with block, at whose end it lets go of those that are left.

    Args:
        database: holds the tables of a store.
    """

    def __init__(self, database: Database) -> None:
        self.seconds = LEASE_SECONDS
        self._database = database
        self._token = uuid.uuid4().hex
        self._held: dict[str, Losses] = {}
        self._watched: dict[str, _Watch] = {}
        self._lock = threading.Lock()
        self._ready = False
        _issued.add(self._token)
        _in_use.add(self._token)

    def __enter__(self) -> "Leases":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all leases; where the database is in trouble, those who ask in this process find them free."""
        _in_use.discard(self._token)
        if self._held:
            mine = LEASES.c.token == self._token
            self._database.write(lambda connection: connection.execute(_let_go(mine)), patience=5.0)
        self._held.clear()

    def claim(self, config: RunConfig) -> Hold:
        """Lease a run, if it has no record and nobody holds it."""
        run = config.id
        if not self._ready:
            self._database.write(bring_up_to_date)
            self._ready = True

        def work(connection: Connection) -> tuple[Hold, Losses]:
            came, losses = self._take(connection, run)
            # looked up after the lease is ours: until then another sweep could have written it
            if connection.execute(select(RUNS.c.id).where(RUNS.c.id == run)).first() is not None:
                if came is Hold.OURS:
                    connection.execute(delete(LEASES).where(LEASES.c.id == run))
                return Hold.RECORDED, losses
            return came, losses

        came, losses = self._database.write(work)
        if came is Hold.OURS:
            self._held[run] = losses
        if came in (Hold.OURS, Hold.RECORDED):
            with self._lock:
                self._watched.pop(run, None)
        return came

    @property
    def holds_any(self) -> bool:
        """Whether a run of ours is under way."""
        return bool(self._held)

    def losses(self, config: RunConfig) -> Losses:
        """How often a run that we hold has lost its worker."""
        return self._held.get(config.id, Losses())

    def lost(self, config: RunConfig, step: int) -> Losses:
        """Count the loss of the worker of a run that we hold.

        Args:
            config: the run.
            step: of its newest checkpoint, -1 where there is none. Beyond that of the last loss it is progress.
        """
        losses = self.losses(config).another(step)
        values = {"losses": losses.total, "stuck": losses.stuck, "step": losses.step}
        ours = (LEASES.c.id == config.id) & (LEASES.c.token == self._token)
        self._database.write(lambda connection: connection.execute(update(LEASES).where(ours).values(**values)))
        if config.id in self._held:
            self._held[config.id] = losses
        return losses

    def release(self, config: RunConfig) -> None:
        """Let go of a run that has no record; how often it lost its worker stays known."""
        self._held.pop(config.id, None)
        ours = (LEASES.c.id == config.id) & (LEASES.c.token == self._token)
        self._database.write(lambda connection: connection.execute(_let_go(ours)))

    def ended(self, run: str) -> None:
        """Forget a run that has its record, and with it no lease any more."""
        self._held.pop(run, None)

    def renew(self, stop: threading.Event | None = None) -> set[str]:
        """Extend our leases, and look at those that we wait for.

        Returns:
            The runs that another sweep has taken over since, because we had not renewed them in time.
        """

        def work(connection: Connection) -> list[Any]:
            connection.execute(
                update(LEASES).where(LEASES.c.token == self._token).values(beat=LEASES.c.beat + 1, renewed=self._now())
            )
            asked = [*self._held, *self._watched]
            found = connection.execute(select(LEASES.c.id, LEASES.c.token, LEASES.c.beat).where(LEASES.c.id.in_(asked)))
            return list(found.all())

        rows = {row.id: row for row in self._database.write(work, stop=stop)}
        with self._lock:
            for run, watch in list(self._watched.items()):
                if run in rows:
                    watch.look(rows[run], time.monotonic(), self.seconds / 2)
        taken = {run for run in list(self._held) if run in rows and rows[run].token != self._token}
        for run in taken:
            self._held.pop(run, None)
        return taken

    def _take(self, connection: Connection, run: str) -> tuple[Hold, Losses]:
        """Take the lease of a run if it is free."""
        ours = {"token": self._token, "renewed": self._now(), "process": name_process()}
        row = connection.execute(select(LEASES, self._age().label("age")).where(LEASES.c.id == run)).first()
        if row is None:
            fresh = ours | {"id": run, "beat": 0, "losses": 0, "stuck": 0, "step": -1}
            try:
                with connection.begin_nested():
                    connection.execute(insert(LEASES).values(fresh))
            except IntegrityError:  # another was first
                return Hold.UNSURE, Losses()
            return Hold.OURS, Losses()
        if (held := self._state(row)) is not None:
            return held, Losses()
        same = (LEASES.c.id == run) & (LEASES.c.token == row.token) & (LEASES.c.beat == row.beat)
        taken = connection.execute(update(LEASES).where(same).values(ours | {"beat": row.beat + 1}))
        if taken.rowcount != 1:
            return Hold.UNSURE, Losses()
        return Hold.OURS, Losses(row.losses, row.stuck, row.step)

    def _state(self, row: "Row[Any]") -> Hold | None:
        """How far another holds a lease; None if it is free."""
        if row.token in ("", self._token):
            return None
        if row.token in _issued:
            return Hold.HELD if row.token in _in_use else None
        running = is_running(row.process)
        if running is False:
            return None
        now = time.monotonic()
        with self._lock:
            watch = self._watched.setdefault(row.id, _Watch(row, now))
            watch.look(row, now, self.seconds / 2)
            over = now - watch.still_since if row.age is None else row.age
            if over > self.seconds:
                return None
            moving = watch.moved is not None and now - watch.moved < self.seconds / 2
        return Hold.HELD if running or moving else Hold.UNSURE

    def _now(self) -> "ColumnElement[float] | None":
        """The server's time in seconds; None where the database has no server."""
        if self._database.dialect == "postgresql":
            return cast(extract("epoch", func.clock_timestamp()), Double)
        if self._database.dialect in ("mysql", "mariadb"):
            return literal_column("unix_timestamp(current_timestamp(6))", Double)
        return None

    def _age(self) -> "ColumnElement[Any]":
        """Seconds since a lease was renewed, by the server's clock; NULL where there is none.

        It does not grow while the server is down, because then nobody can renew a lease.
        """
        now = self._now()
        if now is None:
            return cast(None, Double)
        age = now - LEASES.c.renewed
        if self._database.dialect == "postgresql":
            up = cast(extract("epoch", func.clock_timestamp() - func.pg_postmaster_start_time()), Double)
            return case((up < age, up), else_=age)
        return age


def _let_go(which: "ColumnElement[bool]") -> Any:  # noqa: ANN401 - an update, of a type that differs by version
    return update(LEASES).where(which).values(token="", process="")
