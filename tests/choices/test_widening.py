"""There is one widening of the draws, by the factors of the 90 % interval of the loss."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from embudget.choices import budgets_between, crossovers_of, measured_candidates
from embudget.choices.table import Choices
from embudget.laws import Laws, find_laws
from embudget.laws.uncertainty import INFLATION
from embudget.recipe.options import Question


@pytest.fixture(scope="module")
def laws() -> Laws:
    """Published laws whose forecasts missed by more than noise and draws explain."""
    return find_laws("smollm2")


@pytest.mark.parametrize("times", [0.5, 1.0, 100.0])
def test_draws_widen_by_one_factor_wherever_they_are(laws: Laws, times: float) -> None:
    surface = laws.surface
    low, high = surface.reach["full"].product
    size = (low * high) ** 0.25
    at = (["full"], np.array([size]), np.array([times * high / size]))
    widened, drawn = surface.log_draws(*at)[:, 0], surface._logs(*at)[1][:, 0]
    factor = INFLATION * student.ppf(0.95, surface.freedom) / norm.ppf(0.95)
    assert widened == pytest.approx(drawn.mean() + factor * (drawn - drawn.mean()), rel=1e-12)


def test_crossovers_are_less_sure_of_kinds_far_from_the_measured_budgets(laws: Laws) -> None:
    assert laws.surface.discrepancy > 0
    budgets, measured = budgets_between(laws.table.budgets[0], 1e4 * laws.table.budgets[-1]), laws.table.budgets
    choices = Question.of(laws, {}).choices(budgets)
    as_said = crossovers_of(choices, (measured[0], measured[-1]))
    all_inside = crossovers_of(choices, (budgets[0], budgets[-1]))
    assert [one.budget for one in as_said if one.budget] == [one.budget for one in all_inside if one.budget]
    pairs = [(one, other) for one, other in zip(as_said, all_inside, strict=False) if one.interval and other.interval]
    for one, other in pairs:
        assert one.interval is not None and other.interval is not None
        assert one.interval[1] / one.interval[0] >= other.interval[1] / other.interval[0]
    assert sum(one.determined for one in as_said) <= sum(one.determined for one in all_inside)
    assert [one.share for one in as_said] != [one.share for one in all_inside]


def test_findings_and_recipes_see_the_same_draws(laws: Laws) -> None:
    """A measured member is the same candidate in both, but for its FLOP per token: training rounds up to steps."""
    budget = laws.table.budgets[-1]
    recipe = Question.of(laws, {}).choices([budget])
    candidates = measured_candidates(laws.cells, laws.surface.step)
    findings = Choices.of(laws.surface, candidates, [budget])
    places = {(one.method, one.model_params): row for row, one in enumerate(recipe.candidates)}
    compared = 0
    for row, one in enumerate(candidates):
        other = places[one.method, one.model_params]
        if np.isfinite(recipe.tokens[other, 0]) and np.isfinite(findings.tokens[row, 0]):
            compared += 1
            assert findings.log_losses[:, row, 0] == pytest.approx(recipe.log_losses[:, other, 0], rel=2e-3)
    assert compared > 5
