"""Which form of law to believe, and how much its methods share: the data give each possibility a weight.

Every form is fitted with every kind of sharing and judged twice:

    forecast    fitted to the budgets below the k-th, it forecasts the cells of the k-th: the root mean square log error
                over the last ROLLS budgets that have two below them. Where there are many cells a sample of them is
                taken, without those that lie far from the best fit of all. The forms are ranked by it
    criterion   Akaike's for small samples over all cells, n log(RSS / n) + 2(k + 1) n / (n - k - 2) for n cells and k
                parameters (Burnham and Anderson 2002, section 2.4)

No form is taken for the truth. Its weight is its share of the bootstrap draws that predictions are made of,

    w  ~  exp(-(criterion - best) / 2) (forecast / best)^-p

where the first factor gives Akaike's weights and the second is the likelihood of p independent normal forecasts of
which only the size of the errors is known. p = FORECASTS is an assumption, since forecasts of one budget go together.
Where no form is right, the criterion (over all cells) and the forecasts (at the budgets that matter) may disagree; then
both have a say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from pydantic import Field

from embudget.frozen import Frozen
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.joint import JointFit, Sharing
from embudget.laws.misfit import is_outlying, series_of, winsorised
from embudget.laws.problem import MANY_CELLS, Points
from embudget.laws.sharing import fit_jointly, parameters_of

SHARINGS: tuple[Sharing, ...] = get_args(Sharing)
"""What is tried where there are several kinds of method."""
ROLLS = 2
"""Budgets that are forecast from those below them."""
FORECASTS = 8.0
"""p, the number of independent forecasts that the ratio of two forecast errors counts as. Assumption."""
LEAST_SHARE = 0.01
"""Weight below which a form gets no draws."""
_EXACT = 1e-6  # relative error below which fits and forecasts are equally good


class Ranked(Frozen):
    """How a form of law did in forecasting the largest budgets, as it is stored and shown."""

    form: FormName
    sharing: Sharing
    forecast_error: float | None = Field(description="root mean square, relative; None with too few budgets or cells")
    criterion: float | None = Field(description="Akaike's for small samples, above the best; None with too few cells")
    parameters: float = Field(description="how many the data decide")
    weight: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class JudgedForm:
    """A form and a sharing, fitted and judged."""

    fit: JointFit
    criterion: float
    forecast: float | None
    """root mean square relative error; None where there are too few budgets or cells"""
    weight: float = 0.0


def rank(points: Points, forms: Sequence[FormName], asymptote: float | None = None) -> list[JudgedForm]:
    """Every form that the cells can determine, with each sharing, the best forecast first; the weights sum to 1."""
    sharings = SHARINGS if len(points.kinds) > 1 else ("shared",)
    fits = [fit_jointly(FORMS[name], points, sharing, asymptote) for name in forms for sharing in sharings]
    criteria = [_criterion(fit, points, len(points)) for fit in fits]
    residuals = points.log_loss - fits[int(np.argmin(criteria))].log_fit
    if (effective := series_of(points, residuals).effective) < len(points):
        criteria = [_criterion(fit, points, effective) for fit in fits]
    best = fits[int(np.argmin(criteria))]
    splits = _splits(points.where(~is_outlying(points.log_loss - best.log_fit, points.weights)).thinned(MANY_CELLS))
    splits, judged = _common(splits, forms)
    found = [
        JudgedForm(fit, criterion, _forecast(fit, splits, asymptote) if fit.form.name in judged else None)
        for fit, criterion in zip(fits, criteria, strict=True)
    ]
    weighed = [replace(one, weight=float(weight)) for one, weight in zip(found, _weights(found), strict=True)]
    return sorted(weighed, key=lambda one: (float("inf") if one.forecast is None else one.forecast, -one.weight))


def ranking_of(judged: Sequence[JudgedForm]) -> tuple[Ranked, ...]:
    """The same as values to store, with each criterion as its distance from the best one."""
    best = min(one.criterion for one in judged)
    return tuple(
        Ranked(
            form=one.fit.form.name,
            sharing=one.fit.sharing,
            forecast_error=one.forecast,
            criterion=one.criterion - best if np.isfinite(one.criterion) else None,
            parameters=one.fit.parameters,
            weight=one.weight,
        )
        for one in judged
    )


def draws_of(judged: Sequence[JudgedForm], draws: int) -> list[tuple[JudgedForm, int]]:
    """The forms that get draws and how many, the heaviest first: in proportion to the weights.

    What rounding leaves over or lacks is the heaviest form's.
    """
    heavy = sorted(judged, key=lambda one: -one.weight)
    counts = [round(one.weight * draws) if one.weight >= LEAST_SHARE else 0 for one in heavy]
    counts[0] = max(1, counts[0] + draws - sum(counts))
    return [(one, count) for one, count in zip(heavy, counts, strict=True) if count]


def _splits(points: Points) -> list[tuple[Points, Points]]:
    """The cells below a budget and those of it, for the last budgets; methods with one cell below are left out."""
    levels = np.unique(points.levels)
    splits = []
    for level in levels[max(2, len(levels) - ROLLS) :]:
        below, at = points.where(points.levels < level), points.where(points.levels == level)
        lines, counts = np.unique(below.lines, return_counts=True)
        known = lines[counts > 1]
        below, at = below.where(np.isin(below.lines, known)), at.where(np.isin(at.lines, known))
        if len(at) and len(np.unique(below.log_n)) > 1:
            splits.append((below, at))
    return splits


def _common(
    splits: Sequence[tuple[Points, Points]], forms: Sequence[FormName]
) -> tuple[list[tuple[Points, Points]], set[FormName]]:
    """The splits that every judged form can be fitted to, so that forecasts are compared on the same cells.

    The form with the most parameters is judged only if a split has more cells than it has parameters; otherwise it is
    left out, and the next one decides.
    """
    wanted = sorted(forms, key=lambda name: -max((parameters_of(name, below) for below, _ in splits), default=0))
    for first in range(len(wanted)):
        judged = wanted[first:]
        fitting = [
            (below, at) for below, at in splits if all(len(below) > parameters_of(name, below) for name in judged)
        ]
        if fitting:
            return fitting, set(judged)
    return [], set()


def _forecast(fit: JointFit, splits: Sequence[tuple[Points, Points]], asymptote: float | None) -> float:
    squares = []
    for below, at in splits:
        earlier = fit_jointly(fit.form, below, fit.sharing, asymptote)
        errors = at.log_loss - earlier.predict(at.method, at.log_n, at.log_d, at.lineage, at.base)
        squares.append(float((at.weights * winsorised(errors, at.weights) ** 2).mean()))
    return float(np.sqrt(np.mean(squares)))


def _criterion(fit: JointFit, points: Points, count: float) -> float:
    """Akaike's for small samples, the cells being worth ``count`` independent ones."""
    parameters = fit.parameters
    if count - parameters - 2 < 1 - 1e-6:  # nearer to its pole a hundredth of a parameter would decide
        return float("inf")
    residuals = winsorised(points.log_loss - fit.log_fit, points.weights)
    squares = float((points.weights * residuals**2).mean()) + _EXACT**2
    return count * float(np.log(squares)) + 2 * (parameters + 1) * count / (count - parameters - 2)


def _weights(judged: Sequence[JudgedForm]) -> Array:
    criteria = np.array([one.criterion for one in judged])
    if np.isinf(criteria).all():  # too few cells to compare: the first form, as simple as may be
        criteria[0] = 0.0
    log_weights = -0.5 * (criteria - criteria.min())
    known = [one.forecast for one in judged if one.forecast is not None]
    if known:  # a form that could not forecast is taken to do it no better than the others
        errors = np.hypot([max(known) if one.forecast is None else one.forecast for one in judged], _EXACT)
        log_weights = log_weights - FORECASTS * np.log(errors / errors.min())
    relative = np.exp(log_weights - log_weights.max())
    weights: Array = relative / relative.sum()
    return weights
