"""How runs become laws.

The steps, with the files that take them:

checks         what the cells must offer                              -> cells
reuse          what repeated tokens are worth                         -> points, in effective tokens
weights        every form fitted (`sharing`, by `solve`) and judged   -> forms with weights
uncertainty    bootstrap draws of each, as many as its weight         -> components
misfit         what the fits leave unexplained                        -> the surface L(N, D, method)
diagnostics    what may be wrong with it
frontier, isoflop, rates    the best loss, the best size and the best rate, as the cells show them
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from embudget.errors import ConfigError, FitError, TooFewRunsError
from embudget.laws.checks import Refusal, check_support, supported_forms
from embudget.laws.diagnostics import diagnose
from embudget.laws.forms import Array
from embudget.laws.frontier import Frontier, fit_frontier
from embudget.laws.isoflop import Isoflop, fit_isoflop
from embudget.laws.laws import OVER_ALL, Domain, Laws
from embudget.laws.misfit import Correction, fit_correction, is_outlying, misfit_of, noise_of_run, series_of
from embudget.laws.problem import MANY_CELLS, Points
from embudget.laws.rates import rate_law_of
from embudget.laws.reuse import fit_repetition
from embudget.laws.surface import Branch, Component, Surface, log_losses_of
from embudget.laws.uncertainty import draw
from embudget.laws.weights import JudgedForm, draws_of, rank, ranking_of
from embudget.records import RunRecord
from embudget.runs.cells import Cell, RunTable

MIN_CELLS = 2
"""Cells that a method needs for a law, since it brings two coefficients of its own."""
MOST_CORRECTED = 500
"""Cells that a correction is carried from at most; of more, a random sample."""
LEAST_STEP = 1.1
"""Ratio of neighbouring budgets below which they count as the same."""


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
        records: of one study; failed and unusable ones are left out and counted. Or a table of anyone's runs, as
            `embudget.runs.RunTable.read` gives it.
        seed: of the bootstrap; the same seed gives the same laws.
        draws: bootstrap resamples, over all forms of law.
        forms: names from `FORMS`; by default all, each with the weight that the data give it.
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
    table = records if isinstance(records, RunTable) else RunTable.of(records)
    refusals: list[Refusal] = []
    by_method = _with_law(table, refusals)
    cells = [cell for group in by_method.values() for cell in group]
    points = Points.of(cells)
    check_support(cells, points, asymptote)
    supported = supported_forms(points, forms)
    repetition = fit_repetition(cells, supported, asymptote)
    points = Points.of(cells, repetition)
    judged = rank(points, supported, asymptote)
    drawn = draws_of(judged, draws)
    surface = surface_of(points, drawn, asymptote, np.random.default_rng(seed))
    return Laws(
        table=table,
        surface=surface,
        ranking=ranking_of(judged),
        diagnostics=diagnose(cells, points, drawn[0][0].fit, surface),
        frontiers=_frontiers({**by_method, OVER_ALL: cells}, refusals),
        isoflops={method: _isoflop(method, group, refusals) for method, group in by_method.items()},
        domain={method: _domain(group) for method, group in by_method.items()},
        rate_law=rate_law_of(cells),
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


def surface_of(
    points: Points, drawn: Sequence[tuple[JudgedForm, int]], asymptote: float | None, rng: np.random.Generator
) -> Surface:
    """Draw from every form, the heaviest first, and measure what they leave unexplained together."""
    counts = [count for _, count in drawn]
    components = tuple(_component(one, points, count, rng) for one, count in drawn)
    residuals = points.log_loss - np.average([one.fit.log_fit for one, _ in drawn], axis=0, weights=counts)
    parameters = _mean([one.fit.parameters for one, _ in drawn], counts)
    effective = series_of(points, residuals).effective
    freedom = max(effective - parameters, 1.0)
    noise = noise_of_run(points, residuals, freedom * len(points) / effective)
    misfit = misfit_of(points.thinned(MANY_CELLS), residuals[points.sampled(MANY_CELLS)], noise, freedom)
    step, products = step_of(points), np.exp(points.log_n + points.log_d)
    return Surface(
        components=components,
        asymptote=asymptote,
        noise=noise,
        misfit=misfit,
        correction=_correction(components, points, asymptote, noise, misfit) if misfit > 0 else None,
        freedom=freedom,
        discrepancy=_discrepancy(components, points, asymptote, step, _forecast(drawn), noise**2 - misfit**2),
        step=step,
        reach={method: _span(products[points.method == method]) for method in points.methods},
    )


def _component(judged: JudgedForm, points: Points, count: int, rng: np.random.Generator) -> Component:
    fit = judged.fit
    branches = [
        Branch(
            basis={method: tuple(map(float, row)) for method, row in group.basis.items()},
            centre_n=group.centre_n,
            centre_d=group.centre_d,
            fit=tuple(map(float, vector)),
            draws=tuple(map(tuple, drawn.tolist())),
        )
        for group, vector, drawn in zip(fit.groups, fit.vectors, draw(fit, points, count, rng), strict=True)
    ]
    return Component(form=fit.form.name, sharing=fit.sharing, weight=judged.weight, branches=tuple(branches))


def _log_draws(components: Sequence[Component], points: Points, asymptote: float | None) -> Array:
    """Log losses of the cells by every draw (draws, n), without a correction."""
    return log_losses_of(components, points.method.tolist(), points.log_n, points.log_d, asymptote)[1]


def _correction(
    components: Sequence[Component], points: Points, asymptote: float | None, noise: float, misfit: float
) -> Correction:
    """The correction that the residuals ask for, outlying cells left out so that they are not carried anywhere."""
    residuals = points.log_loss - _log_draws(components, points, asymptote).mean(axis=0)
    near = ~is_outlying(residuals, points.weights)
    few = points.where(near).sampled(MOST_CORRECTED)
    of_run = float(np.sqrt(max(noise**2 - misfit**2, 0.0)))
    return fit_correction(points.where(near).where(few), residuals[near][few], of_run, misfit)


def _forecast(drawn: Sequence[tuple[JudgedForm, int]]) -> float:
    """Root mean square error of the forms' forecasts of the largest budgets, by their draws; 0 where there is none."""
    known = [(one.forecast**2, count) for one, count in drawn if one.forecast is not None]
    return float(np.sqrt(_mean(*zip(*known, strict=True)))) if known else 0.0


def _discrepancy(
    components: Sequence[Component],
    points: Points,
    asymptote: float | None,
    step: float,
    forecast: float,
    variance_of_run: float,
) -> float:
    """What the forecasts missed beyond the noise of a cell and, for both fit and forecast, the spread of the draws.

    The spread is taken one step beyond the largest budget, where the law stands to all cells as the forecasts stood to
    the cells below theirs.
    """
    largest = points.where(points.levels == points.levels.max())
    beyond = replace(largest, log_d=largest.log_d + np.log(step))
    spread = float(_log_draws(components, beyond, asymptote).var(axis=0).mean())
    of_cell = variance_of_run / float(points.seeds.mean())
    return float(np.sqrt(max(forecast**2 - of_cell - 2 * spread, 0.0)))


def _mean(values: Sequence[float], counts: Sequence[int]) -> float:
    return float(np.average(values, weights=counts))


def step_of(points: Points) -> float:
    """Median ratio of neighbouring budgets."""
    levels = [float(points.budget[points.levels == level].mean()) for level in np.unique(points.levels)]
    return max(LEAST_STEP, float(np.exp(np.median(np.diff(np.log(levels))))))


def _span(values: Sequence[float] | Array) -> tuple[float, float]:
    return float(np.min(values)), float(np.max(values))


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
        model_params=_span([cell.model_params for cell in cells]),
        tokens=_span([cell.tokens for cell in cells]),
        budgets=_span([cell.budget for cell in cells]),
    )
