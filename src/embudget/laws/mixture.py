"""From cells to the surface: candidates, their weights, their draws, and what they leave unexplained."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from embudget.frozen import Frozen
from embudget.laws.bootstrap import draw, is_outlying, noise_of_run
from embudget.laws.joint import JointFit, Sharing
from embudget.laws.kriging import Correction, fit_correction
from embudget.laws.misfit import misfit_of
from embudget.laws.parameters import FormName
from embudget.laws.points import MANY_CELLS, Points
from embudget.laws.ranking import Candidate, rank
from embudget.laws.surface import Branch, Component, Surface

MOST_CORRECTED = 500
"""Cells that a correction is carried from; of more, a sample."""
LEAST_STEP = 1.1
"""Ratio of neighbouring budgets below which they count as the same."""
LEAST_SHARE = 0.01
"""Of the draws, below which a candidate has none."""


class Ranked(Frozen):
    """How a form of law did in forecasting the largest budgets."""

    form: FormName
    sharing: Sharing
    forecast_error: float | None = Field(description="root mean square, relative; None with too few budgets or cells")
    criterion: float | None = Field(description="Akaike's for small samples, above the best; None with too few cells")
    parameters: float = Field(description="that the data decide")
    weight: float = Field(ge=0, le=1)


def fit_surface(
    points: Points, forms: Sequence[FormName], asymptote: float | None, seed: int, draws: int
) -> tuple[Surface, tuple[Ranked, ...], JointFit]:
    """Fit all forms; return the surface, the ranking, and the fit of the heaviest candidate."""
    candidates = rank(points, forms, asymptote)
    heavy = sorted(candidates, key=lambda one: -one.weight)
    counts = _counts([one.weight for one in heavy], draws)
    rng = np.random.default_rng(seed)
    components = tuple(_component(one, points, count, rng) for one, count in zip(heavy, counts, strict=True) if count)
    chosen = [(one.fit, count) for one, count in zip(heavy, counts, strict=True) if count]
    freedom = max(len(points) - _mean([(fit.parameters, count) for fit, count in chosen]), 1.0)
    log_fit = np.average([fit.log_fit for fit, _ in chosen], axis=0, weights=[count for _, count in chosen])
    residuals = points.log_loss - log_fit
    noise = noise_of_run(points, residuals, freedom)
    misfit = misfit_of(points.thinned(MANY_CELLS), residuals[points.sampled(MANY_CELLS)], noise, freedom)
    step = step_of(points)
    plain = Surface(
        components=components, asymptote=asymptote, noise=noise, misfit=misfit, freedom=freedom, discrepancy=0.0,
        step=step, reach={method: _reach(points.where(points.method == method)) for method in points.methods},
    )  # fmt: skip
    if misfit > 0:
        plain = plain.model_copy(update={"correction": _correction(plain, points)})
    known = [(one.forecast, count) for one, count in zip(heavy, counts, strict=True) if one.forecast is not None]
    forecast = _mean(known, squares=True) if any(count for _, count in known) else 0.0
    missed = _discrepancy(plain, points, forecast)
    return plain.model_copy(update={"discrepancy": missed}), _ranking(candidates), heavy[0].fit


def _correction(surface: Surface, points: Points) -> Correction:
    at = points.method.tolist(), np.exp(points.log_n), np.exp(points.log_d)
    residuals = points.log_loss - np.log(surface.drawn(*at)).mean(axis=0)
    near = ~is_outlying(residuals, points.weights)
    few = points.where(near).sampled(MOST_CORRECTED)
    of_run = float(np.sqrt(max(surface.noise**2 - surface.misfit**2, 0.0)))
    return fit_correction(points.where(near).where(few), residuals[near][few], of_run, surface.misfit)


def step_of(points: Points) -> float:
    """Median ratio of neighbouring budgets."""
    levels = [float(points.budget[points.levels == level].mean()) for level in np.unique(points.levels)]
    return max(LEAST_STEP, float(np.exp(np.median(np.diff(np.log(levels))))))


def _counts(weights: Sequence[float], draws: int) -> list[int]:
    """Draws of each candidate: in proportion, the rounding given to the heaviest."""
    counts = [round(weight * draws) if weight >= LEAST_SHARE else 0 for weight in weights]
    counts[0] = max(1, counts[0] + draws - sum(counts))
    return counts


def _mean(values: Sequence[tuple[float, int]], *, squares: bool = False) -> float:
    numbers, counts = zip(*values, strict=True)
    if squares:
        return float(np.sqrt(np.average(np.square(numbers), weights=counts)))
    return float(np.average(numbers, weights=counts))


def _component(candidate: Candidate, points: Points, count: int, rng: np.random.Generator) -> Component:
    fit = candidate.fit
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
    return Component(form=candidate.name, sharing=fit.sharing, weight=candidate.weight, branches=tuple(branches))


def _reach(points: Points) -> tuple[float, float]:
    product = np.exp(points.log_n + points.log_d)
    return float(product.min()), float(product.max())


def _discrepancy(surface: Surface, points: Points, forecast: float) -> float:
    """What the forecasts missed beyond the noise of a cell and, for both fit and forecast, the spread of the draws.

    The spread is that one step beyond the largest budget, where the law stands to all cells as the forecasts stood to
    the cells below theirs.
    """
    largest = points.where(points.levels == points.levels.max())
    beyond = np.exp(largest.log_d) * surface.step
    logs = np.log(surface.drawn(largest.method.tolist(), np.exp(largest.log_n), beyond))
    spread = float(logs.var(axis=0).mean())
    of_cell = (surface.noise**2 - surface.misfit**2) / float(points.seeds.mean())
    return float(np.sqrt(max(forecast**2 - of_cell - 2 * spread, 0.0)))


def _ranking(candidates: Sequence[Candidate]) -> tuple[Ranked, ...]:
    best = min(one.criterion for one in candidates)
    return tuple(
        Ranked(
            form=one.name,
            sharing=one.fit.sharing,
            forecast_error=one.forecast,
            criterion=one.criterion - best if np.isfinite(one.criterion) else None,
            parameters=one.fit.parameters,
            weight=one.weight,
        )
        for one in candidates
    )
