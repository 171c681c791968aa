"""How far off are the laws where they can be checked? They are fitted again without the largest budgets.

For a table with budgets C_1 < ... < C_n, n >= 4, the cells up to C_k are fitted again by the same forms with the same
shares of the draws, and every larger budget is forecast. What such a forecast misses has four parts: the noise of the
cells, the law's own error that is seen at the fitted cells already, what the draws say of the law's uncertainty, and
the rest. The rest is what no form of law captures. It is common to the choices at a budget, its bias included, and it
grows with the distance:

    mean square error  =  expected + s^2 f^2 d,     d = log(C_j / C_k)

Here f is the law's fall, by how much its lowest log loss falls as log C rises by 1, so that s does not depend on the
units of the loss or on how fast it falls. The growth with the root of d is that of a law whose slope keeps wandering.
Chinchilla's runs, the step law's, the Gemstones' checkpoints and our own two studies miss like that (rest of 0.6 to
1.1 % at d = 0.5, of 1.0 to 1.5 % at d = 2), with s between 0.15 and 0.35.

A table has few cuts, and their errors go together, so that s^2 is the mean of what they show and of PRIOR^2, which
counts as much as WORTH cuts. With fewer than four budgets the prior alone is left, and the laws say so. The law's own
error inside is expected of a forecast, so that it does not show here; outside it grows (`embudget.laws.surface`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.laws.ensemble import surfaces_of
from embudget.laws.forms import Array
from embudget.laws.misfit import is_outlying
from embudget.laws.problem import Points
from embudget.laws.sharing import fit_jointly, parameters_of
from embudget.laws.surface import Surface
from embudget.laws.weights import JudgedForm

FEWEST_BELOW, FEWEST_BUDGETS = 2, 4
"""Budgets that are left below a cut, and those of a table that is cut."""
MOST_CUTS = 4
"""The last cuts of a table with many budgets: they are the nearest to the forecasts that are wanted."""
MOST_CELLS = 300
"""Cells that a cut is fitted to at most; of more, a random sample."""
DRAWS = 50
"""Bootstrap draws of a cut, over all forms."""
PRIOR, WORTH = 0.09, 0.5
"""s before anything is seen, and how many cuts that is worth; chosen by `benchmarks/prior.py`."""


class Backtest(Frozen):
    """What the laws of the cells up to one budget said of the cells at a larger one."""

    largest: PositiveFloat = Field(description="the largest budget that was fitted, FLOP")
    budget: PositiveFloat = Field(description="the budget that was forecast, FLOP")
    cells: PositiveInt
    bias: float = Field(description="mean of log(measured / predicted): above 0 where the laws promised too much")
    error: NonNegativeFloat = Field(description="root mean square of log(measured / predicted)")
    expected: NonNegativeFloat = Field(description="the same, by the noise, the misfit and the spread of the draws")


class Cut(NamedTuple):
    """The cells up to a budget, and those of larger ones."""

    below: Points
    above: Points


def backtests(
    points: Points, drawn: Sequence[tuple[JudgedForm, int]], asymptote: float | None, rng: np.random.Generator
) -> dict[str, tuple[Backtest, ...]]:
    """Fit the forms again to the cells below each cut, and hold them against each budget above it, by lineage.

    Cells that lie far from the fit of all are left out: a diverged run says nothing of forecasts.
    """
    found: dict[str, list[Backtest]] = {lineage: [] for lineage in points.lineages}
    log_fit = np.average([one.fit.log_fit for one, _ in drawn], axis=0, weights=[count for _, count in drawn])
    for cut in _cuts(points.where(~is_outlying(points.log_loss - log_fit, points.weights))):
        again = _fitted_again(cut.below, drawn, asymptote)
        if again:
            largest = float(cut.below.budget.max())
            for lineage, surface in surfaces_of(cut.below, again, asymptote, rng).items():
                above = cut.above.where(cut.above.lineage == lineage)
                found[lineage] += _held_against(surface, largest, above) if len(above) else ()
    return {lineage: tuple(tests) for lineage, tests in found.items()}


def discrepancy_of(tests: Sequence[Backtest], fall: float, prior: float = PRIOR, worth: float = WORTH) -> float:
    """What a forecast misses beyond the noise, the misfit and the draws where C is e times the largest measured one."""
    squares = [worth * prior**2]
    weights = [worth]
    for largest in sorted({test.largest for test in tests}):
        of_cut = [test for test in tests if test.largest == largest]
        seen = [_seen(test, fall, prior) for test in of_cut]
        share = sum(weight for _, weight in seen) / len(seen)
        squares.append(sum(square * weight for square, weight in seen) / len(seen))
        weights.append(share)
    return fall * float(np.sqrt(max(sum(squares), 0.0) / sum(weights)))


def _seen(test: Backtest, fall: float, prior: float) -> tuple[float, float]:
    """s^2 as one forecast has it, and its weight: 1 where it would show the prior, towards 0 where noise hides it."""
    unit = fall**2 * max(float(np.log(test.budget / test.largest)), 1e-3)
    noise = test.expected**2 / (prior**2 * unit)
    return (test.error**2 - test.expected**2) / unit, 1 / (1 + noise**2)


def fall_of(surface: Surface, points: Points) -> float:
    """By how much the lowest predicted log loss falls as log C rises by 1, over the larger half of the budgets."""
    logs = surface.log_draws(points.method.tolist(), np.exp(points.log_n), np.exp(points.log_d)).mean(axis=0)
    levels = np.unique(points.levels)
    best = [float(logs[points.levels == level].min()) for level in levels]
    at = [float(np.log(points.budget[points.levels == level]).mean()) for level in levels]
    first = (len(levels) - 1) // 2
    return max((best[first] - best[-1]) / (at[-1] - at[first]), 1e-3)


def _cuts(points: Points) -> Iterator[Cut]:
    levels = np.unique(points.levels)
    if len(levels) < FEWEST_BUDGETS:
        return
    for level in levels[FEWEST_BELOW:][-MOST_CUTS:]:
        below = points.where(points.levels < level)
        lines, counts = np.unique(below.lines, return_counts=True)
        below = below.where(np.isin(below.lines, lines[counts > 1])).thinned(MOST_CELLS)
        above = points.where((points.levels >= level) & np.isin(points.lines, below.lines))
        if len(above) and len(below) and len(np.unique(below.log_n)) > 1:
            yield Cut(below, above)


def _fitted_again(
    below: Points, drawn: Sequence[tuple[JudgedForm, int]], asymptote: float | None
) -> list[tuple[JudgedForm, int]]:
    able = [(one, count) for one, count in drawn if parameters_of(one.fit.form.name, below) < len(below)]
    total = sum(count for _, count in able)
    return [
        (
            replace(one, fit=fit_jointly(one.fit.form, below, one.fit.sharing, asymptote)),
            max(2, round(DRAWS * count / total)),
        )
        for one, count in able
    ]


def _held_against(surface: Surface, largest: float, above: Points) -> Iterator[Backtest]:
    predicted, expected = surface.expected_errors(
        above.method.tolist(), np.exp(above.log_n), np.exp(above.log_d), above.seeds
    )
    errors: Array = above.log_loss - predicted
    for level in np.unique(above.levels):
        rows = above.levels == level
        yield Backtest(
            largest=largest,
            budget=float(np.exp(np.log(above.budget[rows]).mean())),
            cells=int(rows.sum()),
            bias=float(errors[rows].mean()),
            error=float(np.sqrt((errors[rows] ** 2).mean())),
            expected=float(np.sqrt(expected[rows].mean())),
        )
