"""Counting what a run processes, and with it how much of its budget is spent."""

from dataclasses import dataclass

from embudget import flops
from embudget.methods import Method
from embudget.suite.shapes import ModelShape


@dataclass
class BudgetMeter:
    """Running totals of one training run against its budget in algorithmic FLOP."""

    budget: float
    method: Method
    shape: ModelShape
    steps: int = 0
    pairs: int = 0
    tokens: int = 0
    """Non-pad tokens of queries and positives: they alone are charged to the budget."""
    padded_tokens: int = 0
    squared_lengths: int = 0
    """Sum over the texts of the squared padded length, for the attention scores."""
    forwards: int = 1
    """Forward passes a text goes through; 2 with gradient caching."""
    step_tokens: int = 0
    """Tokens of the step that is under way."""

    def start_step(self, pairs: int, tokens: int) -> None:
        """Charge a step; from now on the totals include it."""
        self.steps += 1
        self.pairs += pairs
        self.tokens += tokens
        self.step_tokens = tokens

    def add_chunk(self, texts: int, length: int) -> None:
        """Count one padded forward of ``texts`` x ``length`` tokens."""
        self.padded_tokens += texts * length
        self.squared_lengths += texts * length * length

    @property
    def train_flops(self) -> float:
        """Algorithmic FLOP spent."""
        return flops.train_flops(self.method, self.shape, self.tokens)

    @property
    def executed_flops(self) -> float:
        """FLOP that the hardware executed."""
        return flops.executed_flops(self.method, self.shape, self.padded_tokens, self.squared_lengths, self.forwards)

    @property
    def share(self) -> float:
        """Share of the budget that is spent; the last step may bring it above 1."""
        return self.train_flops / self.budget

    @property
    def share_mid_step(self) -> float:
        """Share of the budget at the middle of the step under way."""
        return flops.train_flops(self.method, self.shape, self.tokens - self.step_tokens / 2) / self.budget

    @property
    def spent(self) -> bool:
        """Whether the budget is reached."""
        return self.train_flops >= self.budget
