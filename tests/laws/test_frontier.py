"""The best loss against the budget: which cells count, the straight line and the bent one."""

import numpy as np
import pytest
from scipy.stats import linregress

from embudget.design import World, simulate
from embudget.errors import FitError, TooFewRunsError
from embudget.laws import Coefficients
from embudget.laws.frontier import fit_bent_line, fit_frontier, fit_line, frontier_points
from embudget.runs import RunTable

BUDGETS = (1e12, 4e12, 1.6e13, 6.4e13, 2.56e14)


def test_the_best_cell_of_each_budget_counts() -> None:
    truth = {
        "full": Coefficients(E=1, A=300, a=0.35, B=250, b=0.4),
        "lora:8": Coefficients(E=1, A=310, a=0.35, B=200, b=0.4),
    }
    cells = RunTable.of(
        simulate(World(truth=truth, models=("smollm2-135m:1", "smollm2-135m:4"), budgets=BUDGETS))
    ).cells
    points = frontier_points(cells)
    assert [point.budget for point in points] == list(BUDGETS)
    for point in points:
        assert point.loss == min(cell.loss for cell in cells if cell.budget == point.budget)


@pytest.mark.parametrize("asymptote", [0.0, 0.5, 2.0])
def test_a_floor_is_recovered(asymptote: float) -> None:
    losses = [asymptote + 40 * budget**-0.1 for budget in BUDGETS]
    bent = fit_bent_line(BUDGETS, losses)
    assert bent is not None
    assert bent.asymptote == pytest.approx(asymptote, abs=2e-3)
    assert bent.line.slope == pytest.approx(-0.1, rel=5e-3)
    assert bent.asymptote + bent.line(1e16) == pytest.approx(asymptote + 40 * 1e16**-0.1, rel=1e-3)
    assert bent.residual_sd < 1e-4


def test_the_straight_line_misses_a_floor() -> None:
    truth = {"full": Coefficients(E=2, A=300, a=0.35, B=250, b=0.4)}
    records = simulate(World(truth=truth, models=("smollm2-135m:2", "smollm2-135m:4"), budgets=BUDGETS, noise=0))
    frontier = fit_frontier(RunTable.of(records).cells)
    assert frontier.bent is not None
    assert frontier.bent.residual_sd < 0.2 * (frontier.line.residual_sd or 0)
    assert frontier.bent.asymptote + frontier.bent.line(4e15) > frontier.line(4e15)


def test_too_few_budgets_have_no_floor() -> None:
    assert fit_bent_line(BUDGETS[:3], [3.0, 2.5, 2.2]) is None
    truth = {"full": Coefficients(E=2, A=300, a=0.35, B=250, b=0.4)}
    records = simulate(World(truth=truth, models=("smollm2-135m:2", "smollm2-135m:4"), budgets=BUDGETS[:3]))
    assert fit_frontier(RunTable.of(records).cells).bent is None


def test_an_exact_power_law_is_recovered() -> None:
    x = [1e12, 4e12, 1.6e13]
    line = fit_line(x, [50 * value**-0.12 for value in x])
    assert line.slope == pytest.approx(-0.12)
    assert line(6.4e13) == pytest.approx(50 * 6.4e13**-0.12)


def test_the_line_is_that_of_linear_regression() -> None:
    x, y = [1.0, 2.0, 5.0, 9.0], [3.0, 2.5, 2.4, 1.7]
    line, reference = fit_line(x, y), linregress(np.log(x), np.log(y))
    residuals = np.log(y) - reference.intercept - reference.slope * np.log(x)
    assert line(20) == pytest.approx(np.exp(reference.intercept + reference.slope * np.log(20)))
    assert line.residual_sd == pytest.approx(np.sqrt((residuals**2).sum() / 2))


def test_two_points_give_a_line_without_residuals() -> None:
    line = fit_line([1.0, 2.0], [3.0, 1.5])
    assert line(4) == pytest.approx(0.75)
    assert line.residual_sd is None


def test_what_has_no_line_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="at least 2 different points, got 1"):
        fit_line([2.0, 2.0], [3.0, 1.5])
    with pytest.raises(FitError, match="positive values, got -1"):
        fit_line([1.0, 2.0], [3.0, -1.0])
