"""Rivals of spend: each keeps within its budget in every kind of world, and searches as it says."""

from math import inf

import numpy as np
import pytest

from benchmarks.spend_outcomes import Outcome, Policy, spend
from benchmarks.spend_policies import POLICIES, RIVALS, grids, make_policy
from benchmarks.spend_policies.asha import _promotion
from benchmarks.spend_policies.scripts import setting_of
from benchmarks.spend_worlds import BUDGETS, KINDS, make_world
from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting


def spent_by(name: str, kind: str, seed: int, times: float) -> Outcome:
    """What comes of a policy; `spend` itself refuses one that overspends or misstates a price."""
    if name == "tpe-hyperband":
        pytest.importorskip("optuna")
    world = make_world(kind, seed, times)
    return spend(world, make_policy(name, world, times))


@pytest.mark.parametrize("name", [*RIVALS, "oracle"])
def test_every_rival_ends_within_its_budget(name: str) -> None:
    """In each kind of world, at one of the budgets; no regret is below the oracle's, which is 0."""
    for place, kind in enumerate(KINDS):
        outcome = spent_by(name, kind, 1, BUDGETS[place % 3])
        assert outcome.regret >= 0 if name != "oracle" else outcome.regret == pytest.approx(0)
        assert outcome.searched <= 0.9


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in RIVALS])
@pytest.mark.parametrize("kind", ["multiplicative-apart-small", "narrow:rectified-apart-small"])
def test_ours_ends_within_its_budget(name: str, kind: str) -> None:
    """On the same interface as its rivals."""
    outcome = spent_by(name, kind, 1, 30)
    assert outcome.regret >= 0
    assert outcome.searched < 1
    assert (outcome.held is None) == (name == "prior")


@pytest.mark.parametrize("name", ["asha", "tpe-hyperband", "carry-3", "paper"])
def test_the_same_world_has_the_same_outcome(name: str) -> None:
    """Seeds of rivals are those of the world."""
    first, again = (spent_by(name, KINDS[0], 1, 300)._replace(seconds=0.0) for _ in range(2))
    assert first == again


def test_rivals_that_search_buy_runs_at_300() -> None:
    """A search that bought nothing would be a rule of thumb under another name."""
    for name, fewest in (("asha", 5), ("paper", 8), ("carry-1", 4), ("carry-3", 6)):
        assert spent_by(name, KINDS[0], 1, 300).runs >= fewest


def test_halving_promotes_the_best_quarter_once() -> None:
    """By hand: one of four, the lowest; not again, and none that diverged."""
    world = make_world(KINDS[0], 1, 300)
    settings = [setting_of(world.allocation, arm) for arm in world.allocation.arms[:8]]
    losses = [dict(zip(settings[:4], (3.0, 2.0, 4.0, inf), strict=True)), {}]
    promoted: list[set[Setting]] = [set(), set()]
    assert _promotion(losses, promoted) == (settings[1], 1)
    assert _promotion(losses, promoted) is None
    losses[0] |= dict(zip(settings[4:], (5.0, 6.0, 7.0, 8.0), strict=True))
    assert _promotion(losses, promoted) == (settings[0], 1)


@pytest.mark.parametrize("times", BUDGETS)
def test_a_grid_costs_its_share(times: int) -> None:
    """The paper's on half of the budget, its runs all long enough."""
    world = make_world(KINDS[0], 1, times)
    allocation = world.allocation
    script = grids.paper(allocation)
    wanted = next(script)
    cost, last = 0.0, dict[Setting, float]()
    for setting, flops in wanted:
        cost += flops - 0.8 * last.get(setting, 0.0)
        last[setting] = flops
        assert flops >= allocation.least(allocation.arm(setting), setting.batch_size) * (1 - 1e-9)
    assert cost == pytest.approx(allocation.budget / 2)


def test_carrying_forward_grows_the_best_cell() -> None:
    """By hand: the best cell's method and rate, on the member nearest to N (C / C_grid)^0.25."""
    world = make_world(KINDS[0], 1, 3000)
    allocation = world.allocation
    script = grids.carry(allocation, grids.RATES)
    wanted = next(script)
    best, at = wanted[4]
    every = tuple(
        Measurement(Purchase(setting=setting, train_flops=flops, cost=flops), 1.0 if setting == best else 2.0)
        for setting, flops in wanted
    )
    with pytest.raises(StopIteration) as end:
        script.send(every)
    final, arm = end.value.value, allocation.arm(best)
    grown = arm.model_params * (allocation.budget / at) ** 0.25
    sizes = {one.model: one.model_params for one in allocation.arms}
    assert final.method == best.method
    assert final.model == min(sizes, key=lambda name: abs(np.log(sizes[name] / grown)))
    multiple = best.learning_rate / arm.default_rate
    assert final.learning_rate == pytest.approx(multiple * allocation.arm(final).default_rate)


def test_a_policy_that_overspends_is_caught() -> None:
    """Else a regret could be bought with FLOP that the budget does not have."""
    world = make_world(KINDS[0], 1, 30)
    honest = make_policy("middle", world, 30)

    def greedy(allocation: Allocation, measured: tuple[Measurement, ...]) -> Decision:
        decision = honest(allocation, measured)
        one = decision.purchases[0]
        twice = one.model_copy(update={"train_flops": 2 * one.train_flops, "cost": 2 * one.cost})
        return decision.model_copy(update={"purchases": (twice,)})

    policy: Policy = greedy  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="too dear"):
        spend(world, policy)
