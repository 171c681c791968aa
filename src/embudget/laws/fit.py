"""How runs become laws.

The steps, with the files that take them:

checks         what the cells must offer                              -> cells
reuse          what repeated tokens are worth                         -> points, in effective tokens
weights        every form fitted (`sharing`, by `solve`) and judged   -> forms with weights
ensemble       bootstrap draws of each (`uncertainty`), as many as its weight, and what they leave unexplained
               (`misfit`)                                             -> the surface L(N, D, method)
backtests      how far off it is where it can be checked              -> what intervals add beyond the data
diagnostics    what may be wrong with it
frontier, isoflop, rates    the best loss, the best size and the best rate, as the cells show them
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws.backtests import backtests, discrepancy_of, fall_of
from embudget.laws.checks import Refusal, check_support, supported_forms
from embudget.laws.diagnostics import diagnose
from embudget.laws.ensemble import range_of, surface_of
from embudget.laws.forms import Array
from embudget.laws.frontier import Frontier, fit_frontier
from embudget.laws.isoflop import Isoflop, fit_isoflop
from embudget.laws.laws import OVER_ALL, Domain, Laws
from embudget.laws.problem import Points
from embudget.laws.rates import at_best_rates, rate_law_of
from embudget.laws.reuse import fit_repetition
from embudget.laws.weights import draws_of, rank, ranking_of
from embudget.records import RunRecord
from embudget.runs.cells import Cell, RunTable

MIN_CELLS = 2
"""Cells that a method needs for a law, since it brings two coefficients of its own."""


def fit(
    records: Iterable[RunRecord] | RunTable | str | Path,
    *,
    seed: int = 0,
    draws: int = 200,
    forms: Sequence[str] | None = None,
    asymptote: float | None = None,
) -> Laws:
    """Fit all the laws that the records support.

    Args:
        records: of one study; failed and unusable ones are left out and counted. Or a table of anyone's runs, as
            `embudget.runs.RunTable.read` gives it, or the path of one.
        seed: of the bootstrap; the same seed gives the same laws.
        draws: bootstrap resamples, over all forms of law.
        forms: names from `FORMS`, each with the weight that the data give it; by default all but `tied`, which is for
            cells too few for the others.
        asymptote: E in nats where it is known, instead of fitted.

    Returns:
        The laws. What could not be fitted besides L(N, D) is listed in ``refusals``.

    Raises:
        ConfigError: ``seed`` is negative, ``draws`` not positive, a form unknown, or the asymptote too high.
        TooFewRunsError: there are too few usable runs, sizes or budgets for L(N, D).
        FitError: the runs are not comparable, all losses are equal, or methods have no common budget.

    Example:
        >>> laws = fit(RunTable.read("runs.csv"), forms=["chinchilla", "rectified"])
        >>> laws.predict("full", model_params=1.1e8, tokens=2e7)
    """
    for name, value, least in (("seed", seed, 0), ("draws", draws, 1)):
        if value < least:
            raise ConfigError(f"{name} must be >= {least}, got {value}")
    if isinstance(records, str | Path):
        records = RunTable.read(records)
    table = records if isinstance(records, RunTable) else RunTable.of(records)
    with threadpool_limits(1, user_api="blas"):  # its matrices are small: a second thread costs CPU time and saves none
        return _fit(table, seed, draws, forms, asymptote)


def _fit(table: RunTable, seed: int, draws: int, forms: Sequence[str] | None, asymptote: float | None) -> Laws:
    refusals: list[Refusal] = []
    by_method = _with_law(table, refusals)
    tried = [cell for group in by_method.values() for cell in group]
    rate_law = rate_law_of(tried)
    cells = at_best_rates(tried, rate_law)
    by_method = {method: [cell for cell in cells if cell.method == method] for method in by_method}
    points = Points.of(cells)
    check_support(cells, points, asymptote)
    supported = supported_forms(points, forms)
    repetition = fit_repetition(cells, supported, asymptote)
    points = Points.of(cells, repetition)
    judged = rank(points, supported, asymptote)
    drawn = draws_of(judged, draws)
    rng = np.random.default_rng(seed)
    moves = _group_moves(table, by_method, sum(count for _, count in drawn), seed)
    surface = surface_of(points, drawn, asymptote, rng, moves)
    tests = backtests(points, drawn, asymptote, rng)
    surface = surface.model_copy(update={"discrepancy": discrepancy_of(tests, fall_of(surface, points))})
    return Laws(
        table=table,
        surface=surface,
        backtests=tests,
        ranking=ranking_of(judged),
        diagnostics=diagnose(cells, points, drawn[0][0].fit, surface),
        frontiers=_frontiers({**by_method, OVER_ALL: cells}, refusals),
        isoflops={method: _isoflop(method, group, refusals) for method, group in by_method.items()},
        domain={method: _domain(group) for method, group in by_method.items()},
        rate_law=rate_law,
        repetition=repetition,
        refusals=tuple(refusals),
    )


def _with_law(table: RunTable, refusals: list[Refusal]) -> dict[str, list[Cell]]:
    """The cells of the methods that have enough of them, in the table's order."""
    by_method = {method: [cell for cell in table.cells if cell.method == method] for method in table.methods}
    few = {method for method, cells in by_method.items() if len(cells) < MIN_CELLS}
    for method in sorted(few) if len(few) < len(by_method) else ():
        count = len(by_method.pop(method))
        error = TooFewRunsError(f"a method needs at least {MIN_CELLS} cells, got {count}")
        refusals.append(Refusal.of(f"law of {method}", error, method))
    return by_method


def _group_moves(table: RunTable, by_method: Iterable[str], draws: int, seed: int) -> Array | None:
    """How other held-out groups move the log losses of the cells with a law (draws, n); None where that is unknown.

    Their random numbers are their own, so that all other draws are the same with them and without.
    """
    if table.groups is None:
        return None
    moves = table.groups.moves(draws, np.random.default_rng([seed, 1]))
    rows = np.isin([cell.method for cell in table.cells], list(by_method))
    centred: Array = moves[:, rows] - moves[:, rows].mean(axis=1, keepdims=True)
    return centred


def _frontiers(groups: dict[str, list[Cell]], refusals: list[Refusal]) -> dict[str, Frontier]:
    fitted: dict[str, Frontier] = {}
    for name, cells in groups.items():
        try:
            fitted[name] = fit_frontier(cells)
        except FitError as error:
            refusals.append(Refusal.of(f"frontier of {name}", error, None if name == OVER_ALL else name))
    return fitted


def _isoflop(method: str, cells: list[Cell], refusals: list[Refusal]) -> Isoflop:
    isoflop, refused = fit_isoflop(cells)
    for budget, error in refused.items():
        refusals.append(Refusal.of(f"isoFLOP profile of {method} at {budget:.3g} FLOP", error, method, budget))
    return isoflop


def _domain(cells: list[Cell]) -> Domain:
    return Domain(
        model_params=range_of([cell.model_params for cell in cells]),
        tokens=range_of([cell.tokens for cell in cells]),
        budgets=range_of([cell.budget for cell in cells]),
    )
