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
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws.backtests import backtests, discrepancy_of, fall_of
from embudget.laws.checks import Refusal, check_support, supported_forms
from embudget.laws.diagnostics import diagnose
from embudget.laws.ensemble import range_of, surfaces_of
from embudget.laws.fitted import OVER_ALL, Domain
from embudget.laws.forms import Array
from embudget.laws.frontier import Frontier, fit_frontier
from embudget.laws.isoflop import Isoflop, fit_isoflop
from embudget.laws.laws import Laws
from embudget.laws.problem import Points
from embudget.laws.rates import RateLaw, rate_laws_of
from embudget.laws.reuse import fit_repetition
from embudget.laws.tuned_losses import at_best_rates
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
    every = _with_laws(table)
    tried = [cell for one in every for cell in one.cells]
    cells = [cell for one in every for cell in at_best_rates(one.cells, one.rate_law)]
    points = Points.of(cells)
    check_support(cells, points, asymptote)
    supported = supported_forms(points, forms)
    repetition = fit_repetition(cells, supported, asymptote)
    points = Points.of(cells, repetition)
    judged = rank(points, supported, asymptote)
    drawn = draws_of(judged, draws)
    rng = np.random.default_rng(seed)
    moves = _group_moves(table, tried, sum(count for _, count in drawn), seed)
    surfaces = surfaces_of(points, drawn, asymptote, rng, moves)
    tests = backtests(points, drawn, asymptote, rng)
    found = []
    for one in every:
        name = one.table.cells[0].lineage or ""
        lineage = name if len(every) > 1 else points.lineages[0]
        mine = points.where(points.lineage == lineage)
        own = [cell for cell in cells if (cell.lineage or "") == lineage]
        fall = fall_of(surfaces[lineage], mine)
        missed = {"fall": fall, "discrepancy": discrepancy_of(tests[lineage], fall)}
        surface = surfaces[lineage].model_copy(update=missed)
        by_method = {method: [cell for cell in own if cell.method == method] for method in one.methods}
        fitted = Laws(
            table=one.table,
            surface=surface,
            backtests=tests[lineage],
            ranking=ranking_of(judged),
            diagnostics=diagnose(own, mine, drawn[0][0].fit.of_lineage(lineage), surface),
            frontiers=_frontiers({**by_method, OVER_ALL: own}, one.refusals),
            isoflops={method: _isoflop(method, group, one.refusals) for method, group in by_method.items()},
            domain={method: _domain(group) for method, group in by_method.items()},
            rate_law=one.rate_law,
            repetition=repetition,
            refusals=tuple(one.refusals),
            lineage=name or None,
        )
        found.append(fitted)
    first, *others = found
    return first.model_copy(update={"others": tuple(others)}) if others else first


class _WithLaw(NamedTuple):
    """The part of a table that laws are fitted to: one lineage, the methods that have enough cells."""

    table: RunTable
    methods: tuple[str, ...]
    cells: list[Cell]
    """by method"""
    rate_law: RateLaw | None
    refusals: list[Refusal]


def _with_laws(table: RunTable) -> list[_WithLaw]:
    """The lineages that have enough cells for laws; what has too few is refused by name."""
    found: list[_WithLaw] = []
    left_out: list[Refusal] = []
    parts = table.of_lineages()
    for part in parts:
        refusals: list[Refusal] = []
        by_method = _with_law(part, refusals)
        cells = [cell for group in by_method.values() for cell in group]
        if len(parts) > 1 and max(map(len, by_method.values())) < MIN_CELLS:
            error = TooFewRunsError(f"a lineage needs a method with at least {MIN_CELLS} cells, got {len(cells)} cells")
            left_out.append(Refusal.of(f"laws of {cells[0].lineage}", error, None))
            continue
        found.append(_WithLaw(part, tuple(by_method), cells, None, refusals))
    if not found:
        raise TooFewRunsError(left_out[0].reason)
    found[0].refusals.extend(left_out)
    rate_laws = rate_laws_of([cell for one in found for cell in one.cells])
    return [one._replace(rate_law=rate_laws[one.cells[0].lineage]) for one in found]


def _with_law(table: RunTable, refusals: list[Refusal]) -> dict[str, list[Cell]]:
    """The cells of the methods that have enough of them, in the table's order."""
    by_method = {method: [cell for cell in table.cells if cell.method == method] for method in table.methods}
    few = {method for method, cells in by_method.items() if len(cells) < MIN_CELLS}
    for method in sorted(few) if len(few) < len(by_method) else ():
        count = len(by_method.pop(method))
        error = TooFewRunsError(f"a method needs at least {MIN_CELLS} cells, got {count}")
        refusals.append(Refusal.of(f"law of {method}", error, method))
    return by_method


def _group_moves(table: RunTable, cells: Sequence[Cell], draws: int, seed: int) -> Array | None:
    """How other held-out groups move the log losses of the cells with a law (draws, n); None where that is unknown.

    Their random numbers are their own, so that all other draws are the same with them and without.
    """
    if table.groups is None:
        return None
    moves = table.groups.moves(draws, np.random.default_rng([seed, 1]))
    places = {id(cell): row for row, cell in enumerate(table.cells)}
    rows = [places[id(cell)] for cell in cells]
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
