"""Forecasts of measured budgets from smaller ones, and what they add to intervals."""

import numpy as np
import pytest

from embudget.laws import Laws, fit
from embudget.laws.backtests import PRIOR, WORTH, Backtest, backtests, discrepancy_of
from embudget.laws.problem import Points
from embudget.laws.weights import draws_of, rank
from embudget.runs.cells import Cell, RunTable
from tests.laws.studies import SHARED, WIDE, cells

BUDGETS = tuple(2.5e11 * 4.0**i for i in range(6))
TRUTH = {"full": SHARED["full"], "lora:32": SHARED["lora:32"]}


def study(noise: float = 0.003, seed: int = 0, bend: float = 0.0) -> list[Cell]:
    """Six budgets of a law, which above the third promises too much by ``bend`` for every budget more."""
    made = cells(TRUTH, noise, seed, models=WIDE, budgets=BUDGETS)
    over = [max(0.0, np.log(cell.budget / BUDGETS[2]) / np.log(4)) for cell in made]
    return [
        cell.model_copy(update={"loss": cell.loss * float(np.exp(bend * more))})
        for cell, more in zip(made, over, strict=True)
    ]


def forecasts_of(of: list[Cell]) -> tuple[Backtest, ...]:
    points = Points.of(of)
    return backtests(points, draws_of(rank(points, ["chinchilla"]), 40), None, np.random.default_rng(0))[""]


def fitted(of: list[Cell]) -> Laws:
    return fit(RunTable(cells=tuple(of), run_count=len(of)), draws=40, forms=["chinchilla"])


def test_every_larger_budget_is_forecast_from_every_cut() -> None:
    found = forecasts_of(study())
    steps = [(round(np.log(one.largest / BUDGETS[0]) / np.log(4)), round(np.log(one.budget / BUDGETS[0]) / np.log(4)))
             for one in found]  # fmt: skip
    assert steps == [(low, high) for low in range(1, 5) for high in range(low + 1, 6)]
    assert all(one.cells == 8 for one in found)


def test_a_law_that_holds_is_forecast_within_what_is_expected() -> None:
    found = [one for seed in range(4) for one in forecasts_of(study(seed=seed))]
    assert np.mean([one.error**2 for one in found]) < 2 * np.mean([one.expected**2 for one in found])
    assert abs(np.mean([one.bias for one in found])) < 0.01


def test_a_law_that_bends_above_the_cut_promises_too_much_and_widens_the_intervals() -> None:
    straight, bent = fitted(study()), fitted(study(bend=0.02))
    assert bent.surface.discrepancy > 2 * straight.surface.discrepancy
    from_the_third = [one for one in bent.backtests if one.largest == pytest.approx(BUDGETS[2], rel=0.1)]
    assert all(one.bias > 0.01 for one in from_the_third)


def test_a_diverged_run_says_nothing_of_forecasts() -> None:
    whole = study()
    diverged = [*whole[:-1], whole[-1].model_copy(update={"loss": 2 * whole[-1].loss})]
    before, after = forecasts_of(whole), forecasts_of(diverged)
    assert len(before) == len(after)
    assert max(one.error for one in after) < 2 * max(one.error for one in before)


def test_without_backtests_the_prior_is_left() -> None:
    three = [cell for cell in study() if cell.budget < 0.5 * BUDGETS[3]]
    laws = fitted(three)
    assert laws.backtests == ()
    assert discrepancy_of((), 0.1) == pytest.approx(0.1 * PRIOR)
    assert "no backtests, which need 4 budgets" in laws.summary()
    assert "backtests: a bias above 0" in fitted(study()).summary()


@pytest.mark.parametrize(("error", "share"), [(0.0, 0.6), (PRIOR, 1.0), (2 * PRIOR, 1.8)])
def test_one_clear_forecast_weighs_as_one_against_the_prior(error: float, share: float) -> None:
    """At d = 1 and a fall of 1 an error is s itself; without noise its weight is 1."""
    one = Backtest(largest=1.0, budget=float(np.e), cells=1, bias=error, error=error, expected=0.0)
    expected = np.sqrt((WORTH * PRIOR**2 + error**2) / (WORTH + 1))
    assert discrepancy_of([one], 1.0) == pytest.approx(expected)
    assert abs(discrepancy_of([one], 1.0) / PRIOR - share) < 0.1
    hidden = one.model_copy(update={"expected": 10.0})
    assert discrepancy_of([hidden], 1.0) == pytest.approx(PRIOR, rel=0.25), "noise hides what it shows"
