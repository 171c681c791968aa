"""What a row of the ensemble says of a run moves with the row's numbers as its derivatives say."""

from math import log

import numpy as np
import pytest

from embudget.spending.law import at_rates, by_law, points_of
from embudget.spending.policy import decide
from embudget.spending.prior import QUANTITIES, Array, arms_basis, normal_draws
from tests.spending.test_policy import retrievers_and_base

INTACT, CUT = "smollm2-135m:4-retriever", "smollm2-135m:1-retriever"


@pytest.mark.parametrize("model", ["smollm2-135m:1", CUT, INTACT])
def test_the_derivatives_are_those_of_the_law(model: str) -> None:
    allocation = retrievers_and_base(30)
    basis = arms_basis(allocation)
    arm = next(one for one in allocation.arms if one.model == model)
    setting = decide(allocation, ()).best.model_copy(
        update={"model": arm.model, "method": arm.method, "learning_rate": 2 * arm.default_rate, "batch_size": 16}
    )
    at = points_of(allocation, [(setting, allocation.budget / 3)])
    theta = normal_draws(basis.width, 0)[:20].astype(np.float64)

    def logs_at(moved: Array, slopes: dict[str, Array] | None = None) -> Array:
        return at_rates(basis, moved, at, by_law(basis, moved, at, slopes), slopes)

    by: dict[str, Array] = {}
    logs_at(theta, by)
    found = np.zeros_like(theta)
    for name, values in by.items():
        found[:, basis.rows[name]] += values * basis.weights[name][:, at.arm[0]]
    for number in range(basis.width):
        step = np.zeros_like(theta)
        step[:, number] = 1e-2
        slope = (logs_at(theta + step) - logs_at(theta - step))[:, 0] / 2e-2
        np.testing.assert_allclose(found[:, number], slope, rtol=0.03, atol=2e-3)
    idle = sorted(set(QUANTITIES) - {name for name, values in by.items() if np.abs(values).max() > 0})
    assert ("gain" in idle) == (model != INTACT)


def test_a_whole_retriever_is_believed_to_end_somewhat_below_its_start() -> None:
    allocation = retrievers_and_base(300)
    basis = arms_basis(allocation)
    arm = next(one for one in allocation.arms if one.model == INTACT)
    setting = decide(allocation, ()).best.model_copy(update={"model": arm.model, "method": arm.method})
    at = points_of(allocation, [(setting, allocation.budget)])
    logs = by_law(basis, normal_draws(basis.width, 0), at)[:, 0] - log(arm.base_loss or 0.0)
    low, middle, high = np.quantile(logs, [0.05, 0.5, 0.95])
    assert -0.7 < low < middle < -0.02 and high < 0.05
