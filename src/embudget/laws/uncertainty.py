"""How uncertain a law is: bootstrap draws of its parameters, and how wide an interval they ask for.

Draws are made over cells, all seeds of a cell together.

Many cells   With 5 cells or more for each parameter, every cell gets a random weight of mean 1, exponentially
             distributed (the Bayesian bootstrap, Rubin 1981). No cell is ever lost, as it would be by drawing with
             replacement, and noise may differ between cells. On the runs of Hoffmann et al. (1.3 % of noise at the
             smallest budget, 0.5 % elsewhere) this gives the published intervals, while dealing residuals out gives a
             third of their width. Where the cells of a series err together, the weight is the series' (a cluster
             bootstrap), if there are 4 series or more for each parameter.
Few cells    A small study is a designed grid, so the design is kept and the residuals are dealt out anew (Davison and
             Hinkley 1997, section 6.2), those of outlying cells cut to the limit of `embudget.laws.misfit`.
Thousands    With more than `MANY_CELLS` cells refits would say nothing new: the draws are normal, with the covariance
             that the random weights tend to (White 1980).

With n cells and p parameters the deviations are inflated by sqrt(n / (n - p)), since a fit shrinks residuals. The
prior's centre is drawn anew as well, so that what the prior decides is not mistaken for what the data say; where kinds
of method have a common centre, that is drawn once for all of them.

Wider        The draws alone are too narrow. The interval at a level, for a loss predicted as f, is

    log L  in  log f  +-  t(n - p) sqrt((INFLATION sd)^2 + sum of squares of the other errors)

with sd the draws' robust standard deviation and t Student's quantile, since the noise is estimated on n - p degrees of
freedom (`half_width`). Where choices are compared, every draw is moved away from the mean by the same factors
(`widened`), in recipes and in findings alike. Where kinds of method are compared beyond the measured budgets, what no
form of law explains is added to their difference (`with_error`).

Other pairs  Where cells have losses by held-out group, each draw also has the fit to the losses that other groups would
             have given (`moved`; `embudget.runs.groups`). Its difference to the fit is added to the draws by which
             choices are compared, so that a lead carries the error of the held-out pairs. Intervals of a loss do not:
             they are of runs measured on the same pairs.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from embudget.laws.forms import Array
from embudget.laws.joint import JointFit
from embudget.laws.misfit import series_of, winsorised
from embudget.laws.problem import MANY_CELLS, Points
from embudget.laws.solve import HUBER, Objective, Prior, refine

CELLS_PER_PARAMETER = 5.0
"""Cells for each parameter from which on the noise of single cells is told well enough."""
SERIES_PER_PARAMETER = 4.0
"""Series of cells that err together, for each parameter, from which on whole series get random weights."""
INFLATION = 1.1
"""Factor on the draws' spread. Without it nominal 90 % intervals of the best loss at 4 times the budget held the truth
in 88 % of 320 simulated studies, and in 84 % of the small ones (docs/log.md)."""
TAIL = 0.05
"""Share of the draws on either side of the interval that their spread is taken from."""
_WIDTH = 2 * 1.6449  # width of that interval for the standard normal distribution
_LEAST_SD = 1e-12  # spread of log losses below which all draws are the same, as they are without noise


def spread_of(logs: Array) -> Array:
    """The robust standard deviation (m,) of draws (draws, m), from their 5 % and 95 % quantiles."""
    low, high = np.quantile(logs, (TAIL, 1 - TAIL), axis=0)
    spread: Array = (high - low) / _WIDTH
    return spread


def half_width(logs: Array, freedom: float, level: float, variances: Array | float) -> Array:
    """Half the width (m,) of the interval that holds a log loss with probability ``level``.

    ``logs`` are the draws (draws, m), and ``variances`` (m,) those of the errors that the draws do not show.
    """
    return float(student.ppf((1 + level) / 2, freedom)) * np.sqrt(variance_of(logs) + variances)


def variance_of(logs: Array) -> Array:
    """What the draws (draws, m) say of the variance of m predictions (m,), without Student's factor."""
    variance: Array = (INFLATION * spread_of(logs)) ** 2
    return variance


def widened(logs: Array, freedom: float) -> Array:
    """The draws (draws, m) about the same mean, as wide as the 90 % intervals of a loss are.

    Their standard deviation sd becomes t / z INFLATION sd, with t and z the 95 % quantiles of Student's and of the
    normal distribution. The discrepancy is not part of it: what no form of law explains at a budget is largely common
    to the choices at that budget, so that it says little about which is the better one. With it, three times beyond
    the measured budgets 34 choices of the SmolLM2 study would tie instead of 7, and `prefer` would take one of them
    that is predicted to be 6 % worse.
    """
    mean = logs.mean(axis=0)
    wide: Array = mean + widening(freedom) * (logs - mean)
    return wide


def widening(freedom: float) -> float:
    """The factor by which `widened` moves each draw away from the mean."""
    return INFLATION * _scale(freedom)


def with_error(gaps: Array, mean: Array, freedom: float, error: Array) -> Array:
    """Differences of `widened` draws (draws, m) about their means (m,), with an ``error`` (m,) that no draw shows.

    Their standard deviation becomes sqrt(sd^2 + (t / z error)^2). Differences that are all the same have no deviations
    that could be scaled: they get the normal distribution's quantiles instead, in the order of the draws.
    """
    sd = spread_of(gaps)
    spreads = sd > _LEAST_SD
    quantiles = norm.ppf((np.arange(len(gaps)) + 0.5) / len(gaps))
    steps = np.where(spreads, (gaps - mean) / np.where(spreads, sd, 1.0), quantiles[:, None])
    wide: Array = mean + steps * np.hypot(np.where(spreads, sd, 0.0), _scale(freedom) * error)
    return wide


def _scale(freedom: float) -> float:
    """Student's 95 % quantile in units of the normal distribution's."""
    return float(student.ppf(1 - TAIL, freedom) / norm.ppf(1 - TAIL))


def deal_residuals(points: Points, residuals: Array, common: float, draws: int, rng: np.random.Generator) -> Array:
    """Residuals of other cells (draws, n), scaled to a cell of weight 1; those of outlying cells are cut.

    Where the cells of a series have a share ``common`` of the variance in common, every series gets the mean residual
    of another, and every cell the deviation of another from its series' mean. Both are scaled to the variance that they
    have as effects of their own: the mean of a few cells also holds a part of their deviations.
    """
    scaled = winsorised(residuals, points.weights) * np.sqrt(points.weights)
    scaled -= scaled.mean()
    if not common:
        return rng.choice(scaled, (draws, len(scaled)))
    _, code, sizes = np.unique(points.series, return_inverse=True, return_counts=True)
    means = np.bincount(code, scaled) / sizes
    own = scaled - means[code]
    of_series = means * np.sqrt(common * scaled.var() / np.average(means**2, weights=sizes))
    of_cell = own * np.sqrt((1 - common) * scaled.var() / max(own.var(), 1e-300))
    return rng.choice(of_series, (draws, len(sizes)))[:, code] + rng.choice(of_cell, (draws, len(scaled)))


def draw(fit: JointFit, points: Points, draws: int, rng: np.random.Generator) -> tuple[Array, ...]:
    """Draws of the parameter vectors of every group (draws, P each); row r of all groups belongs together."""
    series = series_of(points, points.log_loss - fit.log_fit)
    if len(points) > MANY_CELLS:
        together = points.series if series.common else np.arange(len(points))
        return tuple(_normal(fit, place, together, draws, rng) for place in range(len(fit.groups)))
    priors = _moved(fit, draws, rng)
    units = points.series if series.common else np.arange(len(points))
    enough = SERIES_PER_PARAMETER if series.common else CELLS_PER_PARAMETER
    count = len(np.unique(units))
    if count >= enough * fit.parameters:
        return _reweighted(fit, points, units, priors, _inflation(count, fit.parameters), rng)
    inflation = _inflation(series.effective, fit.parameters)
    dealt = inflation * deal_residuals(points, points.log_loss - fit.log_fit, series.common, draws, rng)
    targets = fit.log_fit + dealt / np.sqrt(points.weights)
    return tuple(
        _refitted(fit, place, prior, targets=targets[:, fit.groups[place].rows]) for place, prior in enumerate(priors)
    )


def moved(fit: JointFit, points: Points, moves: Array) -> tuple[Array, ...]:
    """The fits of every group (draws, P each) to the log losses that other held-out groups give, moved by (draws, n).

    The law follows what many cells have in common, as the lead of a method over another; what each cell has of its own
    is in its residual already, and thus in the noise that `draw` starts from.
    """
    targets = points.log_loss + moves
    return tuple(
        refine(
            group.problem,
            np.repeat(vector[None], len(moves), axis=0),
            Objective.robust(fit.noise, prior),
            targets[:, group.rows],
        )[0]
        for group, vector, prior in zip(fit.groups, fit.vectors, fit.priors, strict=True)
    )


def _inflation(count: float, parameters: float) -> float:
    return float(np.sqrt(count / max(count - parameters, 1.0)))


def _reweighted(
    fit: JointFit,
    points: Points,
    units: NDArray[np.int_],
    priors: list[Prior],
    inflation: float,
    rng: np.random.Generator,
) -> tuple[Array, ...]:
    """Fits with a random weight for each unit (n,): a cell, or the series that it errs with."""
    codes, code = np.unique(units, return_inverse=True)
    shape = 1 / inflation**2  # gamma weights have mean 1 and variance inflation^2; shape 1 is the exponential
    weights = points.weights * rng.gamma(shape, 1 / shape, (len(priors[0].centre), len(codes)))[:, code]
    return tuple(
        _refitted(fit, place, prior, weights=weights[:, fit.groups[place].rows]) for place, prior in enumerate(priors)
    )


def _moved(fit: JointFit, draws: int, rng: np.random.Generator) -> list[Prior]:
    """The prior of every group with its centre drawn anew; a common centre varies less, as a mean over kinds.

    Among several lineages every group has a prior of its own, which its centre is drawn from.
    """
    if len({group.lineage for group in fit.groups}) > 1:
        spreads = [np.where(np.isinf(prior.sd), 0.0, prior.sd) for prior in fit.priors]
        return [
            Prior(prior.centre + spread * rng.standard_normal((draws, len(spread))), prior.sd)
            for prior, spread in zip(fit.priors, spreads, strict=True)
        ]
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
    starts = np.repeat(fit.vectors[place][None], len(prior.centre), axis=0)
    vectors, _ = refine(fit.groups[place].problem, starts, Objective.robust(fit.noise, prior), targets, weights)
    return vectors


def _normal(fit: JointFit, place: int, together: NDArray[np.int_], draws: int, rng: np.random.Generator) -> Array:
    """Draws with the sandwich covariance H^-1 M H^-1, H the objective's curvature and M its gradient's covariance.

    Cells with equal numbers in ``together`` (n,) may err together: their gradients are added up before M is taken.
    """
    problem, vector, prior = fit.groups[place].problem, fit.vectors[place][None], fit.priors[place]
    delta, strength = HUBER * fit.noise, np.diag(prior.strength(fit.noise, problem.parameters))
    predicted, (jacobian,) = problem.linearise(vector)
    residuals = problem.log_loss - predicted[0]
    scores = _summed(jacobian * problem.weights * np.clip(residuals, -delta, delta), together[fit.groups[place].rows])
    inner = jacobian * np.sqrt(problem.weights * (np.abs(residuals) < delta))  # beyond delta the pull is constant
    inverse = np.linalg.pinv(inner @ inner.T + strength)
    covariance = inverse @ (scores @ scores.T + strength * fit.noise**2) @ inverse
    drawn: Array = rng.multivariate_normal(vector[0], covariance, draws, method="eigh")
    return np.clip(drawn, *problem.bounds)


def _summed(scores: Array, together: NDArray[np.int_]) -> Array:
    """The columns (P, n) of cells with equal numbers (n,) added up: S sums vary by S / (S - 1) more than they seem.

    The cells of a lone series are taken as they are, since a single sum has no spread.
    """
    codes, code = np.unique(together, return_inverse=True)
    if len(codes) in (1, len(code)):
        return scores
    sums = np.stack([np.bincount(code, row) for row in scores])
    summed: Array = sums * np.sqrt(len(codes) / (len(codes) - 1))
    return summed
