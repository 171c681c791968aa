"""How noisy one run is, and which cells are outlying."""

import numpy as np
import pytest

from embudget.laws import Coefficients
from embudget.laws.noise import OUTLYING, noise_level, noise_of_run, winsorised
from embudget.laws.problem import Points
from embudget.runs.cells import RunTable
from embudget.simulate import World, simulate


def test_the_noise_level_is_that_of_the_median_and_of_the_freedom() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(4000)
    residuals[:100] = 5.0
    assert noise_level(residuals, np.ones(4000), 0) == pytest.approx(0.01, rel=0.06)
    assert noise_level(residuals, np.ones(4000), 3000) == pytest.approx(0.02, rel=0.06)
    assert noise_level(residuals / 2, np.full(4000, 4.0), 0) == pytest.approx(0.01, rel=0.06)
    assert noise_level(np.zeros(9), np.ones(9), 5) > 0


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
    measured = Points.of(RunTable.of(kept).cells)
    true = np.log([truth.loss(*np.exp(place)) for place in zip(measured.log_n, measured.log_d, strict=True)])
    assert set(measured.seeds) == {1, 9}
    noise = noise_of_run(measured, measured.log_loss - true, freedom=len(measured))
    assert noise == pytest.approx(0.02, rel=0.05)
