"""What a run costs of a budget in FLOP and of one in seconds, and how long a run what is left pays for."""

import pytest
from pydantic import ValidationError

from embudget.spending.allocation import DECAY, Allocation, Arm, Measurement, Purchase, Setting

SLOW = Arm(
    model="micro-200k", method="full", lineage="micro", model_params=200_000, flops_per_token=1.2e6, default_rate=1e-3,
    seconds_per_flop=5e-10, seconds_per_run=4.0,
)  # fmt: skip
SETTING = Setting(model="micro-200k", method="full", learning_rate=1e-3, batch_size=16)


def allocation(unit: str, arm: Arm = SLOW) -> Allocation:
    given = {"budget": 1000.0, "unit": unit, "arms": (arm,), "batch_sizes": (16,), "tokens_per_pair": 55.0}
    return Allocation.model_validate(given)


def bought(flops: float, cost: float) -> Measurement:
    return Measurement(Purchase(setting=SETTING, train_flops=flops, cost=cost), 2.0)


def test_a_budget_of_seconds_pays_for_loading_and_by_the_arms_speed() -> None:
    assert allocation("FLOP").final_cost(SETTING, 1e10) == 1e10
    assert allocation("seconds").final_cost(SETTING, 1e10) == pytest.approx(4 + 5)


def test_a_run_that_goes_on_from_its_trunk_is_loaded_again_but_trains_the_rest_only() -> None:
    first = bought(1e10, 9.0)
    added = 4e10 - (1 - DECAY) * 1e10
    assert allocation("seconds").final_cost(SETTING, 4e10, [first]) == pytest.approx(4 + 5e-10 * added)


@pytest.mark.parametrize("unit", ["FLOP", "seconds"])
@pytest.mark.parametrize("measured", [(), (bought(1e10, 9.0),)])
def test_the_longest_run_costs_what_there_is(unit: str, measured: tuple[Measurement, ...]) -> None:
    shared = allocation(unit)
    amount = 3e10 if unit == "FLOP" else 19.0
    flops = shared.longest_final(SETTING, amount, measured)
    assert shared.final_cost(SETTING, flops, measured) == pytest.approx(amount)


def test_what_does_not_pay_for_loading_trains_nothing() -> None:
    assert allocation("seconds").longest_final(SETTING, 3.9) == 0


def test_seconds_need_speeds() -> None:
    with pytest.raises(ValidationError, match="needs seconds_per_flop of micro-200k full"):
        allocation("seconds", SLOW.model_copy(update={"seconds_per_flop": None}))
