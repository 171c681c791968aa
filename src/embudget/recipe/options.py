"""The options that a budget allows: members x methods, those that break a constraint set aside with the reason.

Of the sizes, those near the ones measured of the method, n_1 to n_2, are considered:

    at a measured budget, or between two        n_1     to  n_2
    at f times the largest measured budget      n_1     to  f n_2
    at 1/f of the smallest                      n_1 / f to  n_2

The best size grows with the budget, and not faster than it, which would mean less data for more compute. A prediction
that says otherwise is an artefact of a badly determined exponent; in simulated studies sizes below n_1 were the worst
choices of all.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from math import ceil
from typing import NamedTuple

from embudget.errors import InfeasibleError
from embudget.laws import Laws
from embudget.memory import USABLE_SHARE, training_bytes, written
from embudget.recipe.hyperparameters import (
    DEFAULT_BATCH_SIZE,
    batch_rule,
    max_epochs_of,
    max_length_of,
    nearest_cell,
    tokens_per_pair_of,
)
from embudget.recipe.members import Candidate
from embudget.recipe.values import Rejection
from embudget.recipe.wishes import Limits
from embudget.runs.cells import Cell

MAX_EXTRAPOLATION = 1e6
"""Budgets further outside the measured ones are refused, unless forced."""


class Option(NamedTuple):
    """One member and method at the budget."""

    candidate: Candidate
    train_flops: float
    """What serving leaves of the budget."""
    serve_flops: float
    tokens: float
    batch_size: int
    steps: int

    @property
    def pairs(self) -> int:
        """Pairs seen, repetitions included."""
        return self.steps * self.batch_size


class Broken(NamedTuple):
    """A constraint that a candidate does not meet."""

    constraint: str
    """The same text for all choices that break it, for counting; with what the user can do about it."""
    reason: str


class Offer(NamedTuple):
    """What a budget buys under the limits."""

    budget: float
    options: list[Option]
    rejected: list[Rejection]
    counts: Counter[str]
    """Constraint -> candidates that break it."""

    def refuse_if_empty(self) -> None:
        """Raises InfeasibleError, with the constraints that failed, where no option is left."""
        if not self.options:
            reasons = "; ".join(
                f"{constraint} ({count} choice{'' if count == 1 else 's'})"
                for constraint, count in self.counts.most_common()
            )
            raise InfeasibleError(f"no model and method is feasible at {self.budget:.3g} FLOP: {reasons}")


class Terms(NamedTuple):
    """What options are made of, and measured by, at any budget."""

    laws: Laws
    limits: Limits
    batch_size: Callable[[float], int]
    """Of a training budget in FLOP."""
    tokens_per_pair: float

    @classmethod
    def of(cls, laws: Laws, limits: Limits) -> "Terms":
        """Those of the laws."""
        return cls(laws, limits, cache(batch_rule(laws.cells)), tokens_per_pair_of(laws.table))

    def option(self, candidate: Candidate, budget: float) -> Option | Broken:
        """What a candidate does with a budget in FLOP, or the first limit that it does not keep to."""
        serve_flops = 2.0 * candidate.model_params * self.limits.serve_tokens
        broken = unsuitable(candidate, self.limits) or _too_dear(budget, serve_flops, self.limits)
        if broken is not None:
            return broken
        train_flops = budget - serve_flops
        tokens, batch = train_flops / candidate.flops_per_token, self.batch_size(train_flops)
        steps = ceil(tokens / (self.tokens_per_pair * batch))
        option = Option(candidate, train_flops, serve_flops, tokens, batch, steps)
        return _too_far(self.laws, option, self.limits) or _too_much(self.laws, option, self.limits) or option


def offer(terms: Terms, budget: float, candidates: Iterable[Candidate]) -> Offer:
    """The options that keep to the limits, and those that do not."""
    found = Offer(budget, [], [], Counter())
    for candidate in candidates:
        option = terms.option(candidate, budget)
        if isinstance(option, Option):
            found.options.append(option)
            continue
        found.counts[option.constraint] += 1
        found.rejected.append(Rejection(model=candidate.shape.name, method=candidate.name, reason=option.reason))
    return found


def unsuitable(candidate: Candidate, limits: Limits) -> Broken | None:
    """What rules a candidate out at any budget."""
    if candidate.refusal is not None:
        return Broken(f"{candidate.name} cannot train the model", candidate.refusal)
    if limits.max_params is not None and candidate.model_params > limits.max_params:
        reason = f"{candidate.model_params:.3g} parameters, more than {limits.max_params:.3g}"
        return Broken(f"more than the {limits.max_params:.3g} parameters of max_params", reason)
    return None


def _too_dear(budget: float, serve_flops: float, limits: Limits) -> Broken | None:
    if serve_flops < budget:
        return None
    reason = f"serving {limits.serve_tokens:.3g} tokens takes {serve_flops:.3g} FLOP, which leaves none to train with"
    return Broken(f"serving {limits.serve_tokens:.3g} tokens leaves nothing of the budget", reason)


def _too_far(laws: Laws, option: Option, limits: Limits) -> Broken | None:
    """Whether an option lies where the laws know nothing."""
    name, size = option.candidate.name, option.candidate.model_params
    extrapolation = laws.extrapolation(option.train_flops, name)
    if extrapolation > MAX_EXTRAPOLATION and not limits.force:
        reason = f"the budget is {extrapolation:.3g} times outside those measured of the method"
        return Broken(f"the budget is too far outside those measured of {name}, unless forced", reason)
    least, most = sizes_considered(laws, name, option.train_flops)
    if not limits.any_size and not least <= size <= most:
        reason = f"{size:.3g} parameters, too far outside the measured sizes (at this budget {least:.3g} to {most:.3g})"
        return Broken("too far outside the measured sizes, unless allow_unmeasured_sizes is set", reason)
    if option.steps < limits.min_steps:
        reason = f"{option.steps} steps of {option.batch_size} pairs, fewer than {limits.min_steps}"
        return Broken(f"fewer than {limits.min_steps} steps, the least unless min_steps is set lower", reason)
    return None


def sizes_considered(laws: Laws, method: str, train_flops: float) -> tuple[float, float]:
    """The fewest and the most parameters that are considered of a method with a law at a budget in FLOP."""
    measured = laws.domain[method]
    (least, most), (low, high) = measured.model_params, measured.budgets
    return least * min(1.0, train_flops / low), most * max(1.0, train_flops / high)


def _too_much(laws: Laws, option: Option, limits: Limits) -> Broken | None:
    """Whether an option takes more memory or pairs than there are."""
    method, shape, batch = option.candidate.method, option.candidate.shape, option.batch_size
    if limits.device_bytes is not None:
        needed = _training_bytes(method, shape, batch, max_length_of(laws.table))
        usable = USABLE_SHARE * limits.device_bytes
        if needed > usable:
            limit = f"{written(usable)} that can be used of {written(limits.device_bytes)}"
            reason = f"needs about {written(needed)} of memory to train, more than the {limit}"
            return Broken(f"more memory to train than the {limit} of device_memory", reason)
    if limits.pairs_available is not None:
        whole = (limits.pairs_available // batch) * batch
        if option.pairs > whole and option.pairs > (epochs := epochs_for(laws, option, limits)) * whole:
            reason = f"needs {option.pairs} pairs, there are {limits.pairs_available} for at most {epochs} epochs"
            remedy = "build more, or allow more passes over them (max_epochs)"
            return Broken(f"more pairs than the {limits.pairs_available} there are: {remedy}", reason)
    return None


_training_bytes = lru_cache(maxsize=4096)(training_bytes)
"""The same for all budgets with one batch size."""


def epochs_for(laws: Laws, option: Option, limits: Limits) -> int:
    """Passes over the pairs that an option may make."""
    if limits.max_epochs is not None:
        return limits.max_epochs
    candidate = option.candidate
    return max_epochs_of(nearest_cell(candidate.name, candidate.model_params, option.train_flops, laws.cells))


def fewest_steps(laws: Laws) -> int:
    """The fewest steps of a fitted cell, by its runs, where known, or as an option at its budget would be reckoned."""
    tokens_per_pair = tokens_per_pair_of(laws.table)

    def reckoned(cell: Cell) -> int:
        pairs = cell.budget / (cell.flops_per_token * tokens_per_pair)
        return max(1, ceil(pairs / (cell.batch_size or DEFAULT_BATCH_SIZE) - 1e-6))

    known = [ceil(cell.steps) for cell in laws.cells if cell.steps]
    return min(known + [reckoned(cell) for cell in laws.cells])
