"""Uncertainty of a fitted law: a residual bootstrap over cells.

A study is a designed grid, so the design is kept and the residuals are dealt out anew (Davison and Hinkley 1997,
section 6.2): every resample then has all sizes, budgets and methods and stays fittable, where drawing cells with
replacement would lose some. All seeds of a cell are one residual. With n cells and p parameters the residuals are
inflated by sqrt(n / (n - p)), since a fit shrinks them; the prior's centre is drawn anew as well, so that what the
prior decides is not mistaken for what the data say. A residual beyond OUTLYING noise levels (a diverged run) is cut to
that many wherever residuals are used here, as the fit itself cuts its weight, and its cell is named.

Of more than `points.MANY_CELLS` cells, where refits would say nothing new, the draws are normal, with the curvature of
the objective as their precision, to which the bootstrap tends.
"""

import numpy as np
from numpy.typing import NDArray

from embudget.laws.base import Array
from embudget.laws.joint import MAD, USUAL_FREEDOM, USUAL_NOISE, Group, JointFit
from embudget.laws.levenberg import Objective, Prior, curvature, refine
from embudget.laws.points import MANY_CELLS, Points

OUTLYING = 4.0
"""Noise levels beyond which a cell's residual is cut; the noise level is that of the median residual, which no single
cell can move. Of simulated studies of 27 to 36 cells with nothing but normal noise, one in ten names a cell."""
_EXACT = 1e-4  # relative noise level below which losses have none, and nothing is outlying


def outlying_limit(residuals: Array, weights: Array) -> float:
    """The size of a weighted residual from which on it is cut."""
    typical = MAD * float(np.median(np.abs(residuals) * np.sqrt(weights)))
    return OUTLYING * max(typical, _EXACT)


def is_outlying(residuals: Array, weights: Array) -> NDArray[np.bool_]:
    """Which cells lie beyond the limit (n,)."""
    beyond: NDArray[np.bool_] = np.abs(residuals) * np.sqrt(weights) > outlying_limit(residuals, weights)
    return beyond


def winsorised(residuals: Array, weights: Array) -> Array:
    """The residuals (n,), those of outlying cells cut to the limit."""
    limit = outlying_limit(residuals, weights) / np.sqrt(weights)
    cut: Array = np.clip(residuals, -limit, limit)
    return cut


def deal_residuals(
    residuals: Array, log_fit: Array, weights: Array, freedom: float, draws: int, rng: np.random.Generator
) -> Array:
    """Resamples of the log losses (draws, n): the fit plus residuals of other cells, brought to each cell's weight."""
    residuals = residuals * np.sqrt(weights)
    inflation = np.sqrt(len(residuals) / freedom)
    dealt = rng.choice(residuals - residuals.mean(), (draws, len(residuals)))
    resampled: Array = log_fit + inflation * dealt / np.sqrt(weights)
    return resampled


def draw(fit: JointFit, points: Points, draws: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Parameter vectors of every group (draws, P); row r of all groups belongs together."""
    if len(points) > MANY_CELLS:
        return tuple(_normal(fit, place, draws, rng) for place in range(len(fit.groups)))
    residuals = winsorised(points.log_loss - fit.log_fit, points.weights)
    freedom = max(len(points) - fit.parameters, 1.0)
    resampled = deal_residuals(residuals, fit.log_fit, points.weights, freedom, draws, rng)
    return tuple(
        _refitted(fit, group, vector, _moved(prior, len(fit.groups), draws, rng), resampled[:, group.rows])
        for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True)
    )


def _moved(prior: Prior, groups: int, draws: int, rng: np.random.Generator) -> Prior:
    """The prior with its centre drawn anew; a common centre of several groups is itself a mean of so many."""
    spread = np.where(np.isinf(prior.sd), 0.0, prior.sd) * np.sqrt(1 + (1 / groups if groups > 1 else 0))
    return Prior(prior.centre + spread * rng.standard_normal((draws, len(prior.sd))), prior.sd)


def _refitted(fit: JointFit, group: Group, vector: Array, prior: Prior, targets: Array) -> Array:
    objective = Objective(fit.objective.delta, fit.noise, prior)
    vectors, _ = refine(group.problem, np.repeat(vector[None], len(targets), axis=0), objective, targets)
    return vectors


def _normal(fit: JointFit, place: int, draws: int, rng: np.random.Generator) -> Array:
    problem, vector = fit.groups[place].problem, fit.vectors[place][None]
    data, strength = curvature(problem, vector, Objective(fit.objective.delta, fit.noise, fit.priors[place]))
    precision = (data + np.diag(strength)) / fit.noise**2
    values, directions = np.linalg.eigh(precision)
    scale = 1 / np.sqrt(np.maximum(values, 1e-12 * values.max()))
    deviations = rng.standard_normal((draws, len(values))) * scale @ directions.T
    low, high = problem.bounds
    drawn: Array = np.clip(vector + deviations, low, high)
    return drawn


def noise_of_run(points: Points, residuals: Array, freedom: float) -> float:
    """Relative standard deviation of one run about the law.

    The residual of a cell is that of the mean of its seeds; where seeds were repeated, the part of their variance that
    the mean took away is added back. With weights m_i / m, m_i the seeds of a cell and m their mean, the weighted
    squares of seeds alone average to a share 1 / m of the variance of one run: 1 - 1/m of it was taken away.
    """
    squares = float((points.weights * winsorised(residuals, points.weights) ** 2).sum())
    of_cells = (squares + USUAL_FREEDOM * USUAL_NOISE**2) / (freedom + USUAL_FREEDOM)
    repeats = points.seeds - 1
    if repeats.sum() == 0:
        return float(np.sqrt(of_cells))
    mean_seeds = float(points.seeds.mean())
    limit = repeats * outlying_limit(residuals, points.weights) ** 2 * mean_seeds
    of_seeds = float(np.minimum(points.seed_squares, limit).sum() / repeats.sum())
    return float(np.sqrt(of_cells + (1 - 1 / mean_seeds) * of_seeds))
