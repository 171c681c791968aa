"""The resampling rule and the width of intervals."""

import numpy as np
import pytest
from scipy.stats import t as student

from embudget.laws import Coefficients, RunTable
from embudget.laws.bootstrap import (
    INFLATION,
    OUTLYING,
    deal_residuals,
    half_width,
    noise_of_run,
    winsorised,
)
from embudget.simulate import World, simulate


def test_dealt_residuals_have_the_variance_before_the_fit() -> None:
    rng = np.random.default_rng(0)
    log_fit, residuals = np.linspace(1, 2, 20), 0.01 * rng.standard_normal(20)
    dealt = np.array([deal_residuals(residuals, log_fit, np.ones(20), freedom=12, rng=rng) for _ in range(4000)])
    assert dealt.mean(axis=0) == pytest.approx(log_fit, abs=1e-3)
    assert dealt.var() - dealt.mean(axis=0).var() == pytest.approx(residuals.var() * 20 / 12, rel=0.05)


def test_a_cell_with_four_seeds_gets_half_the_deviation() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([4.0] + [1.0] * 19)
    residuals = 0.01 * rng.standard_normal(20)
    dealt = np.array([deal_residuals(residuals, np.zeros(20), weights, 12, rng) for _ in range(4000)])
    assert dealt[:, 0].std() / dealt[:, 1].std() == pytest.approx(0.5, rel=0.05)


def test_the_interval_adds_noise_and_shift_to_the_spread() -> None:
    draws = 0.02 * np.random.default_rng(0).standard_normal(20_000)
    quantile = student.ppf(0.95, 4)
    assert half_width(draws, 0.0, 0.0, freedom=4, level=0.9) == pytest.approx(quantile * INFLATION * 0.02, rel=0.03)
    assert half_width(np.zeros(10), 0.0, noise=0.01, freedom=4, level=0.9) == pytest.approx(quantile * 0.01)
    assert half_width(np.zeros(10), 0.04, noise=0.03, freedom=4, level=0.9) == pytest.approx(quantile * 0.05)
    every = half_width(draws, -0.04, noise=0.03, freedom=4, level=0.9)
    assert every == pytest.approx(quantile * np.hypot(INFLATION * 0.02, 0.05), rel=0.03)


def test_a_residual_far_outside_is_cut_and_the_others_are_kept() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(20)
    residuals[3] = 0.5
    weights = np.ones(20)
    weights[3] = 4
    cut = winsorised(residuals, weights)
    assert np.array_equal(np.delete(cut, 3), np.delete(residuals, 3))
    assert cut[3] == pytest.approx(OUTLYING / 2 * 1.4826 * np.median(np.abs(residuals)))  # half: it has four seeds


def test_the_noise_is_that_of_one_run_for_unequal_numbers_of_seeds() -> None:
    """A third of the cells with 9 seeds, the others with 1; the law is known, so that nothing but noise is left."""
    truth = Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)
    budgets = tuple(np.geomspace(1e11, 1e14, 150))
    world = World(
        truth={"full": truth}, models=("smollm2-135m:1", "smollm2-135m:4"), budgets=budgets, seeds=9, noise=0.02
    )
    kept = [r for r in simulate(world) if r.config.seed == 0 or budgets.index(r.config.train_flops) % 3 == 0]
    cells = RunTable.of(kept).cells
    residuals = np.array([c.log_loss - np.log(truth.loss(c.model_params, c.tokens)) for c in cells])
    seeds = np.array([cell.seeds for cell in cells])
    assert set(seeds) == {1, 9}
    noise = noise_of_run(cells, residuals, seeds / seeds.mean(), freedom=len(cells))
    assert noise == pytest.approx(0.02, rel=0.05)
