"""The resampling rule and the width of intervals."""

import numpy as np
import pytest
from scipy.stats import t as student

from embudget.laws.bootstrap import INFLATION, deal_residuals, half_width


def test_dealt_residuals_have_the_variance_before_the_fit() -> None:
    rng = np.random.default_rng(0)
    log_fit, residuals = np.linspace(1, 2, 20), 0.01 * rng.standard_normal(20)
    dealt = np.array(
        [deal_residuals(log_fit + residuals, log_fit, np.ones(20), freedom=12, rng=rng) for _ in range(4000)]
    )
    assert dealt.mean(axis=0) == pytest.approx(log_fit, abs=1e-3)
    assert dealt.var() - dealt.mean(axis=0).var() == pytest.approx(residuals.var() * 20 / 12, rel=0.05)


def test_a_cell_with_four_seeds_gets_half_the_deviation() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([4.0] + [1.0] * 19)
    log_loss = 0.01 * rng.standard_normal(20)
    dealt = np.array([deal_residuals(log_loss, np.zeros(20), weights, 12, rng) for _ in range(4000)])
    assert dealt[:, 0].std() / dealt[:, 1].std() == pytest.approx(0.5, rel=0.05)


def test_the_interval_adds_the_noise_to_the_spread() -> None:
    draws = 0.02 * np.random.default_rng(0).standard_normal(20_000)
    quantile = student.ppf(0.95, 4)
    assert half_width(draws, noise=0.0, freedom=4, level=0.9) == pytest.approx(quantile * INFLATION * 0.02, rel=0.03)
    assert half_width(np.zeros(10), noise=0.01, freedom=4, level=0.9) == pytest.approx(quantile * 0.01)
    both = half_width(draws, noise=0.03, freedom=4, level=0.9)
    assert both == pytest.approx(quantile * np.hypot(INFLATION * 0.02, 0.03), rel=0.03)
