"""Leases: whoever trains a run claims it before, so that two sweeps or workers on one store never train the same run.

A lease carries its holder's token, which nobody else has, and a count that grows with each renewal. It ends

- with its run, or when its holder lets go of it;
- when the holder's process is known to have ended (see `embudget.study.holder`);
- when it has not been renewed for `LEASE_SECONDS`: by the clock of the database's server, where there is one. A SQLite
  file has no clock, and the clocks of hosts that share it may differ by minutes. There, whoever wants the lease must
  have watched the count stand still for that long, by a clock that nobody sets.

Beside it stands how often the run lost its worker. The end of a sweep's driver does not count; that of a worker on its
own (`embudget.study.work`) does, since a run may have brought its whole machine down. Letting go is no loss.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from embudget.records import RunConfig
from embudget.study.ages import age, is_held
from embudget.study.database import Database, in_parts, insert_new
from embudget.study.holder import is_running, name_process
from embudget.study.holds import MORE, Hold, Losses, Seen, Watch
from embudget.study.last_steps import LastSteps
from embudget.study.tables import LEASES, RUNS, bring_up_to_date, is_up_to_date
from embudget.study.trunks import Task

__all__ = ["LEASE_SECONDS", "Hold", "Leases", "Losses"]

LEASE_SECONDS = 120.0
"""A lease is free again when it was not renewed for this long; whoever holds some renews them all every few seconds."""

StepOf = Callable[[RunConfig], int]
"""The step of a run's newest checkpoint, -1 where there is none."""

_issued: set[str] = set()
"""Tokens of this process, those of sweeps that have ended included."""
_in_use: set[str] = set()


def _forget_all() -> None:
    """A forked process holds nothing of what its parent does."""
    _issued.clear()
    _in_use.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


class Leases:
    """The leases of one sweep or worker. Use it in a with block, at whose end it lets go of those that are left.

    Args:
        database: holds the tables of a store.
        name: of the holder, for people; by default its host and process.
        counts: whether the end of the holder, if it does not let go, counts as a loss of the run under way.
    """

    def __init__(self, database: Database, name: str | None = None, counts: bool = False) -> None:
        self.seconds = LEASE_SECONDS
        self._database = database
        self._mark = {"worker": (name or f"{socket.gethostname()}:{os.getpid()}")[:128], "counts": int(counts)}
        self._steps = LastSteps()
        self._age = age(database)
        self._token = uuid.uuid4().hex
        self._held: dict[str, Losses] = {}
        self._watched: dict[str, Watch] = {}
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

    def claim(self, config: RunConfig, step_of: StepOf = lambda config: -1) -> Hold:
        """Lease a run, if it has no record and nobody holds it.

        Args:
            config: the run.
            step_of: asked where the lease of a lost worker is taken over, to tell progress from none.
        """
        return self.claim_first(lambda connection: (config,), step_of)[0]

    def claim_first(self, pick: Callable[[Connection], Task], step_of: StepOf = lambda config: -1) -> tuple[Hold, Task]:
        """Lease the first run of a task that is picked in the same transaction.

        Returns:
            What came of it, and the task; an empty one where there was none to pick.
        """
        if not self._ready:
            self._database.write(bring_up_to_date)
            self._ready = True

        def work(connection: Connection) -> tuple[Hold, Task, Losses]:
            if not (task := pick(connection)):
                return Hold.HELD, (), Losses()
            run = task[0].id
            came, losses = self._take(connection, run, lambda: step_of(task[0]))
            # looked up after the lease is ours: until then another sweep could have written it
            if connection.execute(select(RUNS.c.id).where(RUNS.c.id == run)).first() is not None:
                if came is Hold.OURS:
                    connection.execute(delete(LEASES).where(LEASES.c.id == run))
                return Hold.RECORDED, task, losses
            return came, task, losses

        came, task, losses = self._database.write(work)
        if task and came is Hold.OURS:
            self._held[task[0].id] = losses
        if task and came in (Hold.OURS, Hold.RECORDED):
            with self._lock:
                self._watched.pop(task[0].id, None)
        return came, task

    def step(self, config: RunConfig, share: float, loss: float) -> None:
        """Remember how far a run of ours is; the next renewal writes it down."""
        self._steps.step(config.id, share, loss)

    @property
    def holds_any(self) -> bool:
        """Whether a run of ours is under way."""
        return bool(self._held)

    def losses(self, config: RunConfig) -> Losses:
        """How often a run that we hold has lost its worker."""
        return self._held.get(config.id, Losses())

    def lost(self, config: RunConfig, step: int, reason: str = "") -> Losses:
        """Count the loss of the worker of a run that we hold.

        Args:
            config: the run.
            step: of its newest checkpoint, -1 where there is none. Beyond that of the last loss it is progress.
            reason: how it was lost, for people.
        """
        losses = self.losses(config).another(step, reason)
        ours = (LEASES.c.id == config.id) & (LEASES.c.token == self._token)
        self._database.write(
            lambda connection: connection.execute(update(LEASES).where(ours).values(**losses.as_columns()))
        )
        if config.id in self._held:
            self._held[config.id] = losses
        return losses

    def release(self, config: RunConfig) -> None:
        """Let go of a run that has no record; how often it lost its worker stays known."""
        self.ended(config.id)
        ours = (LEASES.c.id == config.id) & (LEASES.c.token == self._token)
        self._database.write(lambda connection: connection.execute(_let_go(ours)))

    def ended(self, run: str) -> None:
        """Forget a run that has its record, and with it no lease any more."""
        self._held.pop(run, None)
        self._steps.forget(run)

    def renew(self, stop: threading.Event | None = None) -> set[str]:
        """Extend our leases, write down how far their runs are, and look at those that we wait for.

        Returns:
            The runs that another sweep has taken over since, because we had not renewed them in time.
        """

        def work(connection: Connection) -> list[Any]:
            held, renewed = list(self._held), 0
            change = update(LEASES).values(beat=LEASES.c.beat + 1, renewed=self._database.now)
            for some in in_parts(held):  # by their ids: the tokens of leases are in no index
                ours = LEASES.c.id.in_(some), LEASES.c.token == self._token
                renewed += connection.execute(change.where(*ours)).rowcount
            found: list[Any] = []
            for some in in_parts([*(held if renewed < len(held) else ()), *self._watched]):
                seen = select(LEASES.c.id, LEASES.c.token, LEASES.c.beat).where(LEASES.c.id.in_(some))
                found += connection.execute(seen).all()
            return found

        rows = {row.id: row for row in self._steps.tell(self._database, self._token, work, stop)}
        with self._lock:
            for run, watch in list(self._watched.items()):
                if run in rows:
                    watch.look(rows[run], time.monotonic(), self.seconds / 2)
        taken = {run for run in list(self._held) if run in rows and rows[run].token != self._token}
        for run in taken:
            self.ended(run)
        return taken

    @cached_property
    def held(self) -> "ColumnElement[bool]":
        """Whether a lease is held, of a row: it has a token, and was renewed in time where a server's clock knows."""
        return is_held(self._database, self.seconds)

    def of_others(self) -> dict[str, Seen]:
        """What the leases of others say, by the id of the run."""

        def look(connection: Connection) -> list[Any]:
            if not is_up_to_date(connection):
                return []
            theirs = (LEASES.c.token != self._token) & (LEASES.c.id != MORE)
            return list(connection.execute(select(LEASES, self._age.label("age")).where(theirs)).all())

        lives = cache(is_running)  # a node's leases name one process
        return {
            row.id: Seen(
                self._state(row, lives),
                row.worker,
                row.share,
                row.loss,
                row.losses,
                row.reason,
                row.token == "",
                row.pace,
            )
            for row in self._database.read(look)
        }

    def promise_more(self, stop: threading.Event | None = None) -> None:
        """Have idle workers wait for runs that we shall queue: while this is asked again and again, until `close`."""
        if MORE not in self._held:
            came, losses = self._database.write(lambda connection: self._take(connection, MORE, lambda: -1), stop=stop)
            if came is Hold.OURS:
                self._held[MORE] = losses
        self.renew(stop)

    def more_to_come(self) -> bool:
        """Whether a driver that may live has promised more runs."""
        promise = select(LEASES, self._age.label("age")).where(LEASES.c.id == MORE)
        row = self._database.read(lambda of: of.execute(promise).first() if is_up_to_date(of) else None)
        return row is not None and self._state(row, is_running) is not None

    def _take(self, connection: Connection, run: str, newest_step: Callable[[], int]) -> tuple[Hold, Losses]:
        """Take the lease of a run if it is free; where its worker has not let go of it, that is a loss."""
        ours: dict[str, Any] = {"token": self._token, "process": name_process()} | self._mark
        ours |= {"share": None, "loss": None, "pace": None}
        now = self._database.now
        try:
            fresh = ours | {"id": run, "beat": 0} | Losses().as_columns()
            if insert_new(connection, LEASES, fresh, () if now is None else (("renewed", now),)):
                return Hold.OURS, Losses()
        except IntegrityError as error:  # the table takes no lease of ours, and never will
            raise self._database.refusal(error) from None
        row = connection.execute(select(LEASES, self._age.label("age")).where(LEASES.c.id == run)).first()
        if row is None:  # another was first, and has its record by now
            return Hold.UNSURE, Losses()
        if (held := self._state(row, is_running)) is not None:
            return held, Losses()
        losses = Losses(row.losses, row.stuck, row.step, row.reason)
        if row.counts and row.token not in ("", self._token) and row.token not in _issued:
            losses = losses.another(newest_step(), f"its worker {row.worker} was lost")
            ours |= losses.as_columns()
        same = (LEASES.c.id == run) & (LEASES.c.token == row.token) & (LEASES.c.beat == row.beat)
        taken = connection.execute(update(LEASES).where(same).values(ours | {"beat": row.beat + 1, "renewed": now}))
        if taken.rowcount != 1:
            return Hold.UNSURE, Losses()
        return Hold.OURS, losses

    def _state(self, row: "Row[Any]", lives: Callable[[str], bool | None]) -> Hold | None:
        """How far another holds a lease; None if it is free."""
        if row.token in ("", self._token):
            return None
        if row.token in _issued:
            return Hold.HELD if row.token in _in_use else None
        running = lives(row.process)
        if running is False:
            return None
        now = time.monotonic()
        with self._lock:
            watch = self._watched.setdefault(row.id, Watch(row, now))
            watch.look(row, now, self.seconds / 2)
            over = now - watch.still_since if row.age is None else row.age
            if over > self.seconds:
                return None
            moving = watch.moved is not None and now - watch.moved < self.seconds / 2
        return Hold.HELD if running or moving else Hold.UNSURE


def _let_go(which: "ColumnElement[bool]") -> Any:  # noqa: ANN401 - an update, of a type that differs by version
    return update(LEASES).where(which).values(token="", process="")
