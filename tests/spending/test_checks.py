"""What a budget must pay for: whoever gives too little is told the least that works, and that it does."""

import re

import pytest

from embudget.errors import BudgetError, ConfigError, PairsError
from embudget.spending.allocation import Allocation
from embudget.spending.checks import check_affordable, check_caps
from embudget.study.batch_size import BatchRule
from tests.spending.test_ledger import allocation, arm

CHEAPEST = 10 * 16 * 60 * 4 * 3_540_000  # 10 steps of 16 pairs of lora:32 on the smallest member


def with_budget(budget: float, **changes: object) -> Allocation:
    return allocation().model_copy(update={"budget": budget} | changes)


def test_the_least_that_works_works() -> None:
    with pytest.raises(BudgetError, match=r"least that works is 2.8e\+11 FLOP, by lora:32 on smollm2-135m:1"):
        check_affordable(with_budget(2e11), 1)
    check_affordable(with_budget(2.8e11), 1)
    assert 2 * CHEAPEST < 2.8e11


def test_the_least_counts_a_batch_that_grows_with_the_budget() -> None:
    def at(budget: float) -> Allocation:
        return with_budget(budget, batch_sizes=(BatchRule().batch_size(budget),))

    with pytest.raises(BudgetError) as refused:
        check_affordable(at(1e10), 1, BatchRule().batch_size)
    found = re.search(r"works is (\S+) FLOP", str(refused.value))
    assert found is not None
    check_affordable(at(float(found[1])), 1, BatchRule().batch_size)


def test_more_steps_than_pairs() -> None:
    with pytest.raises(PairsError, match=r"at least 160 to train on, 10 steps of 16, got 159"):
        check_affordable(with_budget(4e12, training_pairs=159), 1)


def test_final_runs_that_do_not_fit() -> None:
    most = int(4e12 / CHEAPEST)
    check_affordable(with_budget(4e12), most)
    with pytest.raises(ConfigError, match=rf"keep must be at most {most}.*got {most + 1}"):
        check_affordable(with_budget(4e12), most + 1)


def test_a_share_that_pays_for_no_run() -> None:
    with pytest.raises(ConfigError, match=r"search_share must pay for a run.*got 0.01 of .*give at least 0.034"):
        check_affordable(with_budget(4e12, search_share=0.01), 1)
    check_affordable(with_budget(4e12, search_share=0.034), 1)


def timed(seconds: float) -> Allocation:
    known = {"seconds_per_flop": 1e-10, "seconds_per_run": 30.0}
    arms = (arm("smollm2-135m:1", "full").model_copy(update=known),)
    return with_budget(seconds, unit="seconds", arms=arms)


def test_a_time_shorter_than_loading() -> None:
    with pytest.raises(BudgetError, match=r"hours must pay for more than loading .*, 0.0084 hours, got 0.0056 hours"):
        check_affordable(timed(20), 1)
    with pytest.raises(BudgetError, match=r"the least that works is 0.028 hours"):
        check_affordable(timed(60), 1)
    check_affordable(timed(0.028 * 3600), 1)


@pytest.mark.parametrize(
    ("caps", "said"),
    [
        ((0.2, 0, 1), r"max_runs must be >= 1, got 0, and search_share=0.2 asks for a search"),
        ((None, 0, 1), r"max_runs must be >= 1, got 0: without a search"),
        ((1.0, None, 1), r"search_share must be > 0 and < 1, got 1"),
        ((None, None, 0), r"keep must be 1 to 64, got 0"),
    ],
)
def test_caps_that_contradict(caps: tuple[float | None, int | None, int], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_caps(*caps)
