"""All choices at all budgets of a logarithmic grid, and what each kind of method reaches there.

A *kind* is full, freeze, bias or lora. Its loss at a budget is that of its best choice: over its ranks or fractions and
the members that a recipe would consider there, under the same wishes (`embudget.recipe.options`).
"""

from collections.abc import Sequence
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embudget.methods import parse_method
from embudget.recipe.losses import Array
from embudget.recipe.members import candidates_of
from embudget.recipe.options import Option, Terms
from embudget.suite import ModelShape

FACTOR = 1.5
"""Between two budgets of the grid; losses are close to powers of the budget, so that a finer one changes little."""


class Grid(NamedTuple):
    """The choices at every budget, m in all: by kind, then by budget."""

    budgets: Array
    """FLOP, what serving takes included, rising (b,)."""
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    methods: tuple[str, ...]
    model_params: Array
    tokens: Array
    train_flops: Array
    places: NDArray[np.int64]
    """Of a choice's budget (m,)."""
    cells: NDArray[np.int64]
    """The kind's position times b, plus the budget's (m,), rising."""

    def of_kinds(self, losses: Array) -> Array:
        """The loss of each kind's best choice (R, kinds, b) from those of the choices (R, m); infinite without any."""
        starts = np.flatnonzero(np.diff(self.cells, prepend=-1))
        best = np.full((len(losses), len(self.kinds) * len(self.budgets)), np.inf)
        if len(starts):
            best[:, self.cells[starts]] = np.minimum.reduceat(losses, starts, axis=1)
        return best.reshape(len(losses), len(self.kinds), len(self.budgets))


def grid_of(terms: Terms, members: Sequence[ModelShape], low: float, high: float) -> Grid:
    """The choices at every budget between two, both included, in FLOP.

    Args:
        terms: of the choices.
        members: to choose from.
        low: the smallest budget.
        high: the largest, above it.
    """
    budgets = np.geomspace(low, high, 1 + ceil(log(high / low) / log(FACTOR)))
    kinds = tuple(sorted({parse_method(method).name for method in terms.laws.methods}))
    choices: list[tuple[int, Option]] = []
    for candidate in candidates_of(terms.laws, tuple(members)):
        first = kinds.index(candidate.method.name) * len(budgets)
        options = (terms.option(candidate, budget) for budget in budgets.tolist())
        choices += [(first + at, option) for at, option in enumerate(options) if isinstance(option, Option)]
    choices.sort(key=lambda choice: choice[0])
    cells = np.array([cell for cell, _ in choices], dtype=np.int64)
    return Grid(
        budgets=budgets,
        kinds=kinds,
        models=tuple(one.candidate.shape.name for _, one in choices),
        methods=tuple(one.candidate.name for _, one in choices),
        model_params=np.array([one.candidate.model_params for _, one in choices], dtype=float),
        tokens=np.array([one.tokens for _, one in choices], dtype=float),
        train_flops=np.array([one.train_flops for _, one in choices], dtype=float),
        places=cells % len(budgets),
        cells=cells,
    )
