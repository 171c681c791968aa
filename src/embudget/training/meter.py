"""Counting what a run processes, and with it how much of its budget is spent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from embudget import flops
from embudget.flops import Passes
from embudget.methods import Method
from embudget.suite.shapes import ModelShape


@dataclass
class BudgetMeter:
    """Running totals of one training run in algorithmic and executed FLOP."""

    method: Method
    shape: ModelShape
    steps: int = 0
    pairs: int = 0
    tokens: int = 0
    """Non-pad tokens of queries, positives and hard negatives: they alone are charged to the budget."""
    passes: Passes = field(default_factory=Passes)
    """Tokens computed, padding and second passes included."""

    def add_step(self, pairs: int, tokens: int) -> None:
        """Charge a step; from now on the totals include it."""
        self.steps += 1
        self.pairs += pairs
        self.tokens += tokens

    def add_passes(self, more: Iterable[int]) -> None:
        """Count what went through the model, given in the order of the fields of `Passes`."""
        self.passes = Passes(*map(sum, zip(self.passes, more, strict=True)))

    @property
    def train_flops(self) -> float:
        """Algorithmic FLOP spent."""
        return flops.train_flops(self.method, self.shape, self.tokens)

    @property
    def executed_flops(self) -> float:
        """FLOP that the hardware executed."""
        return flops.executed_flops(self.method, self.shape, self.passes)

    def share(self, budget: float, more_tokens: float = 0) -> float:
        """Share of a budget in FLOP spent after ``more_tokens`` from now; the last step may bring it above 1."""
        return flops.train_flops(self.method, self.shape, self.tokens + more_tokens) / budget

    def state(self) -> dict[str, Any]:
        """The totals, for a checkpoint."""
        return {"steps": self.steps, "pairs": self.pairs, "tokens": self.tokens, "passes": self.passes._asdict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the totals that `state` gave."""
        self.steps, self.pairs, self.tokens = state["steps"], state["pairs"], state["tokens"]
        self.passes = Passes(**state["passes"])
