"""What is known of a lease: who has it, how often its run lost its worker, how far the run is, when it stood still."""

from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import Row

MORE = "more to come"
"""The lease, of no run, of a driver that will queue further runs: while somebody holds it, idle workers wait."""


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
    reason: str = ""
    """How the last one was lost."""

    def another(self, step: int, reason: str) -> "Losses":
        """With one more, at which the newest checkpoint was that of ``step``."""
        return Losses(self.total + 1, 1 if step > self.step else self.stuck + 1, max(step, self.step), reason)

    def as_columns(self) -> dict[str, Any]:
        """As a row of the leases has it."""
        return {"losses": self.total, "stuck": self.stuck, "step": self.step, "reason": self.reason[:255]}


class Seen(NamedTuple):
    """What somebody else's lease says."""

    hold: Hold | None
    """How far its holder has it; None where it is free: let go, or its holder is known to be gone."""
    worker: str
    """Its holder, or who held it last."""
    share: float | None
    """Spent share of the run's budget; None before its first step."""
    loss: float | None
    """Loss of its last step, nats."""
    losses: int
    """How often the run lost its worker."""
    reason: str
    """How the last one was lost."""
    let_go: bool
    """Whether nobody has it."""
    pace: float | None
    """Shares of the budget a second; None before its second step."""


class Watch:
    """What was seen of another's lease, at times of a clock that nobody sets."""

    def __init__(self, row: "Row[Any]", now: float) -> None:
        self.token, self.beat = row.token, row.beat
        self.looked = self.still_since = now
        self.moved: float | None = None
        """When it was last seen renewed."""

    def look(self, row: "Row[Any]", now: float, longest_gap: float) -> None:
        """See the lease at a time; where nobody looked for longer than the gap, what was seen before says nothing."""
        if row.token != self.token:
            self.__init__(row, now)  # type: ignore[misc]
        elif row.beat != self.beat:
            self.beat, self.still_since, self.moved = row.beat, now, now
        elif now - self.looked > longest_gap:
            self.still_since = now  # we slept, or the database was locked for its holder too
        self.looked = now
