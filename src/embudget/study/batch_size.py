"""The batch size that a study's runs have at a budget, where the study names no other."""

import math

from pydantic import Field

from embudget.frozen import Frozen
from embudget.limits import BatchSize, Flops


class BatchRule(Frozen):
    """Pairs a step as a power of the budget C: ``pairs (C / at)^exponent``, a multiple of 4 from 4 to ``most``.

    The default gives 16 pairs at 1e12 FLOP, where steps matter more than negatives, and reaches the 1024 pairs of the
    paper at its smallest budgets (1.5e15 to 4e15 FLOP).
    """

    at: Flops = Field(default=1e12, description="a budget, FLOP")
    pairs: BatchSize = Field(default=16, description="pairs a step at that budget")
    exponent: float = Field(default=0.5, ge=0, le=1, description="how fast the batch grows; 0 leaves it the same")
    most: BatchSize = Field(default=1024, ge=4, description="pairs a step that are never exceeded")

    def batch_size(self, budget: float) -> int:
        """Pairs a step at a budget in FLOP."""
        return min(self.most, max(4, 4 * round(self.pairs * math.pow(budget / self.at, self.exponent) / 4)))
