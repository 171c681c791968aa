"""Replays of recorded studies: only recorded cells are sold, and truth is the table."""

import pytest

from benchmarks.spend_outcomes import SoldOutError, spend
from benchmarks.spend_policies import RIVALS, make_policy
from benchmarks.spend_replays import STUDIES, make_replay, replays
from embudget.spending.allocation import Measurement, Purchase


@pytest.mark.parametrize("study", STUDIES)
def test_only_recorded_cells_are_sold_and_each_once(study: str) -> None:
    """A wish for anything is answered by a cell of the table, at its own price, until nothing can be paid for."""
    world = make_replay(study, 0)
    budget = world.allocation.budget
    wish = world.best(budget).model_copy(update={"learning_rate": 3.14e-4})
    measured: list[Measurement] = []
    with pytest.raises(SoldOutError):
        while True:
            measured.append(world.measure(Purchase(setting=wish, train_flops=budget / 7, cost=budget / 7), measured))
    for one in measured:
        assert world.table[one.purchase.setting][one.purchase.train_flops] == one.loss
    cells = [(one.purchase.setting, one.purchase.train_flops) for one in measured]
    assert len(set(cells)) == len(cells) > 2
    assert sum(one.purchase.cost for one in measured) <= 0.75 * budget
    assert (measured[0].purchase.setting.model, measured[0].purchase.setting.method) == (wish.model, wish.method)


def test_a_recorded_wish_gets_its_own_cell() -> None:
    """The nearest cell to one that there is, is that one."""
    world = make_replay("smollm2", 1)
    setting, budgets = next((one, found) for one, found in world.table.items() if len(found) > 3)
    flops = min(budgets)
    got = world.measure(Purchase(setting=setting, train_flops=flops, cost=flops))
    assert (got.purchase.setting, got.purchase.train_flops) == (setting, flops)


def test_the_loss_between_two_budgets_is_between_their_losses() -> None:
    """By hand: halfway in log budget, the geometric mean; at a recorded budget, the table."""
    world = make_replay("smollm2", 1)
    best = world.best(world.allocation.budget)
    low, high = (world.true_loss(best, flops) for flops in (8e12, 1.6e13))
    assert world.true_loss(best, 8e12 * 2**0.5) == pytest.approx((low * high) ** 0.5)
    assert high == pytest.approx(min(losses[1.6e13] for losses in world.table.values() if 1.6e13 in losses))


@pytest.mark.parametrize("name", [name for name in RIVALS if name != "tpe-hyperband"])
def test_every_rival_ends_in_every_replay(name: str) -> None:
    """Within its budget, with no regret below 0."""
    for study in STUDIES:
        for number in range(len(replays(study))):
            world = make_replay(study, number)
            outcome = spend(world, make_policy(name, world, world.times))
            assert outcome.regret >= 0
            assert outcome.searched <= 0.75
