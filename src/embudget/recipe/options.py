"""The choices that a budget allows: members x methods, those that break a constraint set aside with the reason."""

from collections import Counter
from math import ceil
from typing import NamedTuple

from embudget.errors import ConfigError, MethodError
from embudget.flops import steps_for, tokens_for
from embudget.laws import Laws
from embudget.methods import Method, parse_method
from embudget.recipe.hyperparameters import batch_size_for, nearest_run
from embudget.recipe.values import Rejection
from embudget.suite import ModelShape


class Limits(NamedTuple):
    """What a choice must keep to."""

    pairs_available: int | None
    min_steps: int
    size_factor: float
    """How far outside the method's measured sizes a model may be."""


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
    """The same text for all choices that break it, for counting."""
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
    steps = steps_for(budget, method, shape, laws.table.tokens_per_pair, batch_size)
    return Option(shape, method, tokens_for(budget, method, shape), batch_size, ceil(steps))


def _broken(laws: Laws, budget: float, option: Option, limits: Limits) -> _Broken | None:
    """The first limit that an option breaks."""
    try:
        option.method.check(option.shape)
    except MethodError as error:
        return _Broken(f"{option.method} cannot train the model", str(error))
    size, (smallest, largest) = option.shape.model_params, laws.domain[str(option.method)].model_params
    if not smallest / limits.size_factor <= size <= largest * limits.size_factor:
        reason = f"{size:.3g} parameters, too far outside the measured sizes ({smallest:.3g} to {largest:.3g})"
        return _Broken("too far outside the measured sizes", reason)
    if option.steps < limits.min_steps:
        reason = f"{option.steps} steps of {option.batch_size} pairs, fewer than {limits.min_steps}"
        return _Broken(f"fewer than {limits.min_steps} steps", reason)
    if limits.pairs_available is not None:
        epochs = nearest_run(str(option.method), size, budget, laws.cells).max_epochs
        if option.pairs > epochs * limits.pairs_available:
            reason = f"needs {option.pairs} pairs, there are {limits.pairs_available} for at most {epochs} epochs"
            return _Broken(f"more pairs than the {limits.pairs_available} there are", reason)
    return None
