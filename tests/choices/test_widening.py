"""There is one widening of the draws, as far as the 90 % interval of the loss asks for."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from embudget.choices import measured_candidates
from embudget.choices.table import Choices
from embudget.laws import Laws, find_laws
from embudget.laws.surface import INFLATION
from embudget.recipe.options import Question


@pytest.fixture(scope="module")
def laws() -> Laws:
    """Published laws whose forecasts missed by more than noise and draws explain."""
    return find_laws("smollm2")


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0, 100.0])
def test_the_spread_of_a_choice_is_that_of_its_interval(laws: Laws, times: float) -> None:
    surface = laws.surface
    low, high = surface.reach["full"]
    size = (low * high) ** 0.25
    tokens = times * high / size
    at = (["full"], np.array([size]), np.array([tokens]))
    widened, drawn = surface.log_draws(*at)[:, 0], np.log(surface.drawn(*at))[:, 0]
    assert widened.mean() == pytest.approx(drawn.mean(), abs=1e-12)
    spreads = [np.diff(np.quantile(draws, (0.05, 0.95)))[0] / (2 * 1.6449) for draws in (drawn, widened)]
    steps = max(0.0, np.log(times) / np.log(surface.step))
    assert surface.discrepancy > 0
    expected = np.hypot(INFLATION * spreads[0], surface.discrepancy * steps)
    assert spreads[1] == pytest.approx(student.ppf(0.95, surface.freedom) / norm.ppf(0.95) * expected, rel=1e-9)


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
