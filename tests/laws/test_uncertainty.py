"""The draws of a law, and how wide they are made."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from embudget.design import World, simulate
from embudget.laws import Coefficients, uncertainty
from embudget.laws.forms import FORMS
from embudget.laws.joint import Sharing
from embudget.laws.misfit import series_of
from embudget.laws.problem import Points
from embudget.laws.sharing import fit_jointly
from embudget.laws.uncertainty import INFLATION, deal_residuals, draw, half_width, spread_of, widened, with_error
from embudget.runs.cells import RunTable
from tests.laws.studies import APART, BUDGETS, SHARED, WIDE, cells, points


def test_dealt_residuals_have_the_variance_of_those_that_were_measured() -> None:
    rng = np.random.default_rng(0)
    measured = points({"full": SHARED["full"], "lora:32": SHARED["lora:32"]}, wide=True)
    residuals = 0.01 * rng.standard_normal(len(measured))
    dealt = deal_residuals(measured, residuals, 0.0, 4000, rng)
    assert dealt.shape == (4000, len(measured))
    assert dealt.mean(axis=0) == pytest.approx(np.zeros(len(measured)), abs=1e-3)
    assert dealt.var() == pytest.approx(residuals.var(), rel=0.05)
    assert np.asarray(np.corrcoef(dealt.T))[0, 1] == pytest.approx(0, abs=0.1)


def test_cells_of_a_series_are_dealt_what_they_have_in_common() -> None:
    rng = np.random.default_rng(0)
    measured = points({"full": SHARED["full"], "lora:32": SHARED["lora:32"]}, wide=True)
    common = rng.standard_normal(measured.series.max() + 1)[measured.series]
    residuals = 0.01 * (np.sqrt(0.7) * common + np.sqrt(0.3) * rng.standard_normal(len(measured)))
    dealt = deal_residuals(measured, residuals, 0.7, 4000, rng)
    assert dealt.var() == pytest.approx(residuals.var(), rel=0.05)
    correlations = np.asarray(np.corrcoef(dealt.T))
    same = measured.series[:, None] == measured.series
    np.fill_diagonal(same, val=False)
    assert correlations[same].mean() == pytest.approx(0.7, abs=0.05)
    assert correlations[measured.series[:, None] != measured.series].mean() == pytest.approx(0, abs=0.05)


def test_a_series_that_errs_as_one_counts_as_one() -> None:
    rng = np.random.default_rng(0)
    measured = points(SHARED, wide=True)
    each = np.unique(measured.series, return_counts=True)[1]
    own = [series_of(measured, 0.01 * rng.standard_normal(len(measured))) for _ in range(60)]
    assert sum(one.common > 0 for one in own) <= 8, "by chance in one of twenty"
    assert all(one.effective == len(measured) for one in own if one.common == 0)
    common = 0.01 * rng.standard_normal(len(each))[measured.series]
    same = series_of(measured, common + 1e-5 * rng.standard_normal(len(measured)))
    assert same.common > 0.99
    assert same.effective == pytest.approx(len(each), rel=0.15)
    exact = series_of(measured, 1e-3 * common)
    assert exact.effective == len(measured), "what a prior leaves of an exact fit is no noise"


@pytest.mark.parametrize("noise", [0.005, 0.02])
def test_draws_stay_in_the_valley_of_the_data(noise: float) -> None:
    """The median draw misses the data by little more than the fit does, and their mean is not off."""
    measured = points(SHARED, noise, wide=True)
    for sharing in ("shared", "pooled"):
        fit = fit_jointly(FORMS["chinchilla"], measured, sharing)
        drawn = draw(fit, measured, 100, np.random.default_rng(0))
        logs = np.empty((100, len(measured)))
        for group, vectors in zip(fit.groups, drawn, strict=True):
            logs[:, group.rows] = group.problem.predict(vectors)
        errors = np.sqrt(((logs - measured.log_loss) ** 2).mean(axis=1))
        own = np.sqrt(((fit.log_fit - measured.log_loss) ** 2).mean())
        assert np.median(errors) < 1.3 * own
        assert abs((logs.mean(axis=0) - fit.log_fit).mean()) < 0.005


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
    """The fitted loss at a corner scatters over 40 studies of one truth as the draws of the first ones say."""
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
    monkeypatch.setattr(uncertainty, "MANY_CELLS", 10)
    (normal,) = draw(fit, measured, 400, np.random.default_rng(0))
    spreads = [fit.groups[0].problem.predict(drawn).std(axis=0) for drawn in (refitted, normal)]
    assert np.corrcoef(spreads)[0, 1] > 0.9  # wide and narrow at the same places
    assert spreads[1].mean() == pytest.approx(spreads[0].mean(), rel=0.25)


FREEDOM = 6.0
SCALE = float(student.ppf(0.95, FREEDOM) / norm.ppf(0.95))


def some_draws() -> np.ndarray:
    """Log losses of 4 choices by 400 draws; the last choice is known exactly."""
    drawn: np.ndarray = np.array([0.5, 1, 2, 3]) + np.random.default_rng(0).gamma(2, [0.01, 0.02, 0.1, 0], (400, 4))
    return drawn


def test_wider_draws_keep_their_mean_and_their_order() -> None:
    drawn = some_draws()
    wide = widened(drawn, FREEDOM)
    assert wide.mean(axis=0) == pytest.approx(drawn.mean(axis=0), abs=1e-12)
    assert np.array_equal(wide[:, :3].argsort(axis=0), drawn[:, :3].argsort(axis=0))


@pytest.mark.parametrize("sharing", ["shared", "pooled"])
def test_a_kind_of_method_with_a_lone_series_has_finite_draws(
    monkeypatch: pytest.MonkeyPatch, sharing: Sharing
) -> None:
    """One sum of gradients has no spread, by which those of several series are scaled."""
    monkeypatch.setattr(uncertainty, "MANY_CELLS", 10)
    rng = np.random.default_rng(0)
    full = cells({"full": SHARED["full"]}, models=WIDE, budgets=BUDGETS)
    lora = cells({"lora:32": SHARED["lora:32"]}, models=WIDE[:1], budgets=tuple(np.geomspace(2.5e11, 1.6e13, 12)))
    measured = Points.of([*full, *lora])
    common = 0.02 * rng.standard_normal(measured.series.max() + 1)[measured.series]
    measured = replace(measured, log_loss=measured.log_loss + common + 1e-3 * rng.standard_normal(len(measured)))
    fit = fit_jointly(FORMS["chinchilla"], measured, sharing)
    for drawn in draw(fit, measured, 40, rng):
        assert np.isfinite(drawn).all()


def test_a_lone_series_is_summed_as_its_cells_are() -> None:
    scores = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(uncertainty._summed(scores, np.zeros(3, dtype=int)), scores)
    two = uncertainty._summed(scores, np.array([0, 0, 1]))
    assert two == pytest.approx(np.array([[1, 2], [7, 5]]) * np.sqrt(2))


def test_draws_widen_by_one_factor() -> None:
    drawn = some_draws()
    mean = drawn.mean(axis=0)
    assert widened(drawn, FREEDOM) == pytest.approx(mean + INFLATION * SCALE * (drawn - mean), rel=1e-12)


def test_with_an_error_the_standard_deviation_of_a_difference_is_that_of_both() -> None:
    drawn, error = some_draws(), np.array([0.0, 0.01, 0.3, 0.05])
    wanted = np.hypot(spread_of(drawn), SCALE * error)
    wide = with_error(drawn, drawn.mean(axis=0), FREEDOM, error)
    assert spread_of(wide) == pytest.approx(wanted, rel=0.01)  # 400 quantiles of a normal
    assert wide[:, 0] == pytest.approx(drawn[:, 0], rel=1e-12)


def test_differences_that_are_all_the_same_get_the_errors_quantiles_or_stay() -> None:
    same = np.full((101, 2), 1.5)
    wide = with_error(same, same[0], FREEDOM, np.array([0.0, 0.02]))
    assert np.array_equal(wide[:, 0], same[:, 0])
    assert wide[50, 1] == pytest.approx(1.5)
    assert wide[[5, 95], 1] - 1.5 == pytest.approx(SCALE * 0.02 * norm.ppf([5.5 / 101, 95.5 / 101]), rel=1e-9)
    alone = with_error(same[:1], same[0], FREEDOM, np.full(2, 0.1))
    assert np.array_equal(alone, same[:1])  # a single draw has no quantiles


def test_wider_draws_have_the_interval_as_their_quantiles() -> None:
    """So that comparing choices by the draws and by their intervals cannot disagree."""
    drawn = np.random.default_rng(1).normal(1, 0.02, (4000, 1))
    half = half_width(drawn, FREEDOM, 0.9, 0.0)
    assert np.quantile(widened(drawn, FREEDOM), (0.05, 0.95)) - 1 == pytest.approx([-half[0], half[0]], rel=0.02)
