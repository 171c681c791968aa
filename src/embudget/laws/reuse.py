"""What are repeated tokens worth in these runs? R of `embudget.laws.repetition`, from the cells that repeat.

R and its uncertainty are the mean and standard deviation of log R under

    log p(R | losses)  =  - h(R) - (log R - log REUSE)^2 / (2 SPREAD^2) + constant

with h(R) what a form of law leaves when it is fitted to D'(R): Huber's loss in units of its own dispersion, as the fits
minimise it, plus the form's parameters; the forms have a say by exp(-h). It is the profile likelihood of that noise
times a prior. So where few runs repeat, or all by the same factor, R is what the prior says, and its uncertainty widens
the intervals of choices that repeat. Runs that their repeated data made worse are no part of the law; Huber's loss
keeps them from deciding R.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import logsumexp

from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.joint import JointFit, Sharing
from embudget.laws.misfit import series_of
from embudget.laws.problem import Points
from embudget.laws.repetition import REUSE, SPREAD, Repetition, unique_tokens_of
from embudget.laws.sharing import fit_jointly
from embudget.laws.solve import HUBER, Objective, refine
from embudget.runs.cells import Cell

MOST_CELLS = 200
"""Cells that R is fitted to at most; of more, a random sample."""
_REACH, _POINTS = 3.0, 9  # standard deviations to each side of the grid of log R, and its points
_FINE = 401


def fit_repetition(cells: Sequence[Cell], forms: Sequence[FormName], asymptote: float | None = None) -> Repetition:
    """Fit R to the cells; what is assumed of it where none of them repeats a token.

    Args:
        cells: with their unique tokens.
        forms: of law, the best of which is fitted at each R.
        asymptote: E in nats where it is given.
    """
    passes = float((np.array([cell.tokens for cell in cells]) / unique_tokens_of(cells)).max())
    if passes <= 1:
        return Repetition()
    every = Points.of(cells)
    rows = every.sampled(MOST_CELLS)
    few, points = [cell for cell, row in zip(cells, rows, strict=True) if row], every.where(rows)
    centre, sd = log(REUSE), SPREAD
    for _ in range(2):  # the second time with the noise that is left at about the right R, and on a finer grid
        log_reuses = centre + max(sd, SPREAD / _POINTS) * np.linspace(-_REACH, _REACH, _POINTS)
        centre, sd = _moments(log_reuses, _log_posterior(few, points, forms, asymptote, centre, log_reuses))
    return Repetition(reuse=exp(centre), log_sd=sd, fitted=True, passes=passes)


def _log_posterior(
    cells: Sequence[Cell],
    points: Points,
    forms: Sequence[FormName],
    asymptote: float | None,
    centre: float,
    log_reuses: Array,
) -> Array:
    """The logarithm of p(R | losses) at each log R (g,), from fits at the ``centre`` that are refined at the others."""
    log_ds = [np.log(Repetition(reuse=exp(x)).of_cells(cells)) for x in (centre, *log_reuses.tolist())]
    points = replace(points, log_d=log_ds[0])
    sharing: Sharing = "pooled" if len(points.kinds) > 1 else "shared"
    fits = [fit_jointly(FORMS[name], points, sharing, asymptote) for name in forms]
    noise = float(np.median([fit.noise for fit in fits]))
    best = min(fits, key=lambda fit: _huber(points, fit.log_fit, noise) + fit.parameters)
    share = series_of(points, points.log_loss - best.log_fit).effective / len(points)
    unit = _dispersion(points, best) / share
    misses = [
        [_huber(points, _refitted(fit, log_d), best.noise) / unit + fit.parameters for fit in fits]
        for log_d in log_ds[1:]
    ]
    found: Array = logsumexp(-np.array(misses), axis=1) - 0.5 * ((log_reuses - log(REUSE)) / SPREAD) ** 2
    return found


def _refitted(fit: JointFit, log_d: Array) -> Array:
    """The log losses (n,) of a fit that is refined with other tokens."""
    log_fit = np.empty(len(log_d))
    for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True):
        problem = replace(group.problem, log_d=log_d[group.rows] - group.centre_d)
        vectors, _ = refine(problem, vector[None], Objective.robust(fit.noise, prior))
        log_fit[group.rows] = problem.predict(vectors)[0]
    return log_fit


def _huber(points: Points, log_fit: Array, noise: float) -> float:
    """What the fits minimise, in units of the noise: half of the squares, but linear beyond HUBER noise levels."""
    deviations = np.abs(points.log_loss - log_fit) * np.sqrt(points.weights) / noise
    linear = HUBER * (deviations - HUBER / 2)
    return float(np.where(deviations < HUBER, deviations**2 / 2, linear).sum())


def _dispersion(points: Points, fit: JointFit) -> float:
    """What Huber's loss is to be divided by to be a log likelihood, E psi^2 / E psi' (Huber and Ronchetti 2009, 13.4).

    It makes up for a noise level, that of the median residual, which is off by chance or hides a long tail.
    """
    deviations = (points.log_loss - fit.log_fit) * np.sqrt(points.weights) / fit.noise
    pulls = np.clip(deviations, -HUBER, HUBER)
    freedom = max(len(points) - fit.parameters, 1.0)
    near = max(float((np.abs(deviations) < HUBER).mean()), 0.1)
    return max(float((pulls**2).sum()) / freedom / near, 0.1)


def _moments(grid: Array, logs: Array) -> tuple[float, float]:
    """Mean and standard deviation of a distribution whose log density is known on a grid (g,)."""
    fine = np.linspace(grid[0], grid[-1], _FINE)
    density = np.exp(PchipInterpolator(grid, logs)(fine) - logs.max())
    mean = float(np.average(fine, weights=density))
    return mean, float(np.sqrt(np.average((fine - mean) ** 2, weights=density)))
