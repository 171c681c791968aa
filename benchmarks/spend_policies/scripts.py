"""How are the rivals of `embudget spend` written? As scripts: generators that yield runs and return the final setting.

It yields (setting, FLOP) of the runs it wants; runs that the budget left does not pay for are
left out. It is sent all that was measured, and returns the setting of the final run, which gets all FLOP that are left.
"""

from collections.abc import Callable, Generator, Sequence
from math import inf, log
from typing import NamedTuple

from benchmarks.spend_outcomes import Policy
from embudget.errors import BudgetError
from embudget.spending.allocation import (
    Allocation,
    Arm,
    Decision,
    Measurement,
    Purchase,
    Setting,
    cost_of,
    longest,
    spent,
)

REACH = 1.5
"""e-folds to either side of the default within which a search draws rates."""
Wanted = list[tuple[Setting, float]]
Script = Generator[Wanted, tuple[Measurement, ...], Setting]


class Bracket(NamedTuple):
    """How a search by halving is laid out, in shares of the budget."""

    share: float
    """What the search may spend."""
    top: float
    """One run of the highest rung."""
    rungs: int


def policy_of(script: Callable[[Allocation], Script]) -> Policy:
    """The policy of a script; for one budget, as it remembers where the script is.

    One that is made for a budget of which runs were bought before, as by a process that was killed, sends the script
    through these runs first. A script has one answer: where its final run diverged, the policy refuses to go on.
    """
    running: list[Script] = []

    def decide(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
        if any(one.purchase.purpose == "final" for one in measured):
            raise BudgetError("the final run of a script diverged or failed, and it has no other")
        try:
            if not running:
                running.append(script(allocation))
                wanted = _caught_up(running[0], allocation, measured)
            else:
                wanted = running[0].send(tuple(measured))
            while not (bought := affordable(allocation, measured, wanted)):
                wanted = running[0].send(tuple(measured))
        except StopIteration as end:
            return final(allocation, measured, end.value)
        return _decision(measured, bought, bought[0].setting)

    return decide


def _caught_up(script: Script, allocation: Allocation, measured: Sequence[Measurement]) -> Wanted:
    """What a script wants next when it has seen round by round what was bought before."""
    wanted, seen = next(script), 0
    while seen < len(measured):
        for purchase in affordable(allocation, measured[:seen], wanted):
            seen += seen < len(measured) and measured[seen].purchase.setting == purchase.setting
        wanted = script.send(tuple(measured[:seen]))
    return wanted


def affordable(allocation: Allocation, measured: Sequence[Measurement], wanted: Wanted) -> tuple[Purchase, ...]:
    """The wanted runs that can be bought one after the other, a tenth of the budget being kept for the final run."""
    if allocation.max_runs is not None and len(measured) >= allocation.max_runs:
        return ()
    left, every, bought = 0.9 * allocation.budget - spent(measured), list(measured), []
    for setting, flops in wanted:
        cost = cost_of(setting, flops, every)
        if 0 < cost <= left:
            bought.append(Purchase(setting=setting, train_flops=flops, cost=cost))
            every.append(Measurement(bought[-1], None))
            left -= cost
    return tuple(bought)


def final(allocation: Allocation, measured: Sequence[Measurement], setting: Setting) -> Decision:
    """The final run of a setting with all FLOP that are left."""
    left = allocation.budget - spent(measured)
    flops = longest(setting, left, measured)
    cost = cost_of(setting, flops, measured)
    return _decision(measured, (Purchase(setting=setting, train_flops=flops, cost=cost, purpose="final"),), setting)


def _decision(measured: Sequence[Measurement], purchases: tuple[Purchase, ...], best: Setting) -> Decision:
    """What a rival decides: it states neither a probability nor a loss."""
    return Decision(
        purchases=purchases, best=best, probability=0.0,
        expected_loss=0.0, interval=(0.0, 0.0), standings=(),
    )  # fmt: skip


def loss_of(measurement: Measurement) -> float:
    """The measured loss; infinite where there is none."""
    return inf if measurement.loss is None else measurement.loss


def setting_of(allocation: Allocation, arm: Arm, multiple: float = 1.0) -> Setting:
    """An arm at a multiple of its default rate."""
    return Setting(
        model=arm.model, method=arm.method, learning_rate=arm.default_rate * multiple,
        batch_size=allocation.batch_sizes[0], negatives=allocation.negatives[0],
    )  # fmt: skip


def trainable(allocation: Allocation, flops: float) -> list[Arm]:
    """The arms for which so many FLOP are enough for a run that teaches anything; the cheapest where none is."""
    batch = allocation.batch_sizes[0]
    able = [arm for arm in allocation.arms if allocation.least(arm, batch) <= flops]
    return able or [min(allocation.arms, key=lambda arm: arm.flops_per_token)]


def spread(items: Sequence[int], count: int) -> list[int]:
    """So many of the items, evenly from the first to the last."""
    if count >= len(items):
        return list(items)
    if count == 1:
        return [items[len(items) // 2]]
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def nearest_arm(arms: Sequence[Arm], params: float) -> Arm:
    """The arm whose size is nearest in log N."""
    return min(arms, key=lambda arm: abs(log(arm.model_params / params)))
