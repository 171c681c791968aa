"""How far the runs of one holder are, and writing that beside their leases.

A worker of many short runs makes many steps between two renewals. Only the last one of each run is written, and only
of runs that have made one since.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, bindparam, update

from embudget.errors import StoreError
from embudget.study.database import Database
from embudget.study.tables import LEASES

Result = TypeVar("Result")

_SAID = (
    update(LEASES)
    .where(LEASES.c.id == bindparam("run"), LEASES.c.token == bindparam("holder"))
    .values(share=bindparam("a_share"), loss=bindparam("a_loss"), pace=bindparam("a_pace"))
)


class Progress:
    """How far a run of ours is: its share, loss and pace, by a clock that nobody sets."""

    def __init__(self, share: float) -> None:
        self._began, self._from = time.monotonic(), share
        self.share, self.loss = share, 0.0

    def step(self, share: float, loss: float) -> None:
        """After a step: the share of the run's budget that is spent, the step's loss in nats."""
        self.share, self.loss = share, loss

    @property
    def pace(self) -> float | None:
        """Shares of the budget a second since the run began here; None before its second step."""
        seconds = time.monotonic() - self._began
        return (self.share - self._from) / seconds if self.share > self._from and seconds > 0 else None


class LastSteps:
    """The last step of each run that somebody holds."""

    def __init__(self) -> None:
        self._last: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self._untold: set[str] = set()
        """The runs that have made a step since the database was told of their last one."""

    def step(self, run: str, share: float, loss: float) -> None:
        """Remember a step: the share of the run's budget that is spent, the step's loss in nats."""
        with self._lock:
            self._last.setdefault(run, Progress(share)).step(share, loss)
            self._untold.add(run)

    def forget(self, run: str) -> None:
        """A run that is not held any more."""
        self._last.pop(run, None)

    def tell(
        self, database: Database, token: str, work: Callable[[Connection], Result], stop: threading.Event | None
    ) -> Result:
        """Write down what is not told yet, in one transaction with other work, and return what that does.

        Raises:
            StoreError: the store cannot be written; the next call writes it.
        """
        with self._lock:
            untold, self._untold = self._untold, set()
        said = [
            {"run": run, "holder": token, "a_share": now.share, "a_loss": now.loss, "a_pace": now.pace}
            for run in untold
            if (now := self._last.get(run)) is not None
        ]

        def both(connection: Connection) -> Result:
            if said:
                connection.execute(_SAID, said)
            return work(connection)

        try:
            return database.write(both, stop=stop)
        except StoreError:
            with self._lock:
                self._untold |= untold
            raise
