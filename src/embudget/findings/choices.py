"""What a study measured, as choices: a method on a model, with its loss at any budget by every draw of the laws.

A choice costs c FLOP per token, so that a budget C buys it D = C / c tokens. It is considered at budgets at which it
was measured, and one step of the budgets beyond, never further: findings are about the measured budgets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from embudget.laws import Laws, Surface
from embudget.laws.forms import Array
from embudget.methods import kind_of, parse_method
from embudget.runs import Cell

KINDS = {"full": "full fine-tuning", "freeze": "block freezing", "bias": "bias-only tuning", "lora": "LoRA"}
"""Kinds of method, as text."""
MAX_BUDGETS = 12
MAX_SIZES = 40
"""More than these many budgets, or sizes of a method, are thinned out evenly."""
_Value = TypeVar("_Value", float, tuple[str, float])
FINE = 60
"""Sizes in the grid between measured ones."""


@dataclass(frozen=True)
class Choices:
    """m choices; sizes in parameters, costs in FLOP per token, budgets in FLOP."""

    surface: Surface
    method: NDArray[np.str_]
    """(m,)"""
    size: Array
    """(m,)"""
    cost: Array
    """(m,)"""
    lowest: Array
    """budget at which it is considered (m,)"""
    highest: Array
    """(m,)"""

    @classmethod
    def of(cls, laws: Laws) -> Self:
        """Every measured pair of a method and a size."""
        found: dict[tuple[str, float], list[Cell]] = {}
        for cell in laws.cells:
            found.setdefault((cell.method, cell.model_params), []).append(cell)
        keys = [
            key for method in laws.methods for key in _thinned((key for key in found if key[0] == method), MAX_SIZES)
        ]
        groups = [found[key] for key in keys]
        step = laws.surface.step * (1 + 1e-9)
        return cls(
            laws.surface,
            method=np.array([method for method, _ in keys]),
            size=np.array([size for _, size in keys]),
            cost=np.array([np.exp(np.mean([np.log(cell.flops_per_token) for cell in group])) for group in groups]),
            lowest=np.array([min(cell.budget for cell in group) / step for group in groups]),
            highest=np.array([max(cell.budget for cell in group) * step for group in groups]),
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, those of a kind by their number."""
        return tuple(sorted(set(self.method.tolist()), key=lambda name: (kind_of(name), value_of(name), name)))

    def where(self, rows: NDArray[np.bool_]) -> Self:
        """Some of the choices."""
        kept = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name != "surface"}
        return type(self)(self.surface, **kept)

    def of_kind(self, kind: str) -> Self:
        """Those of a kind of method."""
        return self.where(np.array([kind_of(name) == kind for name in self.method.tolist()]))

    def of_method(self, method: str) -> Self:
        """Those of one method."""
        return self.where(self.method == method)

    def considered(self, budgets: Iterable[float]) -> list[float]:
        """Those of the budgets at which there is a choice at all."""
        return [budget for budget in budgets if ((self.lowest <= budget) & (budget <= self.highest)).any()]

    def log_losses(self, budget: float) -> Array:
        """By every draw (draws, m); infinite where a choice is not considered at the budget."""
        logs = self.surface.calibrated(self.method.tolist(), self.size, budget / self.cost)
        return np.where((self.lowest <= budget) & (budget <= self.highest), logs, np.inf)

    def best(self, budgets: Iterable[float]) -> Array:
        """The lowest log loss of any choice at each budget (draws, budgets)."""
        return np.stack([self.log_losses(budget).min(axis=1) for budget in budgets], axis=1)

    def optimum(self, budgets: Iterable[float]) -> tuple[Array, Array]:
        """Log N* and the lowest log loss (draws, budgets), over sizes between the measured ones too."""
        finer = self.finer()
        logs = np.stack([finer.log_losses(budget) for budget in budgets], axis=1)
        return np.log(finer.size)[logs.argmin(axis=2)], logs.min(axis=2)

    def finer(self) -> Self:
        """The same methods on sizes between the measured ones too, their costs interpolated in log-log."""
        parts = []
        for method in self.methods:
            mine = self.of_method(method)
            order = np.argsort(mine.size)
            log_size = np.log(mine.size[order])
            grid = np.linspace(log_size[0], log_size[-1], FINE)
            columns = [
                np.exp(np.interp(grid, log_size, np.log(values[order])))
                for values in (mine.cost, mine.lowest, mine.highest)
            ]
            parts.append((np.full(FINE, method), np.exp(grid), *columns))
        return type(self)(self.surface, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _thinned(values: Iterable[_Value], most: int) -> list[_Value]:
    """Sorted, and where they are more than so many, evenly taken with both ends."""
    ordered = sorted(values)
    if len(ordered) <= most:
        return ordered
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, most).round().astype(int).tolist()]


def value_of(method: str) -> float:
    """The number of a method: 32 of lora:32, 0 where there is none."""
    return parse_method(method).number or 0.0


def shared_budgets(laws: Laws, methods: Iterable[str]) -> list[float]:
    """The measured budgets at which each of these methods, or of these kinds, has a cell, rising; not too many."""
    common = set(laws.table.budgets)
    for name in methods:
        common &= {cell.budget for cell in laws.cells if name in (cell.method, kind_of(cell.method))}
    return _thinned(common, MAX_BUDGETS)


def measured_kinds(laws: Laws) -> list[str]:
    """The kinds of method that have a law, in the order of `KINDS`."""
    return [kind for kind in KINDS if kind in {kind_of(method) for method in laws.methods}]


def lacking(laws: Laws, kinds: Iterable[str]) -> str | None:
    """What the study lacks of these kinds of method, as text; None where it has a law of each."""
    missing = [kind for kind in kinds if kind not in measured_kinds(laws)]
    few = [kind for kind in missing if kind in {kind_of(method) for method in laws.table.methods}]
    if not missing:
        return None
    names = " and ".join(KINDS[kind] for kind in missing)
    return f"the study has too few cells of {names}" if few == missing else f"the study has no runs of {names}"
