"""What is the lowest loss of each lineage at each budget? For the budgets at which one start overtakes another.

Both comparisons of starts ask it: lineage with lineage (`embudget.recipe.starts`), and all that can be trained with a
start as it is (`embudget.recipe.untrained`).
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from embudget.choices.table import Array
from embudget.recipe.options import MAX_EXTRAPOLATION, Question

BEYOND = 16.0
"""Crossovers are sought up to this factor above the budget asked for, or above the largest measured one."""


class Lowest(NamedTuple):
    """The choices of l lineages that have the lowest losses at b budgets."""

    means: Array
    """Log loss by the predictions (l, b); infinite where a lineage has no choice at a budget."""
    draws: Array
    """Log loss by every draw of the laws (draws, l, b)."""
    beyond: Array
    """Variance of the log loss that the distance from the measured budgets adds (l, b)."""

    @classmethod
    def of(cls, asked: Sequence[Question], budgets: Array) -> Self:
        """The choices that are allowed, one question for each lineage, at budgets in FLOP."""
        choices = [one.choices(budgets) for one in asked]
        per_lineage = [one.lowest() for one in choices]
        count = max(len(draws) for draws in per_lineage)
        return cls(
            means=np.stack([np.log(one.predicted).min(axis=0) for one in choices]),
            draws=np.stack([np.broadcast_to(one, (count, len(budgets))) for one in per_lineage], axis=1),
            beyond=np.stack([
                one.laws.surface.discrepancy**2
                * np.log(chosen.outside(one.laws.table.budgets[0], one.laws.table.budgets[-1]))
                for one, chosen in zip(asked, choices, strict=True)
            ]),
        )  # fmt: skip


def span_near(asked: Sequence[Question], budget: float | None = None) -> tuple[float, float]:
    """From a budget, or the smallest one that any lineage was measured at, to well beyond it and the largest, FLOP."""
    every = [one.laws.table.budgets for one in asked]
    smallest, largest = min(one[0] for one in every), max(one[-1] for one in every)
    low, high = min(budget or smallest, smallest), BEYOND * max(budget or largest, largest)
    if asked[0].limits.serve_tokens:  # what serving takes is no distance from the measured budgets
        return low, high
    return max(low, smallest / MAX_EXTRAPOLATION), min(high, largest * MAX_EXTRAPOLATION)
