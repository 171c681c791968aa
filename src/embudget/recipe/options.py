"""The choices that a budget allows: members x methods, those that break a constraint set aside with the reason."""

from collections import Counter
from math import ceil
from typing import NamedTuple

from embudget.errors import ConfigError, MethodError
from embudget.flops import steps_for, tokens_for
from embudget.laws import Laws
from embudget.laws.table import Cell
from embudget.methods import Method, parse_method
from embudget.recipe.hyperparameters import (
    DEFAULT_BATCH_SIZE,
    batch_size_for,
    max_epochs_of,
    nearest_cell,
    tokens_per_pair_of,
)
from embudget.recipe.values import Rejection
from embudget.suite import ModelShape

MAX_EXTRAPOLATION = 1e6
"""Budgets further outside the measured ones are refused."""


class Limits(NamedTuple):
    """What a choice must keep to."""

    pairs_available: int | None
    min_steps: int
    any_size: bool
    """Whether models far outside the method's measured sizes are allowed."""


class Option(NamedTuple):
    """One member and method at the budget."""

    shape: ModelShape
    method: Method
    tokens: float
    batch_size: int
    steps: int

    @property
    def pairs(self) -> int:
        """Pairs seen, repetitions included."""
        return self.steps * self.batch_size


class _Broken(NamedTuple):
    constraint: str
    """The same text for all choices that break it, for counting; with what the user can do about it."""
    reason: str


def options_for(
    laws: Laws, budget: float, members: tuple[ModelShape, ...], limits: Limits
) -> tuple[list[Option], list[Rejection]]:
    """The options that keep to the limits, and those that do not.

    Raises:
        ConfigError: no option is left.
    """
    batch_size = batch_size_for(budget, laws.cells)
    options: list[Option] = []
    rejected: list[Rejection] = []
    counts: Counter[str] = Counter()
    for method in (parse_method(text) for text in laws.methods):
        for shape in members:
            option = _option(laws, budget, shape, method, batch_size)
            broken = _broken(laws, budget, option, limits)
            if broken is None:
                options.append(option)
            else:
                counts[broken.constraint] += 1
                rejected.append(Rejection(model=shape.name, method=str(method), reason=broken.reason))
    if not options:
        reasons = "; ".join(f"{constraint} ({count})" for constraint, count in counts.most_common())
        raise ConfigError(f"no model and method is feasible at {budget:.3g} FLOP: {reasons}")
    return options, rejected


def _option(laws: Laws, budget: float, shape: ModelShape, method: Method, batch_size: int) -> Option:
    steps = steps_for(budget, method, shape, tokens_per_pair_of(laws.table), batch_size)
    return Option(shape, method, tokens_for(budget, method, shape), batch_size, ceil(steps))


def _broken(laws: Laws, budget: float, option: Option, limits: Limits) -> _Broken | None:
    """The first limit that an option breaks."""
    try:
        option.method.check(option.shape)
    except MethodError as error:
        return _Broken(f"{option.method} cannot train the model", str(error))
    size, (smallest, largest) = option.shape.model_params, laws.domain[str(option.method)].model_params
    extrapolation = laws.extrapolation(budget, str(option.method))
    if extrapolation > MAX_EXTRAPOLATION:
        reason = f"the budget is {extrapolation:.3g} times outside those measured of the method"
        return _Broken(f"the budget is too far outside those measured of {option.method}", reason)
    if not limits.any_size and not smallest / extrapolation <= size <= largest * extrapolation:
        reason = f"{size:.3g} parameters, too far outside the measured sizes ({smallest:.3g} to {largest:.3g})"
        return _Broken("too far outside the measured sizes, unless allow_unmeasured_sizes is set", reason)
    if option.steps < limits.min_steps:
        reason = f"{option.steps} steps of {option.batch_size} pairs, fewer than {limits.min_steps}"
        return _Broken(f"fewer than {limits.min_steps} steps, the least unless min_steps is set lower", reason)
    if limits.pairs_available is not None:
        epochs = max_epochs_of(nearest_cell(str(option.method), size, budget, laws.cells))
        if option.pairs > epochs * (limits.pairs_available // option.batch_size) * option.batch_size:
            reason = f"needs {option.pairs} pairs, there are {limits.pairs_available} for at most {epochs} epochs"
            remedy = "build more, or let the study's runs repeat them (max_epochs)"
            return _Broken(f"more pairs than the {limits.pairs_available} there are: {remedy}", reason)
    return None


def fewest_steps(laws: Laws) -> int:
    """The fewest steps of a fitted cell, by its runs, where known, or as an option at its budget would be reckoned."""
    tokens_per_pair = tokens_per_pair_of(laws.table)

    def reckoned(cell: Cell) -> int:
        pairs = cell.budget / (cell.flops_per_token * tokens_per_pair)
        return max(1, ceil(pairs / (cell.batch_size or DEFAULT_BATCH_SIZE) - 1e-6))

    known = [ceil(cell.steps) for cell in laws.cells if cell.steps]
    return min(known + [reckoned(cell) for cell in laws.cells])
