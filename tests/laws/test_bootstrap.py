"""The resampling rule, and the noise of one run."""

from dataclasses import replace

import numpy as np
import pytest

from embudget.laws import Coefficients, bootstrap
from embudget.laws.bootstrap import OUTLYING, deal_residuals, draw, noise_of_run, winsorised
from embudget.laws.joint import fit_jointly
from embudget.laws.parameters import FORMS
from embudget.laws.points import Points
from embudget.runs.cells import RunTable
from embudget.simulate import World, simulate
from tests.laws.studies import APART, SHARED, points


def test_dealt_residuals_have_the_variance_before_the_fit() -> None:
    rng = np.random.default_rng(0)
    log_fit, residuals = np.linspace(1, 2, 20), 0.01 * rng.standard_normal(20)
    dealt = deal_residuals(residuals, log_fit, np.ones(20), freedom=12, draws=4000, rng=rng)
    assert dealt.shape == (4000, 20)
    assert dealt.mean(axis=0) == pytest.approx(log_fit, abs=1e-3)
    assert (dealt - log_fit).var() == pytest.approx(residuals.var() * 20 / 12, rel=0.05)


def test_a_cell_with_four_seeds_gets_half_the_deviation() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([4.0] + [1.0] * 19)
    residuals = 0.01 * rng.standard_normal(20)
    dealt = deal_residuals(residuals, np.zeros(20), weights, freedom=12, draws=4000, rng=rng)
    assert dealt[:, 0].std() / dealt[:, 1].std() == pytest.approx(0.5, rel=0.05)


def test_a_residual_far_outside_is_cut_and_the_others_are_kept() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(20)
    residuals[3] = 0.5
    weights = np.ones(20)
    weights[3] = 4
    cut = winsorised(residuals, weights)
    assert np.array_equal(np.delete(cut, 3), np.delete(residuals, 3))
    assert cut[3] == pytest.approx(OUTLYING / 2 * 1.4826 * np.median(np.abs(residuals)))  # half: it has four seeds


def test_the_draws_of_a_sharper_study_lie_closer_together() -> None:
    spreads = []
    for noise in (0.01, 0.04):
        measured = points(SHARED, noise, wide=True)
        fit = fit_jointly(FORMS["chinchilla"], measured, "shared")
        (drawn,) = draw(fit, measured, 100, np.random.default_rng(0))
        assert drawn.shape == (100, fit.groups[0].problem.parameters)
        spreads.append(fit.groups[0].problem.predict(drawn).std(axis=0).mean())
    assert spreads[1] / spreads[0] == pytest.approx(4, rel=0.4)


def test_the_draws_spread_as_the_fits_of_new_studies_do() -> None:
    """Of 40 studies of one truth, the fitted loss at a corner deviates as the draws of the first say."""
    at = np.array(["full"]), np.log([1e8]), np.log([1e5])
    fitted, spreads = [], []
    for seed in range(40):
        measured = points({"full": SHARED["full"]}, 0.02, seed, wide=True)
        fit = fit_jointly(FORMS["chinchilla"], measured, "shared")
        fitted.append(fit.predict(*at)[0])
        if seed < 4:
            (drawn,) = draw(fit, measured, 100, np.random.default_rng(seed))
            group = replace(fit.groups[0].problem, log_n=at[1] - fit.groups[0].centre_n,
                            log_d=at[2] - fit.groups[0].centre_d, basis=np.ones((1, 1)))  # fmt: skip
            spreads.append(group.predict(drawn).std())
    assert np.mean(spreads) == pytest.approx(np.std(fitted), rel=0.5)


def test_groups_are_drawn_together_and_seeds_decide() -> None:
    measured = points(APART, 0.01)
    fit = fit_jointly(FORMS["chinchilla"], measured, "pooled")
    first, again, other = (draw(fit, measured, 5, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert [len(group) for group in first] == [5, 5]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.allclose(a, b) for a, b in zip(first, other, strict=True))


def test_many_cells_get_normal_draws_of_the_same_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As random weights give, also where the noise differs between cells."""
    budgets = tuple(np.geomspace(1e11, 1e14, 60))
    truth = {"full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)}
    models = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
    measured = Points.of(RunTable.of(simulate(World(truth=truth, models=models, budgets=budgets, noise=0))).cells)
    noise = np.where(measured.budget < 1e12, 0.03, 0.003) * np.random.default_rng(1).standard_normal(len(measured))
    measured = replace(measured, log_loss=measured.log_loss + noise)
    fit = fit_jointly(FORMS["chinchilla"], measured, "shared")
    (refitted,) = draw(fit, measured, 400, np.random.default_rng(0))
    monkeypatch.setattr(bootstrap, "MANY_CELLS", 10)
    (normal,) = draw(fit, measured, 400, np.random.default_rng(0))
    spreads = [fit.groups[0].problem.predict(drawn).std(axis=0) for drawn in (refitted, normal)]
    assert np.corrcoef(spreads)[0, 1] > 0.9  # wide and narrow at the same places
    assert spreads[1].mean() == pytest.approx(spreads[0].mean(), rel=0.25)


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
