"""Regression with bounds among the values: against the exact posterior, and without bounds in closed form."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from embudget.laws.censored import fit_censored

RNG = np.random.default_rng(0)
X = np.stack([np.ones(30), RNG.normal(size=30)], axis=1)
TRUE = X @ [0.5, -1.0] + RNG.normal(0, 0.3, 30)
VARIANCES = np.where(np.arange(30) < 10, 0.3, 0.5) ** 2
PRECISION = np.array([0.1, 1.0])


def test_without_bounds_it_is_the_ridge_regression() -> None:
    found = fit_censored(X, TRUE, VARIANCES, np.zeros(30), PRECISION)
    inverse = X.T @ (X / VARIANCES[:, None]) + np.diag(PRECISION)
    assert found.mean == pytest.approx(np.linalg.solve(inverse, X.T @ (TRUE / VARIANCES)))
    assert found.covariance == pytest.approx(np.linalg.inv(inverse))


def test_without_bounds_the_evidence_is_the_density_of_the_values() -> None:
    def marginal(precision: np.ndarray) -> float:
        covariance = np.diag(VARIANCES) + X @ np.diag(1 / precision) @ X.T
        return float(-np.linalg.slogdet(covariance)[1] - TRUE @ np.linalg.solve(covariance, TRUE)) / 2

    one, other = (fit_censored(X, TRUE, VARIANCES, np.zeros(30), p).evidence for p in (PRECISION, 9 * PRECISION))
    assert one - other == pytest.approx(marginal(PRECISION) - marginal(9 * PRECISION))


def test_bounds_count_with_their_probability() -> None:
    ends = np.where(TRUE > 1, 1, np.where(TRUE < -0.5, -1, 0))
    values = np.clip(TRUE, -0.5, 1)
    assert 5 < (ends != 0).sum() < 25

    def cost(mean: np.ndarray) -> float:
        z = (X @ mean - values) / np.sqrt(VARIANCES)
        logs = np.where(ends == 0, norm.logpdf(z), norm.logcdf(ends * z))
        return float((PRECISION * mean**2).sum() / 2 - logs.sum())

    found = fit_censored(X, values, VARIANCES, ends, PRECISION)
    assert found.mean == pytest.approx(minimize(cost, np.zeros(2), tol=1e-12).x, abs=1e-5)


@pytest.mark.parametrize("side", [-1, 1])
def test_bounds_on_one_side_alone_leave_the_prior_to_hold(side: int) -> None:
    found = fit_censored(X[:, :1], np.full(30, 2.0), VARIANCES, np.full(30, side), np.array([1 / 9]))
    assert side * (found.mean[0] - 2) > 0.3
    assert abs(found.mean[0]) < 9
    assert found.covariance[0, 0] > 0.01
