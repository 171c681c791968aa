"""Uncertainty of a fitted law: a bootstrap over cells, all seeds of a cell together.

Many cells   With 5 cells or more for each parameter, every cell gets a random weight of mean 1, exponentially
             distributed (the Bayesian bootstrap, Rubin 1981): no cell is ever lost, as by drawing with replacement, and
             noise may differ between cells. On the runs of Hoffmann et al. (1.3 % of noise at the smallest budget,
             0.5 % elsewhere) it gives the published intervals; dealing residuals out gives a third of their width.
Few cells    A small study is a designed grid, so the design is kept and the residuals are dealt out anew (Davison and
             Hinkley 1997, section 6.2). A residual beyond OUTLYING noise levels (a diverged run) is cut to that many
             wherever residuals are used here, as the fit itself cuts its weight, and its cell is named.
Thousands    Of more than `points.MANY_CELLS` cells, where refits would say nothing new, the draws are normal, with the
             covariance to which that of the random weights tends (White 1980).

With n cells and p parameters the deviations are inflated by sqrt(n / (n - p)), since a fit shrinks residuals. The
prior's centre is drawn anew as well, so that what the prior decides is not mistaken for what the data say; where kinds
of method have a common centre, that is drawn once for all of them.
"""

import numpy as np
from numpy.typing import NDArray

from embudget.laws.base import Array
from embudget.laws.joint import MAD, USUAL_FREEDOM, USUAL_NOISE, JointFit
from embudget.laws.levenberg import Objective, Prior, refine
from embudget.laws.points import MANY_CELLS, Points

OUTLYING = 4.0
"""Noise levels beyond which a cell's residual is cut; the noise level is that of the median residual, which no single
cell can move. Of simulated studies of 27 to 36 cells with nothing but normal noise, one in ten names a cell."""
CELLS_PER_PARAMETER = 5.0
"""From which on the noise of single cells is told well enough."""
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
    freedom = max(len(points) - fit.parameters, 1.0)
    priors = _moved(fit, draws, rng)
    if len(points) >= CELLS_PER_PARAMETER * fit.parameters:
        return _reweighted(fit, points, priors, float(np.sqrt(len(points) / freedom)), rng)
    residuals = winsorised(points.log_loss - fit.log_fit, points.weights)
    targets = deal_residuals(residuals, fit.log_fit, points.weights, freedom, draws, rng)
    return tuple(
        _refitted(fit, place, prior, targets=targets[:, fit.groups[place].rows]) for place, prior in enumerate(priors)
    )


def _reweighted(
    fit: JointFit, points: Points, priors: list[Prior], inflation: float, rng: np.random.Generator
) -> tuple[Array, ...]:
    weights = points.weights * rng.exponential(size=(len(priors[0].centre), len(points)))
    drawn = []
    for place, prior in enumerate(priors):
        group, vector = fit.groups[place], fit.vectors[place]
        moved = _refitted(fit, place, prior, weights=weights[:, group.rows])
        drawn.append(np.clip(vector + inflation * (moved - vector), *group.problem.bounds))
    return tuple(drawn)


def _moved(fit: JointFit, draws: int, rng: np.random.Generator) -> list[Prior]:
    """The prior of every group with its centre drawn anew; the common centre of several is itself a mean of so many."""
    count = len(fit.groups)
    spread = np.where(np.isinf(fit.priors[0].sd), 0.0, fit.priors[0].sd)
    pooled = fit.sharing == "pooled"
    common = spread / np.sqrt(count) * rng.standard_normal((draws, len(spread))) if pooled else 0.0
    return [
        Prior(prior.centre + common + spread * rng.standard_normal((draws, len(spread))), prior.sd)
        for prior in fit.priors
    ]


def _refitted(
    fit: JointFit, place: int, prior: Prior, *, targets: Array | None = None, weights: Array | None = None
) -> Array:
    objective = Objective(fit.objective.delta, fit.noise, prior)
    starts = np.repeat(fit.vectors[place][None], len(prior.centre), axis=0)
    vectors, _ = refine(fit.groups[place].problem, starts, objective, targets, weights)
    return vectors


def _normal(fit: JointFit, place: int, draws: int, rng: np.random.Generator) -> Array:
    """Draws with the sandwich covariance H^-1 M H^-1: H the objective's curvature, M that of its gradient's noise."""
    problem, vector, prior = fit.groups[place].problem, fit.vectors[place][None], fit.priors[place]
    delta, strength = fit.objective.delta, np.zeros(problem.parameters)
    strength[: len(prior.sd)] = (fit.noise / prior.sd) ** 2
    predicted, (jacobian,) = problem.linearise(vector)
    residuals = problem.log_loss - predicted[0]
    scores = jacobian * problem.weights * np.clip(residuals, -delta, delta)
    inner = jacobian * np.sqrt(problem.weights * (np.abs(residuals) < delta))  # beyond delta the pull is constant
    inverse = np.linalg.pinv(inner @ inner.T + np.diag(strength))
    covariance = inverse @ (scores @ scores.T + np.diag(strength) * fit.noise**2) @ inverse
    low, high = problem.bounds
    drawn: Array = np.clip(rng.multivariate_normal(vector[0], covariance, draws, method="eigh"), low, high)
    return drawn


def noise_of_run(points: Points, residuals: Array, freedom: float) -> float:
    """Relative standard deviation of one run about the law.

    The residual of a cell is that of the mean of its seeds; where seeds were repeated, the part of their variance that
    the mean took away is added back. With weights m_i / m, m_i the seeds of a cell and m their mean, the weighted
    squares of seeds alone average to a share 1 / m of the variance of one run: 1 - 1/m of it was taken away.
    """
    squares = float((points.weights * winsorised(residuals, points.weights) ** 2).sum())
    of_cells = (squares + USUAL_FREEDOM * USUAL_NOISE**2) / (freedom + USUAL_FREEDOM)
    of_seeds = noise_of_seeds(points, residuals)
    return float(np.sqrt(of_cells + (1 - 1 / float(points.seeds.mean())) * of_seeds))


def noise_of_seeds(points: Points, residuals: Array) -> float:
    """Variance of one run between the seeds of a cell, relative; 0 without repeated seeds, a diverged one cut."""
    repeats = points.seeds - 1
    if repeats.sum() == 0:
        return 0.0
    limit = repeats * outlying_limit(residuals, points.weights) ** 2 * float(points.seeds.mean())
    return float(np.minimum(points.seed_squares, limit).sum() / repeats.sum())
