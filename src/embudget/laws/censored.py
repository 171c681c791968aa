"""Linear regression on values of which some are known only to lie beyond a bound, under a normal prior.

    y_i = x_i b + e_i,  e_i ~ N(0, v_i),  b ~ N(0, diag(1 / precision))

An observed value counts with its normal density, one that is known to lie below (above) a bound with the probability of
that (Tobin 1958). The posterior is concave, so Newton's method finds its mode; about the mode it is taken for normal
(Laplace's approximation), exact where nothing is censored. The evidence chooses among variances v and precisions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

Array = NDArray[np.float64]

STEPS, CLOSE = 50, 1e-10
"""Newton steps at most, and the change of every value of x b, squared, at which they end."""


class Posterior(NamedTuple):
    """What is known of the coefficients (p,)."""

    mean: Array
    covariance: Array
    evidence: float
    """Log marginal likelihood, up to a constant."""


def fit_censored(columns: Array, values: Array, variances: Array, ends: Array, precision: Array) -> Posterior:
    """Find the posterior of the coefficients (p,) of the columns (n, p).

    Args:
        columns: x (n, p).
        values: y, or its bound (n,).
        variances: v (n,).
        ends: 0 where y was observed, -1 where it lies below its bound, 1 where above (n,).
        precision: of the prior (p,), all positive.

    Example:
        >>> ones, none = np.ones((3, 1)), np.zeros(3)
        >>> fit_censored(ones, np.array([1.0, 2.0, 3.0]), ones[:, 0], none, np.array([1e-9])).mean.round(3)
        array([2.])
    """
    root, censored = np.sqrt(variances), ends != 0
    mean = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        gradient, curvature, _ = _likelihood(values - columns @ mean, root, ends, censored)
        hessian = (columns.T * curvature) @ columns + np.diag(precision)
        step = np.linalg.solve(hessian, columns.T @ gradient - precision * mean)
        # far from a bound a step of Newton's may overshoot: none moves a value by more than 3 of its deviations there
        moved = np.abs(columns @ step)
        furthest = float((moved[censored] / root[censored]).max(initial=0.0))
        mean = mean + step * min(1.0, 3.0 / furthest if furthest > 0 else 1.0)
        if float((moved**2).max()) < CLOSE:
            break
    _, curvature, log_likelihood = _likelihood(values - columns @ mean, root, ends, censored)
    hessian = (columns.T * curvature) @ columns + np.diag(precision)
    log_prior = float(np.log(precision).sum() - (precision * mean**2).sum()) / 2
    evidence = log_likelihood + log_prior - float(np.linalg.slogdet(hessian)[1]) / 2
    covariance: Array = np.linalg.inv(hessian).astype(np.float64)
    return Posterior(mean, covariance, evidence)


def _likelihood(residuals: Array, root: Array, ends: Array, censored: NDArray[np.bool_]) -> tuple[Array, Array, float]:
    """The slope and the negative curvature of the log likelihood in x b (n,), and its sum.

    With z = (x b - bound) / root above a bound, and minus that below, log Phi(z) has the slope h = phi(z) / Phi(z) and
    the curvature -h (h + z).
    """
    gradient, curvature = residuals / root**2, 1 / root**2
    logs = -((residuals / root) ** 2) / 2 - np.log(root)
    if censored.any():
        side, scale = ends[censored], root[censored]
        z = -side * residuals[censored] / scale
        log_phi = log_ndtr(z)
        hazard = np.exp(-(z**2) / 2 - np.log(2 * np.pi) / 2 - log_phi)
        gradient[censored] = side * hazard / scale
        curvature[censored] = np.maximum(hazard * (hazard + z), 1e-12) / scale**2
        logs[censored] = log_phi + np.log(2 * np.pi) / 2
    return gradient, curvature, float(logs.sum())
