"""What a law is fitted to: the cells of a study as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from embudget.laws.base import Array
from embudget.methods import kind_of
from embudget.runs.cells import Cell

MANY_CELLS = 2000
"""Cells from which on a fit is sought on a sample of so many, and only refined on all."""
MAX_LEVELS = 12
"""Budgets told apart; more of them are put together, as many cells in each."""


@dataclass(frozen=True)
class Points:
    """n cells."""

    method: NDArray[np.str_]
    budget: Array
    """FLOP"""
    log_n: Array
    log_d: Array
    log_loss: Array
    """mean over the seeds"""
    precision: Array
    """weight x seeds of each"""
    seeds: Array
    """runs behind each"""
    seed_squares: Array
    """sum of squared deviations of the seeds' log losses"""

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Self:
        """The cells as arrays."""
        seeds = np.array([cell.seeds for cell in cells], dtype=float)
        return cls(
            method=np.array([cell.method for cell in cells]),
            budget=np.array([cell.budget for cell in cells]),
            log_n=np.log([cell.model_params for cell in cells]),
            log_d=np.log([cell.tokens for cell in cells]),
            log_loss=np.log([cell.loss for cell in cells]),
            precision=seeds * np.array([cell.weight for cell in cells]),
            seeds=seeds,
            seed_squares=np.array([cell.seed_squares for cell in cells]),
        )

    def __len__(self) -> int:
        return len(self.log_loss)

    def where(self, rows: NDArray[np.bool_]) -> Self:
        """Some of the cells."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def thinned(self, most: int) -> Self:
        """At most so many cells, drawn at random but always the same."""
        return self.where(self.sampled(most))

    def sampled(self, most: int) -> NDArray[np.bool_]:
        """Which cells `thinned` keeps (n,)."""
        return np.ones(len(self), dtype=bool) if len(self) <= most else sample(len(self), most)

    @cached_property
    def weights(self) -> Array:
        """Relative precision of each log loss, mean 1."""
        weights: Array = self.precision / self.precision.mean()
        return weights

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(set(self.method.tolist())))

    @cached_property
    def kinds(self) -> dict[str, NDArray[np.bool_]]:
        """Kind of method -> its cells."""
        kind = np.array([kind_of(method) for method in self.method.tolist()])
        return {name: kind == name for name in sorted(set(kind.tolist()))}

    @cached_property
    def levels(self) -> Array:
        """Each cell's place among the budgets, from 0 (n,)."""
        distinct, level = np.unique(self.budget, return_inverse=True)
        if len(distinct) > MAX_LEVELS:
            edges = np.quantile(self.budget, np.linspace(0, 1, MAX_LEVELS + 1)[1:-1])
            together = np.searchsorted(edges, self.budget, side="right")
            level = together if np.ptp(together) > 0 else np.minimum(level, 1)  # nearly all at the smallest budget
        return np.asarray(level, dtype=float)


def sample(count: int, most: int) -> NDArray[np.bool_]:
    """Which of ``count`` rows are in a sample of ``most`` (count,)."""
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(0).choice(count, most, replace=False)] = True
    return chosen
