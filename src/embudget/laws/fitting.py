"""From records to laws."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws.diagnostics import diagnose
from embudget.laws.frontier import Frontier, fit_frontier
from embudget.laws.isoflop import Isoflop, Profile, fit_profile
from embudget.laws.line import fit_line
from embudget.laws.mixture import fit_surface
from embudget.laws.points import Points
from embudget.laws.rates import rate_law_of
from embudget.laws.result import OVER_ALL, Domain, Laws, Refusal
from embudget.laws.support import check_support, supported_forms
from embudget.records import RunRecord
from embudget.runs.cells import Cell, RunTable

MIN_CELLS = 2
"""Cells of a method below which it has no law: it brings two coefficients of its own."""


def fit(
    records: Iterable[RunRecord] | RunTable,
    *,
    seed: int = 0,
    draws: int = 200,
    forms: Sequence[str] | None = None,
    asymptote: float | None = None,
) -> Laws:
    """Fit all the laws that the records support.

    Args:
        records: of one study, failed and unusable ones are left out and counted; or a table of runs.
        seed: of the bootstrap.
        draws: bootstrap resamples, over all forms of law.
        forms: of the law; by default all, each with the weight that the data give it.
        asymptote: E in nats where it is known, instead of fitted.

    Returns:
        The laws. What could not be fitted besides L(N, D) is listed in ``refusals``.

    Raises:
        ConfigError: ``seed`` is negative, ``draws`` not positive, a form unknown, or the asymptote too high.
        TooFewRunsError: too few usable runs, sizes or budgets for L(N, D).
        FitError: the runs are not comparable, all losses are equal, or methods without a common budget.
    """
    for name, value, least in (("seed", seed, 0), ("draws", draws, 1)):
        if value < least:
            raise ConfigError(f"{name} must be >= {least}, got {value}")
    table = records if isinstance(records, RunTable) else RunTable.of(records)
    refusals: list[Refusal] = []
    by_method = _with_law(table, refusals)
    cells = [cell for group in by_method.values() for cell in group]
    points = Points.of(cells)
    check_support(cells, points, asymptote)
    surface, ranking, heaviest = fit_surface(points, supported_forms(points, forms), asymptote, seed, draws)
    return Laws(
        table=table,
        surface=surface,
        ranking=ranking,
        diagnostics=diagnose(cells, points, heaviest, surface),
        frontiers=_frontiers({**by_method, OVER_ALL: cells}, refusals),
        isoflops={method: _isoflop(method, group, refusals) for method, group in by_method.items()},
        domain={method: _domain(group) for method, group in by_method.items()},
        rate_law=rate_law_of(cells),
        refusals=tuple(refusals),
    )


def _with_law(table: RunTable, refusals: list[Refusal]) -> dict[str, list[Cell]]:
    """The cells of the methods that have enough of them, in the table's order."""
    by_method = {method: [cell for cell in table.cells if cell.method == method] for method in table.methods}
    few = {method for method, cells in by_method.items() if len(cells) < MIN_CELLS}
    for method in sorted(few) if len(few) < len(by_method) else ():
        count = len(by_method.pop(method))
        error = TooFewRunsError(f"a method needs at least {MIN_CELLS} cells, got {count}")
        refusals.append(_refusal(f"law of {method}", error, method))
    return by_method


def _refusal(what: str, error: FitError, method: str | None, budget: float | None = None) -> Refusal:
    return Refusal(what=what, method=method, budget=budget, error=type(error).__name__, reason=str(error))


def _frontiers(groups: dict[str, list[Cell]], refusals: list[Refusal]) -> dict[str, Frontier]:
    fitted: dict[str, Frontier] = {}
    for name, cells in groups.items():
        try:
            fitted[name] = fit_frontier(cells)
        except FitError as error:
            refusals.append(_refusal(f"frontier of {name}", error, None if name == OVER_ALL else name))
    return fitted


def _isoflop(method: str, cells: list[Cell], refusals: list[Refusal]) -> Isoflop:
    profiles: list[Profile] = []
    for budget, group in groupby(cells, key=lambda cell: cell.budget):
        try:
            profiles.append(fit_profile(list(group)))
        except FitError as error:
            what = f"isoFLOP profile of {method} at {budget:.3g} FLOP"
            refusals.append(_refusal(what, error, method, budget))
    enough = len(profiles) >= 2
    sizes = fit_line([p.budget for p in profiles], [p.model_params for p in profiles]) if enough else None
    return Isoflop(profiles=tuple(profiles), best_size=sizes)


def _domain(cells: list[Cell]) -> Domain:
    def span(values: list[float]) -> tuple[float, float]:
        return min(values), max(values)

    return Domain(
        model_params=span([float(cell.model_params) for cell in cells]),
        tokens=span([cell.tokens for cell in cells]),
        budgets=span([cell.budget for cell in cells]),
    )
