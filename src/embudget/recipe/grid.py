"""All choices at all budgets of a logarithmic grid, and what each kind of method reaches there.

A *kind* is full, freeze, bias or lora. Its loss at a budget is that of its best choice: over its ranks or fractions and
the members whose sizes are considered there (`embudget.recipe.options`).
"""

from collections.abc import Sequence
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embudget.laws import Laws
from embudget.methods import parse_method
from embudget.recipe.losses import Array
from embudget.recipe.members import candidates_of
from embudget.recipe.options import sizes_considered
from embudget.suite import ModelShape

FACTOR = 1.5
"""Between two budgets of the grid; losses are close to powers of the budget, so that a finer one changes little."""


class Grid(NamedTuple):
    """The choices at every budget, m in all: by kind, then by budget."""

    budgets: Array
    """Training FLOP, rising (b,)."""
    kinds: tuple[str, ...]
    models: tuple[str, ...]
    methods: tuple[str, ...]
    model_params: Array
    tokens: Array
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


def grid_of(laws: Laws, members: Sequence[ModelShape], low: float, high: float, *, any_size: bool = False) -> Grid:
    """The choices at every budget between two, both included, in FLOP.

    Args:
        laws: of a study.
        members: to choose from.
        low: the smallest budget.
        high: the largest, above it.
        any_size: whether sizes far from the measured ones are considered.
    """
    budgets = np.geomspace(low, high, 1 + ceil(log(high / low) / log(FACTOR)))
    kinds = tuple(sorted({parse_method(method).name for method in laws.methods}))
    sizes = {
        method: [(0.0, np.inf) if any_size else sizes_considered(laws, method, at) for at in budgets.tolist()]
        for method in laws.methods
    }
    choices = [
        (kinds.index(one.method.name) * len(budgets) + place, one)
        for one in candidates_of(laws, tuple(members))
        if one.refusal is None
        for place, (least, most) in enumerate(sizes[one.name])
        if least <= one.model_params <= most
    ]
    choices.sort(key=lambda choice: choice[0])
    cells = np.array([cell for cell, _ in choices], dtype=np.int64)
    per_token = np.array([one.flops_per_token for _, one in choices], dtype=float)
    return Grid(
        budgets=budgets,
        kinds=kinds,
        models=tuple(one.shape.name for _, one in choices),
        methods=tuple(one.name for _, one in choices),
        model_params=np.array([one.model_params for _, one in choices], dtype=float),
        tokens=budgets[cells % len(budgets)] / per_token,
        places=cells % len(budgets),
        cells=cells,
    )
