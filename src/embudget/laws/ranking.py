"""Which form of law, and how much its methods share: the data choose.

Every form is fitted with every kind of sharing and judged twice:

    forecast    fitted to the budgets below the k-th, it forecasts the cells of the k-th: the root mean square log error
                over the last ROLLS budgets that have two below them; of many cells, by a sample, and without those that
                lie far from the best fit of all. The forms are ranked by it
    criterion   Akaike's for small samples over all cells, n log(RSS / n) + 2(k + 1) n / (n - k - 2) for n cells and k
                parameters (Burnham and Anderson 2002, section 2.4)

No form is taken for the truth: each gets a weight, its share of the bootstrap draws that predictions are made of,

    w  ~  exp(-(criterion - best) / 2) (forecast / best)^-p

the first factor being Akaike's weights, the second the likelihood of p independent normal forecasts of which only the
size of the errors is known; they go together at one budget, and p = FORECASTS is an assumption. Where no form is right
the criterion, over all cells, and the forecasts, at the budgets that matter, may disagree: then both have a say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from embudget.laws.base import Array
from embudget.laws.basis import basis_of
from embudget.laws.bootstrap import is_outlying, winsorised
from embudget.laws.joint import JointFit, Sharing, fit_jointly
from embudget.laws.parameters import FORMS, FormName
from embudget.laws.points import MANY_CELLS, Points

ROLLS = 2
FORECASTS = 8.0
_EXACT = 1e-6  # relative error below which fits and forecasts are equally good


@dataclass(frozen=True)
class Candidate:
    """A form and a sharing, fitted and judged."""

    name: FormName
    fit: JointFit
    criterion: float
    forecast: float | None
    """root mean square relative error; None where there are too few budgets or cells"""
    weight: float = 0.0


def rank(points: Points, forms: Sequence[FormName], asymptote: float | None = None) -> list[Candidate]:
    """All candidates that the cells can determine, the best forecast first; their weights sum to 1."""
    sharings: tuple[Sharing, ...] = get_args(Sharing) if len(points.kinds) > 1 else ("shared",)
    fits = [(name, fit_jointly(FORMS[name], points, sharing, asymptote)) for name in forms for sharing in sharings]
    criteria = [_criterion(fit, points) for _, fit in fits]
    best = fits[int(np.argmin(criteria))][1]
    splits = _splits(points.where(~is_outlying(points.log_loss - best.log_fit, points.weights)).thinned(MANY_CELLS))
    splits, judged = _common(splits, forms)
    candidates = [
        Candidate(name, fit, criterion, _forecast(fit, splits, asymptote) if name in judged else None)
        for (name, fit), criterion in zip(fits, criteria, strict=True)
    ]
    weights = _weights(candidates)
    weighed = [
        Candidate(one.name, one.fit, one.criterion, one.forecast, float(weight))
        for one, weight in zip(candidates, weights, strict=True)
    ]
    return sorted(weighed, key=lambda one: (float("inf") if one.forecast is None else one.forecast, -one.weight))


def _splits(points: Points) -> list[tuple[Points, Points]]:
    """(cells below a budget, cells of the budget) for the last budgets; methods with one cell below are left out."""
    levels = np.unique(points.levels)
    splits = []
    for level in levels[max(2, len(levels) - ROLLS) :]:
        below, at = points.where(points.levels < level), points.where(points.levels == level)
        counts = {method: int((below.method == method).sum()) for method in below.methods}
        known = [method for method, count in counts.items() if count > 1]
        below, at = below.where(np.isin(below.method, known)), at.where(np.isin(at.method, known))
        if len(at) and len(np.unique(below.log_n)) > 1:
            splits.append((below, at))
    return splits


def parameters_of(name: FormName, points: Points) -> int:
    """Parameters of a form with E and the exponents shared."""
    form = FORMS[name]
    columns = len(next(iter(basis_of(points.methods).values())))
    return 1 + len(form.exponents) + len(form.coefficients) * columns


def _common(
    splits: Sequence[tuple[Points, Points]], forms: Sequence[FormName]
) -> tuple[list[tuple[Points, Points]], set[FormName]]:
    """The splits that are the same for all forms judged by them; a form with too many parameters for any is not."""
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
        errors = at.log_loss - earlier.predict(at.method, at.log_n, at.log_d)
        squares.append(float((at.weights * winsorised(errors, at.weights) ** 2).mean()))
    return float(np.sqrt(np.mean(squares)))


def _criterion(fit: JointFit, points: Points) -> float:
    count, parameters = len(points), fit.parameters
    if count - parameters - 2 < 1 - 1e-6:  # nearer to its pole a hundredth of a parameter would decide
        return float("inf")
    residuals = winsorised(points.log_loss - fit.log_fit, points.weights)
    squares = float((points.weights * residuals**2).mean()) + _EXACT**2
    return count * float(np.log(squares)) + 2 * (parameters + 1) * count / (count - parameters - 2)


def _weights(candidates: Sequence[Candidate]) -> Array:
    criteria = np.array([one.criterion for one in candidates])
    if np.isinf(criteria).all():  # too few cells to compare: the first form, as simple as may be
        criteria[0] = 0.0
    log_weights = -0.5 * (criteria - criteria.min())
    known = [one.forecast for one in candidates if one.forecast is not None]
    if known:  # a form that could not forecast is taken to do it no better than the others
        errors = np.hypot([max(known) if one.forecast is None else one.forecast for one in candidates], _EXACT)
        log_weights = log_weights - FORECASTS * np.log(errors / errors.min())
    relative = np.exp(log_weights - log_weights.max())
    weights: Array = relative / relative.sum()
    return weights
