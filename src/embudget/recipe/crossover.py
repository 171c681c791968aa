"""Crossovers: the budgets at which the best kind of method changes, and how well a study knows them.

On a logarithmic grid of budgets (`embudget.recipe.grid`) kind B overtakes kind A between two neighbours where

    g = log L_A - log L_B

turns from negative to positive; the budget is where g, linear in log C between the two, is 0. The frontier's crossovers
are those of the predictions where the kind with the lowest loss changes from A to B.

Every draw of the laws says where B overtakes A, too: the budget nearest to that of the predictions; below the grid
where B is the better at all of it, beyond the grid where A is at its end. Where two kinds take turns, as they do where
the best size jumps, a draw's next crossing lies beyond its last one, so that a turn which few draws take makes those
after it uncertain. The interval holds the middle 90 % of the draws. Where it does not lie on the grid, for which more
than 90 % of them must cross, the crossover is undetermined. So are two kinds, one of them the best somewhere, of which
at no budget either is the better in 95 % of the draws.

For this a draw's g lies further from the prediction's than it does by itself, as the intervals of a loss are wider than
the draws (`embudget.laws.surface`), so that its standard deviation sd becomes

    t / z sqrt(sd^2 + (discrepancy steps)^2)

with t and z Student's and the normal 95 % quantile, and the steps by which a budget lies outside the measured ones.
"""

from collections.abc import Sequence
from itertools import combinations
from math import ceil, floor, log
from typing import NamedTuple, Unpack

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from embudget.errors import BudgetError
from embudget.flops import parse_budget
from embudget.laws import Laws
from embudget.laws.surface import Branch, Surface
from embudget.recipe.grid import Grid, grid_of
from embudget.recipe.losses import Array, predicted
from embudget.recipe.members import members_for
from embudget.recipe.options import MAX_EXTRAPOLATION, Terms, fewest_steps
from embudget.recipe.values import Crossover
from embudget.recipe.wishes import Wishes, limits_of
from embudget.suite import ModelShape

BEYOND = 16.0
"""Times the budget asked for, or the largest measured one, up to which crossovers are sought."""
MOST_DRAWS = 200
"""Of the laws, evenly taken; more would move the 5 % and 95 % quantiles by less than intervals are known to."""
TAILS = 0.05
"""Share of the draws on either side of the interval."""
_NORMAL = 1.6449
"""The standard normal distribution's quantile there."""
_LEAST = 1e-12
"""Standard deviation of the draws' g below which they are all the same, as without noise."""


def crossovers(
    laws: Laws,
    members: Sequence[ModelShape] | None = None,
    low: float | None = None,
    high: float | None = None,
    **wishes: Unpack[Wishes],
) -> tuple[Crossover, ...]:
    """The crossovers of the frontier, by rising budget, then the pairs of kinds that cannot be told apart.

    Args:
        laws: of a study.
        members: to choose from; by default the measured models and the built-in suites that hold all of them.
        low: the smallest budget, FLOP; by default the smallest measured.
        high: the largest; by default 16 times the largest measured, and never more than a million times that.
        wishes: that the choices keep to, as for `recommend`.

    Raises:
        BudgetError: a budget is no positive number, or ``low`` is not below ``high``.
        ModelError: a measured model is not there any more.
        ConfigError: a wish breaks its rule, or no members are given and a measured model is no known member.
    """
    terms = Terms.of(laws, limits_of(wishes, fewest_steps(laws)))
    return crossovers_within(terms, members_for(laws, None) if members is None else members, *span_of(laws, low, high))


def crossovers_within(terms: Terms, members: Sequence[ModelShape], low: float, high: float) -> tuple[Crossover, ...]:
    """The same between two budgets in FLOP, the first below the second."""
    laws, surface = terms.laws, terms.laws.surface
    grid = grid_of(terms, members, low, high)
    if len(grid.kinds) < 2:
        return ()
    losses = _thinned(surface).drawn(grid.methods, grid.model_params, grid.tokens)
    means, draws = np.log(grid.of_kinds(predicted(losses)[None]))[0], np.log(grid.of_kinds(losses))
    outside = _outside(grid, laws.table.budgets[0], laws.table.budgets[-1])
    factor = float(student.ppf(1 - TAILS, surface.freedom)) / _NORMAL
    return crossovers_of(grid, means, draws, Spread(factor, surface.discrepancy * np.log(outside) / log(surface.step)))


def span_of(laws: Laws, low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """The budgets between which crossovers are sought, FLOP; errors as `crossovers`."""
    smallest, largest = laws.table.budgets[0], laws.table.budgets[-1]
    first = smallest if low is None else parse_budget(low)
    last = min(BEYOND * largest if high is None else parse_budget(high), MAX_EXTRAPOLATION * largest)
    if first >= last:
        raise BudgetError(f"the smallest budget of crossovers must be below the largest, got {first:g} and {last:g}")
    return first, last


def _outside(grid: Grid, smallest: float, largest: float) -> Array:
    """Times that each budget's choices train outside the measured budgets (b,), the least of them; 1 inside."""
    times = np.full(len(grid.budgets), np.inf)
    beyond = np.maximum(grid.train_flops / largest, smallest / grid.train_flops)
    np.minimum.at(times, grid.places, np.maximum(1.0, beyond))
    return np.where(np.isfinite(times), times, 1.0)


class Spread(NamedTuple):
    """How much further a draw's g lies from the prediction's than by itself."""

    factor: float = 1.0
    """Of the draws' standard deviation."""
    error: Array | float = 0.0
    """A standard deviation of g beside that of the draws, for every budget of the grid (b,)."""


def crossovers_of(grid: Grid, means: Array, draws: Array, spread: Spread) -> tuple[Crossover, ...]:
    """The crossovers of predictions, with what the draws say of them.

    Args:
        grid: of b budgets.
        means: predicted log losses of the kinds (kinds, b); infinite where a kind has no choice.
        draws: the same by every draw (draws, kinds, b).
        spread: of the draws.
    """
    found = []
    last: dict[frozenset[int], Array] = {}
    for first, second, budget in changes(grid, means):
        pair = frozenset((first, second))
        gaps = _gaps(grid, means, draws, first, second, spread)
        last[pair] = overtakings(*gaps, near=budget, after=last.get(pair, np.zeros(len(draws))))
        at = np.sort(last[pair])
        low, high = at[floor(TAILS * (len(at) - 1))], at[ceil((1 - TAILS) * (len(at) - 1))]
        interval = (float(low), float(high)) if low > 0 and high < np.inf else None
        found.append(_crossover(grid, first, second, at, budget, interval))
    named = {frozenset((one.from_method, one.to_method)) for one in found}
    alike = _alike(grid, means, draws, spread)
    return (*found, *(one for one in alike if frozenset((one.from_method, one.to_method)) not in named))


def changes(grid: Grid, logs: Array) -> list[tuple[int, int, float]]:
    """Where the lowest of the kinds' log losses (kinds, b) changes: (from, to, budget), by rising budget."""
    best = logs.argmin(axis=0)
    found = []
    for place in np.flatnonzero(best[1:] != best[:-1]):
        first, second, two = int(best[place]), int(best[place + 1]), slice(place, place + 2)
        if np.isfinite(logs[[first, second], two]).all():  # a kind without a choice at one of the two is not overtaken
            gap = logs[first, two] - logs[second, two]
            found.append((first, second, float(_zeros(grid.budgets[two], gap[None])[0, 0])))
    return found


def overtakings(budgets: Array, gaps: Array, near: float, after: Array | float = 0.0) -> Array:
    """Where each row of g (R, b) turns positive: the budget nearest to ``near``; 0 below all, infinite beyond them.

    Only budgets above ``after``, for each row (R,) or for all, count; where that is infinite, none does.
    """
    after = np.broadcast_to(after, len(gaps))
    outside = np.where((gaps[:, -1] > 0) & (after <= 0), 0.0, np.inf)
    if len(budgets) < 2:
        return outside
    zeros = _zeros(budgets, gaps)
    zeros = np.where(zeros > after[:, None], zeros, np.nan)
    distances = np.where(np.isnan(zeros), np.inf, np.abs(np.log(zeros / near)))
    nearest = np.arange(len(gaps)), distances.argmin(axis=1)
    return np.where(np.isfinite(distances[nearest]), zeros[nearest], outside)


def _zeros(budgets: Array, gaps: Array) -> Array:
    """The budget between two neighbours where g turns positive (R, b - 1); NaN where it does not."""
    left, right, logs = gaps[:, :-1], gaps[:, 1:], np.log(budgets)
    up = (left <= 0) & (right >= 0) & (left < right)  # the frontier may change where two kinds are equal
    share = np.where(up, -left, np.nan) / np.where(up, right - left, 1.0)
    zeros: Array = np.exp(logs[:-1] + share * np.diff(logs))
    return zeros


def _gaps(grid: Grid, means: Array, draws: Array, first: int, second: int, spread: Spread) -> tuple[Array, Array]:
    """The budgets at which two kinds have a choice (b,), and g between them by the widened draws (draws, b)."""
    there = np.isfinite(means[first]) & np.isfinite(means[second])
    mean = means[first, there] - means[second, there]
    gaps = draws[:, first, there] - draws[:, second, there]
    error = np.broadcast_to(spread.error, there.shape)[there]
    low, high = np.quantile(gaps, (TAILS, 1 - TAILS), axis=0)
    own = (high - low) / (2 * _NORMAL)
    there_is = own > _LEAST
    steps = (gaps - mean) / np.where(there_is, own, 1.0)
    if not there_is.all():  # draws that are all the same have no spread that could be widened: the error is theirs
        steps = np.where(there_is, steps, _normal_steps(len(gaps))[:, None])
    return grid.budgets[there], mean + steps * spread.factor * np.hypot(np.where(there_is, own, 0.0), error)


def _normal_steps(draws: int) -> Array:
    """As many quantiles of the standard normal distribution as there are draws, evenly spaced in probability."""
    return np.asarray(norm.ppf((np.arange(draws) + 0.5) / draws), dtype=np.float64)


def _alike(grid: Grid, means: Array, draws: Array, spread: Spread) -> list[Crossover]:
    """The pairs of kinds, one of them the best somewhere, that no budget tells apart."""
    best = set(means.argmin(axis=0).tolist())
    found = []
    for pair in combinations(range(len(grid.kinds)), 2):
        there = np.isfinite(means[list(pair)]).all(axis=0)
        if not best & set(pair) or not there.any():
            continue
        first, second = sorted(pair, key=lambda kind: means[kind, there][0])
        budgets, gaps = _gaps(grid, means, draws, first, second, spread)
        low, high = np.quantile(gaps, (TAILS, 1 - TAILS), axis=0)
        if (low <= 0).all() and (high >= 0).all():
            found.append(_crossover(grid, first, second, overtakings(budgets, gaps, near=float(budgets[0]))))
    return found


def _crossover(
    grid: Grid,
    first: int,
    second: int,
    at: Array,
    budget: float | None = None,
    interval: tuple[float, float] | None = None,
) -> Crossover:
    """A crossover between two kinds, with where the draws have theirs."""
    return Crossover(
        from_method=grid.kinds[first],
        to_method=grid.kinds[second],
        budget=budget,
        interval=interval,
        share=float(((at > 0) & (at < np.inf)).mean()),
    )


def _thinned(surface: Surface) -> Surface:
    """The law with at most `MOST_DRAWS` draws, as many of each of its forms as before."""
    every = ceil(sum(len(one.branches[0].draws) for one in surface.components) / MOST_DRAWS)
    if every == 1:
        return surface
    components = []
    for component in surface.components:
        branches = [
            Branch.model_construct(**{**dict(branch), "draws": branch.draws[::every]}) for branch in component.branches
        ]
        components.append(component.model_copy(update={"branches": tuple(branches)}))
    return surface.model_copy(update={"components": tuple(components)})
