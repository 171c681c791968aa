"""A search spends its budget by what it measures, keeps to its limits, and finds the arm that is clearly the best."""

from collections.abc import Sequence
from itertools import permutations
from math import exp, log

import numpy as np
import pytest

from embudget import find_laws
from embudget.errors import BudgetError
from embudget.methods import parse_method
from embudget.spending.allocation import Allocation, Arm, Decision, Measurement, Purchase, cost_of, spent
from embudget.spending.belief import belief_of
from embudget.spending.changes import why_bought
from embudget.spending.law import RunPoints
from embudget.spending.policy import decide
from embudget.spending.prior import KnownLaws
from embudget.spending.steps import Steps
from embudget.suite import find_shape

MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12", "smollm2-135m:30")
BEST_RATE = 1e-3


def arms_of(models: Sequence[str] = MODELS, methods: Sequence[str] = ("full", "lora:32")) -> tuple[Arm, ...]:
    """Arms of SmolLM2 with their true FLOP."""
    return tuple(
        Arm(
            model=model, method=method, lineage="smollm2", model_params=find_shape(model).model_params,
            flops_per_token=parse_method(method).flops_per_token(find_shape(model)),
            default_rate=parse_method(method).default_learning_rate(find_shape(model)), base_loss=6.2,
        )
        for model in models
        for method in methods
    )  # fmt: skip


def allocation_of(times: float = 100.0, **fields: object) -> Allocation:
    """A budget of so many runs of 20 steps of the cheapest arm."""
    arms = arms_of()
    useful = 20 * 16 * 60 * min(arm.flops_per_token for arm in arms)
    return Allocation.model_validate(
        {"budget": times * useful, "arms": arms, "batch_sizes": (16,), "tokens_per_pair": 60.0, **fields}
    )


def true_loss(allocation: Allocation, purchase: Purchase) -> float:
    """LoRA is clearly better than full fine-tuning, and the middle sizes than the others."""
    arm = allocation.arm(purchase.setting)
    tokens = arm.tokens(purchase.train_flops)
    factor = 1.0 if arm.method == "lora:32" else 1.5
    law = 0.5 + factor * (0.5 * (arm.model_params / 1.4e7) ** -0.35 + 0.6 * (tokens / 1e6) ** -0.35)
    return float(min(law * exp(0.05 * log(purchase.setting.learning_rate / BEST_RATE) ** 2), 6.2))


def measure(allocation: Allocation, purchase: Purchase) -> Measurement:
    """Its true loss: these worlds are silent."""
    return Measurement(purchase, true_loss(allocation, purchase))


def spend_all(allocation: Allocation, prior: KnownLaws | None = None) -> tuple[list[Measurement], list[Decision]]:
    """Everything that is bought, the final run included, and the decisions."""
    measured: list[Measurement] = []
    decisions = []
    for _ in range(200):
        decisions.append(decide(allocation, measured, prior))
        for purchase in decisions[-1].purchases:
            assert purchase.cost == pytest.approx(cost_of(purchase.setting, purchase.train_flops, measured))
            measured.append(measure(allocation, purchase))
        if decisions[-1].final:
            return measured, decisions
    raise AssertionError("no end")


@pytest.fixture(scope="module")
def whole() -> tuple[Allocation, list[Measurement], list[Decision]]:
    allocation = allocation_of(300)
    return allocation, *spend_all(allocation)


def test_spends_the_budget_and_no_more(whole: tuple[Allocation, list[Measurement], list[Decision]]) -> None:
    allocation, measured, decisions = whole
    assert spent(measured) == pytest.approx(allocation.budget)
    assert spent(measured) <= allocation.budget * (1 + 1e-9)
    assert [one.final for one in decisions] == [False] * (len(decisions) - 1) + [True]
    assert len(decisions) > 3


def test_finds_a_clearly_best_method_and_a_good_size(
    whole: tuple[Allocation, list[Measurement], list[Decision]],
) -> None:
    allocation, measured, _ = whole
    lowest = min(
        0.5 + 0.5 * (arm.model_params / 1.4e7) ** -0.35 + 0.6 * (arm.tokens(allocation.budget) / 1e6) ** -0.35
        for arm in allocation.arms
        if arm.method == "lora:32"
    )
    assert measured[-1].purchase.setting.method == "lora:32"
    assert measured[-1].loss is not None
    assert measured[-1].loss < 1.1 * lowest


def test_the_final_interval_holds_the_loss_and_tells_something(
    whole: tuple[Allocation, list[Measurement], list[Decision]],
) -> None:
    _, measured, decisions = whole
    low, high = decisions[-1].interval
    assert measured[-1].loss is not None
    assert low < measured[-1].loss < high
    assert high / low < decisions[0].interval[1] / decisions[0].interval[0]


def test_the_same_measurements_give_the_same_decision_in_any_order(
    whole: tuple[Allocation, list[Measurement], list[Decision]],
) -> None:
    allocation, measured, decisions = whole
    known = measured[:3]
    assert decide(allocation, measured[: len(measured) - 1]) == decisions[-1]
    found = {decide(allocation, order).purchases for order in permutations(known)}
    assert len(found) == 1


def test_says_why(whole: tuple[Allocation, list[Measurement], list[Decision]]) -> None:
    _, _, decisions = whole
    assert decisions[-1].best.model in decisions[-1].why
    assert all(purchase.why for one in decisions for purchase in one.purchases)
    for one in decisions:
        assert (one.best.model, one.best.method) in {standing[:2] for standing in one.standings}


def test_several_workers_get_different_runs_that_fit_together() -> None:
    allocation = allocation_of(300, workers=3)
    decision = decide(allocation, ())
    assert 1 < len(decision.purchases) <= 3
    assert len({one.setting for one in decision.purchases}) == len(decision.purchases)
    assert sum(one.cost for one in decision.purchases) < allocation.budget


def test_keeps_to_the_share_and_the_number_of_runs() -> None:
    allocation = allocation_of(300, search_share=0.05, max_runs=4)
    measured, _ = spend_all(allocation)
    assert len(measured) <= 5
    assert spent(measured[:-1]) <= 0.05 * allocation.budget


def test_what_was_known_for_nothing_is_no_run_of_the_search() -> None:
    allocation = allocation_of(300, max_runs=1)
    bought = measure(allocation, decide(allocation, ()).purchases[0])
    free = bought._replace(purchase=bought.purchase.model_copy(update={"cost": 0.0}))
    assert decide(allocation, [bought]).final
    assert not decide(allocation, [free]).final


def test_a_run_whose_trunk_is_gone_is_no_discount() -> None:
    """Runs of an earlier store are known, but nothing goes on from them: each further one is paid in full."""
    allocation = allocation_of(300)
    whole = decide(allocation, ()).purchases[0]
    known = whole.model_copy(update={"train_flops": allocation.budget / 4, "cost": 0.0})
    measured = [Measurement(known, true_loss(allocation, known), resumable=False)]
    steps = Steps(allocation, measured, belief_of(allocation, measured))
    assert steps.longest_final(known.setting) == allocation.budget
    assert steps.cost(known.setting, allocation.budget / 2) == allocation.budget / 2
    assert why_bought(known.setting, measured).startswith("begins anew, since nothing is kept of its run of")
    decision = decide(allocation.model_copy(update={"max_runs": 1}), [*measured, measure(allocation, whole)])
    assert decision.final
    assert sum(one.train_flops for one in decision.purchases) <= allocation.budget


def test_a_single_arm_is_trained_at_a_searched_rate() -> None:
    allocation = allocation_of(300).model_copy(update={"arms": arms_of(MODELS[:1], ("full",))})
    measured, _ = spend_all(allocation)
    assert abs(log(measured[-1].purchase.setting.learning_rate / BEST_RATE)) < 1.0  # the default is 1.2 away


def test_rates_of_promising_arms_are_bracketed(whole: tuple[Allocation, list[Measurement], list[Decision]]) -> None:
    _, measured, _ = whole
    rates: dict[tuple[str, str], set[float]] = {}
    for one in measured:
        setting = one.purchase.setting
        rates.setdefault((setting.model, setting.method), set()).add(setting.learning_rate)
    assert max(len(found) for found in rates.values()) > 1


def test_a_budget_too_small_for_any_arm_is_refused_with_the_least_that_works() -> None:
    allocation = allocation_of(0.4)
    with pytest.raises(BudgetError, match=r"at least .* FLOP, 10 steps of 16 pairs of smollm2-135m:1 lora:32"):
        decide(allocation, ())


def test_a_budget_for_a_single_run_is_not_searched() -> None:
    assert decide(allocation_of(0.8), ()).final


def test_a_diverged_rate_is_not_tried_again_and_lower_ones_are_believed_better() -> None:
    allocation = allocation_of(300).model_copy(update={"arms": arms_of(MODELS[:1], ("full",))})
    first = decide(allocation, ()).purchases[0]
    after = decide(allocation, [Measurement(first, None, status="diverged")])
    assert after.best.learning_rate < first.setting.learning_rate
    assert all(one.setting.learning_rate < first.setting.learning_rate for one in after.purchases)


def test_an_arm_that_failed_twice_is_left_alone() -> None:
    allocation = allocation_of(300)
    measured: list[Measurement] = []
    failing = decide(allocation, ()).purchases[0].setting
    for _ in range(8):
        decision = decide(allocation, measured)
        if decision.final:
            break
        for purchase in decision.purchases:
            bad = (purchase.setting.model, purchase.setting.method) == (failing.model, failing.method)
            measured.append(Measurement(purchase, None, status="failed") if bad else measure(allocation, purchase))
    failed = [one for one in measured if one.status == "failed"]
    assert 1 <= len(failed) <= 2


def test_a_budget_of_seconds_whose_arms_all_failed_is_not_called_too_small() -> None:
    arm = arms_of()[0].model_copy(update={"seconds_per_flop": 1e-11, "seconds_per_run": 2.0})
    allocation = allocation_of(100, budget=600.0, unit="seconds", arms=(arm,))
    first = decide(allocation, ()).purchases[0].model_copy(update={"cost": 10.0})
    failed = [Measurement(first, None, status="failed")] * 2
    with pytest.raises(BudgetError, match="is left to train with 580 seconds: their runs failed or diverged"):
        decide(allocation, failed)
    with pytest.raises(BudgetError, match=r"budget must be at least 4.04 seconds, 10 steps of 16 pairs .*, got 1:"):
        decide(allocation.model_copy(update={"budget": 1.0}), ())


def test_a_rest_that_does_not_pay_for_loading_buys_nothing() -> None:
    arm = arms_of()[0].model_copy(update={"seconds_per_flop": 1e-11, "seconds_per_run": 2.0})
    allocation = allocation_of(100, budget=600.0, unit="seconds", arms=(arm,))
    first = decide(allocation, ()).purchases[0].model_copy(update={"cost": 599.0})
    with pytest.raises(BudgetError):
        decide(allocation, [Measurement(first, 4.0)])


def test_known_laws_make_the_first_forecast_narrower() -> None:
    allocation = allocation_of(300)
    blind, told = decide(allocation, ()), decide(allocation, (), KnownLaws(laws=(find_laws("smollm2"),)))
    assert log(told.interval[1] / told.interval[0]) < log(blind.interval[1] / blind.interval[0]) / 2


def test_few_pairs_are_not_believed_to_be_worth_as_much_as_many() -> None:
    few = decide(allocation_of(300, training_pairs=200), ())
    assert few.expected_loss > decide(allocation_of(300), ()).expected_loss


def retrievers_and_base(times: float) -> Allocation:
    """Beside SmolLM2 an intact retriever of 4 blocks, whose loss before training is low, and a cut of it."""
    retrievers = tuple(
        arm.model_copy(update={"lineage": "minilm retriever", "base_loss": base, "model": f"{arm.model}-retriever"})
        for arm in arms_of(("smollm2-135m:1", "smollm2-135m:4"))
        for base in ([4.5] if arm.model.endswith(":1") else [2.2])
    )
    return allocation_of(times, arms=(*arms_of(MODELS[:2]), *retrievers))


def test_a_retriever_is_expected_to_begin_at_its_loss_before_training() -> None:
    allocation = retrievers_and_base(30)
    belief = belief_of(allocation, ())
    places = np.arange(len(allocation.arms))
    none = np.zeros(len(places))
    at = RunPoints(places, none - 25, none * np.nan, none + 1e9, none, none, none)  # hardly any tokens, no short steps
    short = np.exp(np.median(belief.log_losses(at), axis=0))
    assert short[-4:] == pytest.approx([4.5, 4.5, 2.2, 2.2], rel=0.02)


def test_says_where_an_untrained_retriever_is_better_than_what_is_left_can_train() -> None:
    allocation = retrievers_and_base(12).model_copy(update={"max_runs": 1})
    intact = allocation.arms[-1].model
    allocation = allocation.model_copy(update={"arms": allocation.arms[:6]})
    cut = allocation.arms[-1].model_copy(update={"model": intact, "base_loss": 0.6})
    allocation = allocation.model_copy(update={"arms": (*allocation.arms[:5], cut)})
    decision = decide(allocation, [Measurement(decide(allocation, ()).purchases[0], 5.9)])
    assert decision.final
    assert f"{intact} as it is: training does not pay at this budget. Its held-out loss is 0.600" in decision.why
    assert decision.purchases[0].why.startswith(f"{intact} as it is")


def test_intervals_of_several_worlds_hold_the_final_loss() -> None:
    held, widths = [], []
    for size, data, exponent in (
        (0.3, 0.6, 0.35),
        (0.6, 0.6, 0.25),
        (0.3, 1.2, 0.45),
        (0.6, 1.2, 0.35),
        (1.0, 0.8, 0.3),
    ):
        allocation, measured = allocation_of(30), list[Measurement]()
        decision = decide(allocation, measured)
        while not decision.final:
            for purchase in decision.purchases:
                measured.append(Measurement(purchase, world_loss(allocation, purchase, size, data, exponent)))
            decision = decide(allocation, measured)
        low, high = decision.interval
        held.append(low < world_loss(allocation, decision.purchases[0], size, data, exponent) < high)
        widths.append(log(high / low))
    assert sum(held) >= 4
    assert max(widths) < 1.5


def world_loss(allocation: Allocation, purchase: Purchase, size: float, data: float, exponent: float) -> float:
    """A law of Hoffmann et al. whose rates are best at BEST_RATE, with noise of 1 % that a purchase has for good."""
    arm, setting = allocation.arm(purchase.setting), purchase.setting
    tokens = arm.tokens(purchase.train_flops)
    law = 0.4 + size * (arm.model_params / 1.4e7) ** -exponent + data * (tokens / 1e6) ** -exponent
    off = log(setting.learning_rate / BEST_RATE)
    noise = 0.01 * np.random.default_rng([round(tokens), round(1e7 * setting.learning_rate)]).standard_normal()
    return float(min(law * exp(0.05 * off**2), 6.2) * exp(noise))
