"""What was decided, round by round: decisions.jsonl, to which each round adds a line before anything of it is trained.

A line holds the decision, what had been measured since the one before and what that changed, and the runs that realise
its purchases. A search that was killed reads the lines and goes on behind the last one: what a line says is not decided
again, and its runs that have no record yet are trained. So the file only grows, and whatever happens in between, the
same lines come out. A line that a kill cut short is removed: nothing of it had been trained.

`start.json`, written before the first line, holds what the decisions rest on besides: the runs that the store held
before, and the runs of the arms with the precision that was settled for them.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.errors import ConfigError
from embudget.files import flush, save_text
from embudget.frozen import Frozen
from embudget.limits import Flops
from embudget.reading import parse_json, read_json
from embudget.records import RunConfig
from embudget.spending.allocation import Allocation, Decision, Setting


class BoughtRun(Frozen):
    """The run that realises a purchase."""

    run: str = Field(description="its id in the store")
    train_flops: Flops = Field(description="its budget: that of the purchase, or less where the pairs or the rest end")
    warmup_flops: Flops = Field(description="of its trunk, FLOP")
    shared_flops: NonNegativeFloat = Field(description="of its trunk that were there; 0 where it begins anew")
    branch_flops: NonNegativeFloat = Field(description="at which its decay begins, to the step, FLOP")
    end_flops: NonNegativeFloat = Field(description="at its end, to the step, FLOP")

    devices: PositiveInt = Field(default=1, description="of the machine, which train it together")
    speedup: PositiveFloat = Field(default=1.0, description="how many times as fast as one device they were timed")

    @property
    def own_flops(self) -> float:
        """FLOP that it adds."""
        return self.end_flops - self.shared_flops


class Came(Frozen):
    """What came of a run of the round before."""

    run: str
    status: Literal["done", "diverged", "failed"]
    loss: float | None = Field(description="held-out, nats")
    error: NonNegativeFloat = Field(description="standard error of it, nats; 0 where it is not known")
    cost: NonNegativeFloat = Field(description="what was spent on it, in the budget's unit")


class Round(Frozen):
    """One line of decisions.jsonl."""

    decision: Decision
    changed: str = Field(description="what the measurements since the last decision did to the choice")
    measured: tuple[Came, ...] = Field(description="what came of the last decision's purchases, in their order")
    spent: NonNegativeFloat = Field(description="of the budget, before this round, in its unit")
    bought: tuple[BoughtRun, ...] = Field(description="the runs of the decision's purchases, in their order")
    dropped: tuple[Setting, ...] = Field(description="whose trunks are not kept any longer: the disk is bounded")


class Beginning(Frozen):
    """What decisions rest on besides measurements."""

    allocation: Allocation
    known: tuple[str, ...] = Field(description="ids of runs of the arms that the store held before, which are free")
    arms: tuple[RunConfig, ...] = Field(description="a run of each arm, as the others differ from it in their setting")

    def save(self, file: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        save_text(file, self.model_dump_json(indent=1))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigError: it is missing or damaged.
        """
        return cls.read(read_json(file, ConfigError), str(file))


class DecisionLog:
    """The rounds in a file, which only grows.

    Args:
        file: decisions.jsonl.

    Raises:
        ConfigError: it cannot be read, or a line of it is no round.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rounds: list[Round] = []
        if not file.exists():
            return
        text = file.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(file, len(whole))
        for number, line in enumerate(whole.decode(errors="replace").splitlines(), start=1):
            where = f"{file}: line {number}"
            self.rounds.append(Round.read(parse_json(line, where), where))

    def add(self, one: Round) -> None:
        """Write a round, and have it on the disk before anything of it is trained.

        Raises:
            ConfigError: the disk is full, say; a half-written line is removed.
        """
        new, length = not self._file.exists(), self._file.stat().st_size if self._file.exists() else 0
        try:
            with self._file.open("ab") as file:
                file.write(one.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._file, length)
            raise ConfigError(f"cannot write {self._file}: {error.strerror or error}") from None
        if new:
            flush(self._file.parent)
        self.rounds.append(one)

    @property
    def decisions(self) -> Sequence[Decision]:
        """The decisions of all rounds."""
        return [one.decision for one in self.rounds]
