"""Worlds in which a budget is spent: the same purchase has the same loss, and the oracle's is the lowest."""

from math import exp, log

import numpy as np
import pytest

from benchmarks.spend_outcomes import spend
from benchmarks.spend_policies import make_policy
from benchmarks.spend_worlds import BUDGETS, KINDS, NARROW, SpendWorld, make_world
from embudget.spending.allocation import Measurement, Purchase, Setting
from embudget.suite import find_shape

PLAIN = "chinchilla-shared-small"


def measured(world: SpendWorld, setting: Setting, flops: float) -> float:
    """The measured loss of a run bought by itself."""
    loss = world.measure(Purchase(setting=setting, train_flops=flops, cost=flops)).loss
    assert loss is not None
    return loss


@pytest.mark.parametrize("kind", KINDS)
def test_no_setting_beats_the_oracle(kind: str) -> None:
    """A regret below 0 would mean that the lowest loss is not the lowest."""
    world = make_world(kind, 1, 300)
    budget = world.allocation.budget
    assert world.true_loss(world.best(budget), budget) == world.lowest(budget)
    for arm in world.allocation.arms[::5]:
        for rate in (0.3, 1.0, 3.0):
            setting = Setting(
                model=arm.model, method=arm.method, learning_rate=arm.default_rate * rate,
                batch_size=world.allocation.batch_sizes[0],
            )  # fmt: skip
            assert world.true_loss(setting, budget) >= world.lowest(budget)
            assert world.true_loss(world.best_setting(setting, budget), budget) <= world.true_loss(setting, budget)


def test_only_the_budget_depends_on_the_number_of_runs() -> None:
    """Budgets are compared in the same worlds; narrow suites alone follow the best size."""
    small, large = (make_world(PLAIN, 1, times) for times in (30, 300))
    assert large.allocation.budget == pytest.approx(10 * small.allocation.budget)
    assert large.allocation.arms == small.allocation.arms
    setting = small.best(small.allocation.budget)
    assert measured(small, setting, 1e13) == measured(large, setting, 1e13)


def test_the_cheapest_useful_run_is_20_steps_of_the_cheapest_arm() -> None:
    """The unit of budgets; that of the pilot this benchmark repeats."""
    allocation = make_world(PLAIN, 1, 30).allocation
    cheapest = min(arm.flops_per_token for arm in allocation.arms)
    assert allocation.budget == pytest.approx(30 * 20 * allocation.batch_sizes[0] * 60 * cheapest)


def test_a_purchase_has_the_same_noise_whatever_was_bought_before() -> None:
    """Else policies would not be paired, and a killed search would not go on alike."""
    world = make_world(PLAIN, 1, 300)
    setting = world.best(world.allocation.budget)
    first = world.measure(Purchase(setting=setting, train_flops=1e12, cost=1e12))
    again = world.measure(Purchase(setting=setting, train_flops=1e12, cost=3e11), (first,) * 5)
    assert first.loss == again.loss


def test_runs_of_a_trunk_share_half_the_variance_of_their_noise() -> None:
    """Runs of one setting correlate by 0.5, those of different rates not at all."""
    pairs = []
    world = make_world(PLAIN, 1, 300)
    best = world.best(world.allocation.budget)
    for seed in range(600):
        setting = best.model_copy(update={"seed": seed})
        other = setting.model_copy(update={"learning_rate": setting.learning_rate * 1.01})
        row = [(setting, 1e12), (setting, 2e12), (other, 2e12)]
        pairs.append([log(measured(world, *one) / world.true_loss(*one)) for one in row])
    correlations = np.corrcoef(np.array(pairs).T)
    assert correlations[0, 1] == pytest.approx(0.5, abs=0.1)
    assert correlations[1, 2] == pytest.approx(0.0, abs=0.12)
    assert np.std(pairs) == pytest.approx(world.noise, rel=0.1)
    assert 0.005 <= world.noise <= 0.02


def test_a_rate_costs_its_squared_distance_and_diverges_far_above() -> None:
    """A rate 0.8 e-folds off costs about 0.05 * 0.64 of log loss; one 20 times too high has no loss."""
    world = make_world(PLAIN, 1, 300)
    budget = world.allocation.budget
    best = world.best(budget)
    off = best.model_copy(update={"learning_rate": best.learning_rate * exp(-0.8)})
    curvature = world.rates[best.method].curvature
    assert log(world.true_loss(off, budget) / world.lowest(budget)) == pytest.approx(0.64 * curvature, rel=0.05)
    wild = best.model_copy(update={"learning_rate": best.learning_rate * exp(3.1)})
    assert world.measure(Purchase(setting=wild, train_flops=budget, cost=budget)).status == "diverged"


def test_best_rates_lie_off_the_defaults_as_in_the_pilot() -> None:
    """0.72 e-folds, over methods and worlds."""
    offs = [rate.off for seed in range(24) for rate in make_world(PLAIN, seed, 300).rates.values()]
    assert np.std(offs) == pytest.approx(0.72, abs=0.12)


def test_too_few_steps_teach_nothing() -> None:
    """Else a giant with one step would be the best arm of a law by which large models gain most."""
    world = make_world(PLAIN, 1, 300)
    setting = world.best(world.allocation.budget)
    arm = world.allocation.arm(setting)
    least = world.allocation.least(arm, setting.batch_size)
    tuned = [world.true_loss(world.best_setting(setting, flops), flops) for flops in (0.99 * least, least)]
    assert tuned[0] == pytest.approx(arm.base_loss)
    assert tuned[1] < 0.95 * tuned[0]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("narrow:")])
def test_narrow_suites_have_sizes_near_the_best(kind: str) -> None:
    """All within 8 times the size that is best at the budget."""
    world = make_world(kind, 1, 300)
    best = find_shape(world.best(world.allocation.budget).model).model_params
    sizes = [arm.model_params for arm in world.allocation.arms]
    assert max(sizes) / min(sizes) <= NARROW**2
    assert min(sizes) <= best <= max(sizes)


def test_retrievers_begin_below_the_base_models_and_are_overtaken_in_some_worlds() -> None:
    """Two lineages whose order depends on the budget, else the choice of a start would be none."""
    best = set()
    for seed in range(6):
        for times in BUDGETS:
            world = make_world("retrievers:chinchilla-shared-small", seed, times)
            starts = {arm.lineage: arm.base_loss or 0.0 for arm in world.allocation.arms}
            best.add(world.allocation.arm(world.best(world.allocation.budget)).lineage)
        assert starts["retriever"] < min(loss for name, loss in starts.items() if name != "retriever")
    assert len(best) > 1
    assert "retriever" in best


def test_a_policy_that_buys_nothing_has_the_regret_of_its_arm() -> None:
    """By hand: the loss of the middle member by full fine-tuning at its default rate, on the whole budget."""
    world = make_world(PLAIN, 1, 300)
    allocation = world.allocation
    able = [arm for arm in allocation.arms if allocation.least(arm, allocation.batch_sizes[0]) <= allocation.budget]
    full = sorted((arm.model_params, arm.model) for arm in able if arm.method == "full")
    model = full[len(full) // 2][1]
    arm = next(one for one in able if (one.model, one.method) == (model, "full"))
    setting = Setting(model=model, method="full", learning_rate=arm.default_rate, batch_size=allocation.batch_sizes[0])
    outcome = spend(world, make_policy("middle", world, 300))
    lowest = world.lowest(allocation.budget)
    assert outcome.regret == pytest.approx(world.true_loss(setting, allocation.budget) / lowest - 1)
    assert outcome.by_search == 0
    assert outcome.runs == 0
    assert outcome.by_choice + outcome.by_rate == pytest.approx(outcome.regret)


def test_measurements_of_a_search_are_charged() -> None:
    """The parts of the regret add up, and the search costs what the final run does not get."""
    world = make_world(PLAIN, 1, 300)
    outcome = spend(world, make_policy("carry-1", world, 300))
    assert outcome.by_search > 0
    assert outcome.by_search + outcome.by_choice + outcome.by_rate == pytest.approx(outcome.regret)
    assert 0 < outcome.searched < 0.9
    assert isinstance(world.measure(Purchase(setting=world.best(1e15), train_flops=1e15, cost=1e15)), Measurement)
