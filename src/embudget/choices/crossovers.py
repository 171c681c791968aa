"""Crossovers: the budgets at which the best kind of method changes, and how well a study knows them.

On a logarithmic grid of budgets, kind B overtakes kind A between two neighbours where

    g = log L_A - log L_B,    L the loss of a kind's best candidate

turns from negative to positive; the budget is where g, linear in log C between the two, is 0. By the predictions the
frontier changes from A to B where A has the lowest loss before that budget and B after it.

Every draw of the laws has a crossing of its own: the one nearest to that of the predictions. It lies below the grid if
B is the better at all of it, and beyond it if A is the better at its end. Two kinds may take turns, as they do where
the best size jumps. Then a draw's crossing must lie beyond its previous one, so that a turn which few draws take makes
the later ones uncertain too. The interval holds the middle 90 % of the draws; where it does not lie on the grid, the
crossover is undetermined. Two kinds, one of them the best somewhere, are also undetermined where at no budget either
is the better in 95 % of the draws.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import ceil, floor
from typing import Self

import numpy as np
from pydantic import Field, PositiveFloat

from embudget.choices.table import Array, Choices, Mask
from embudget.frozen import Frozen

TAILS = 0.05
"""Share of the draws on either side of the interval."""


class _Overtaking(Frozen):
    """The budget at which one choice overtakes another, and how well it is known."""

    budget: PositiveFloat | None = Field(
        description="FLOP, serving included, by the predictions; None where the two cannot be told apart at any budget"
    )
    interval: tuple[float, float] | None = Field(
        description="of the budget, with 90 %; None where it is undetermined: not within the budgets that were searched"
    )
    share: float = Field(ge=0, le=1, description="of the draws that cross within the budgets that were searched")

    @property
    def determined(self) -> bool:
        """Whether the study knows the budget."""
        return self.interval is not None


class Crossover(_Overtaking):
    """A budget at which one kind of method overtakes another as the best, or two kinds that cannot be told apart."""

    from_method: str = Field(description="the better kind at smaller budgets: full, freeze, bias or lora")
    to_method: str = Field(description="the better one at larger budgets")

    def __str__(self) -> str:
        """One line, for a person."""
        return _said(self.from_method, self.to_method, self.budget, self.interval, self.share)


def _said(first: str, second: str, budget: float | None, interval: tuple[float, float] | None, share: float) -> str:
    of_draws = f"{100 * share:.0f} % of the draws cross"
    if budget is None:
        return f"{first} or {second}: undetermined at every budget ({of_draws})"
    if interval is None:
        return f"{first} to {second} at about {budget:.2g} FLOP: undetermined ({of_draws})"
    low, high = interval
    return f"{first} to {second} at {budget:.2g} FLOP, with 90 % {low:.2g} to {high:.2g}"


class StartCrossover(_Overtaking):
    """A budget at which one lineage overtakes another as the best start, or two that cannot be told apart."""

    from_lineage: str = Field(description="the better start at smaller budgets: a family and kind of start")
    to_lineage: str = Field(description="the better one at larger budgets")

    @classmethod
    def of(cls, crossover: Crossover) -> Self:
        """That of two lineages in the place of two kinds of method."""
        values = crossover.model_dump()
        return cls(from_lineage=values.pop("from_method"), to_lineage=values.pop("to_method"), **values)

    def __str__(self) -> str:
        """One line, for a person."""
        return _said(self.from_lineage, self.to_lineage, self.budget, self.interval, self.share)


def crossovers_of(choices: Choices, measured: tuple[float, float]) -> tuple[Crossover, ...]:
    """The crossovers over rising budgets, by rising budget, then the pairs of kinds that cannot be told apart.

    Outside the smallest and the largest ``measured`` budget (FLOP) they are less sure by what no form of law explains.
    """
    if len(choices.kinds) < 2:
        return ()
    means, draws = choices.of_kinds(np.log(choices.predicted)), choices.of_kinds(choices.log_losses)
    times = choices.outside(*measured)

    def widen(gaps: Array, mean: Array, there: Mask) -> Array:
        return choices.surface.with_discrepancy(gaps, mean, times[there])

    return crossovers_by(choices.kinds, choices.budgets, means, draws, widen)


def crossovers_by(
    kinds: Sequence[str],
    budgets: Array,
    means: Array,
    draws: Array,
    widen: Callable[[Array, Array, Mask], Array] = lambda gaps, mean, there: gaps,
) -> tuple[Crossover, ...]:
    """The crossovers that log losses show, as `crossovers_of` has them.

    Args:
        kinds: of method (k,).
        budgets: FLOP, rising (b,).
        means: predicted log losses (k, b); infinite where a kind has no choice.
        draws: the same by every draw (draws, k, b).
        widen: makes the gaps between two kinds (draws, m) wider, given their mean (m,) and which budgets they are of.
    """
    found = []
    last: dict[frozenset[int], Array] = {}
    for first, second, budget in changes(budgets, means):
        pair = frozenset((first, second))
        there, gaps = _gaps(means, draws, first, second, widen)
        after = last.get(pair, np.zeros(len(draws)))
        last[pair] = overtakings(budgets[there], gaps, near=budget, after=after)
        at = np.sort(last[pair])
        low, high = at[floor(TAILS * (len(at) - 1))], at[ceil((1 - TAILS) * (len(at) - 1))]
        interval = (float(low), float(high)) if low > 0 and high < np.inf else None
        found.append(_crossover((kinds[first], kinds[second]), at, budget, interval))
    named = {frozenset((one.from_method, one.to_method)) for one in found}
    alike = _alike(kinds, budgets, means, draws, widen)
    return (*found, *(one for one in alike if frozenset((one.from_method, one.to_method)) not in named))


def changes(budgets: Array, logs: Array) -> list[tuple[int, int, float]]:
    """Where the lowest of the kinds' log losses (kinds, b) changes: (from, to, budget), by rising budget."""
    best = logs.argmin(axis=0)
    found = []
    for place in np.flatnonzero(best[1:] != best[:-1]):
        first, second, two = int(best[place]), int(best[place + 1]), slice(place, place + 2)
        if np.isfinite(logs[[first, second], two]).all():  # a kind without a choice at one of the two is not overtaken
            gap = logs[first, two] - logs[second, two]
            found.append((first, second, float(_zeros(budgets[two], gap[None])[0, 0])))
    return found


def overtakings(budgets: Array, gaps: Array, near: float, after: Array | float = 0.0) -> Array:
    """The budget nearest to ``near`` at which each row of g (R, b) turns positive (R,).

    A row that is positive at all budgets gets 0, and one that is negative at the last gets infinity. Budgets up to
    ``after``, given for each row (R,) or for all, do not count; where it is infinite, none does.
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


def _gaps(
    means: Array, draws: Array, first: int, second: int, widen: Callable[[Array, Array, Mask], Array]
) -> tuple[Mask, Array]:
    """The budgets at which two kinds have a choice (b,), and g between them by the widened draws (draws, m)."""
    there = np.isfinite(means[first]) & np.isfinite(means[second])
    mean = means[first, there] - means[second, there]
    return there, widen(draws[:, first, there] - draws[:, second, there], mean, there)


def _alike(
    kinds: Sequence[str], budgets: Array, means: Array, draws: Array, widen: Callable[[Array, Array, Mask], Array]
) -> list[Crossover]:
    """The pairs of kinds, one of them the best somewhere, that no budget tells apart."""
    best = set(means.argmin(axis=0).tolist())
    found = []
    for pair in combinations(range(len(kinds)), 2):
        there = np.isfinite(means[list(pair)]).all(axis=0)
        if not best & set(pair) or not there.any():
            continue
        first, second = sorted(pair, key=lambda kind: means[kind, there][0])
        _, gaps = _gaps(means, draws, first, second, widen)
        low, high = np.quantile(gaps, (TAILS, 1 - TAILS), axis=0)
        if (low <= 0).all() and (high >= 0).all():
            at = overtakings(budgets[there], gaps, near=float(budgets[there][0]))
            found.append(_crossover((kinds[first], kinds[second]), at))
    return found


def _crossover(
    pair: tuple[str, str], at: Array, budget: float | None = None, interval: tuple[float, float] | None = None
) -> Crossover:
    """A crossover between two kinds, ``at`` where the draws have theirs (draws,)."""
    return Crossover(
        from_method=pair[0],
        to_method=pair[1],
        budget=budget,
        interval=interval,
        share=float(((at > 0) & (at < np.inf)).mean()),
    )
