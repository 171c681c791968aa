"""A policy that drives real runs in tests: successive halving of the arms at their default rates, then the best one."""

from collections.abc import Sequence
from typing import Literal

from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting, spent

RUNGS = (4e8, 7e8)
"""Budgets of the runs, FLOP: all arms have the first one, the better half the second."""


def halving(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
    """Buy what a rung lacks; at the end train the best of the last rung with what is left."""
    alive = [
        Setting(
            model=arm.model, method=arm.method, learning_rate=arm.default_rate, batch_size=allocation.batch_sizes[0]
        )
        for arm in allocation.arms
    ]
    for rung in RUNGS:
        found = {one.purchase.setting: one for one in measured if one.purchase.train_flops == rung}
        missing = [setting for setting in alive if setting not in found]
        if missing:
            purchases = tuple(bought(allocation, setting, rung, measured) for setting in missing)
            return decision(measured, purchases, alive[0])
        done = [setting for setting in alive if found[setting].loss is not None]
        alive = sorted(done, key=lambda setting: found[setting].loss or 0.0)[: max(1, len(alive) // 2)]
    tried = {one.purchase.setting for one in measured if one.purchase.purpose == "final"}
    lowest = sorted((one for one in measured if one.loss is not None), key=lambda one: one.loss or 0.0)
    best = next(one.purchase.setting for one in lowest if one.purchase.setting not in tried)
    flops = allocation.longest_final(best, allocation.budget - spent(measured), measured)
    return decision(measured, (bought(allocation, best, flops, measured, "final"),), best)


def bought(
    allocation: Allocation,
    setting: Setting,
    flops: float,
    measured: Sequence[Measurement],
    purpose: Literal["search", "final"] = "search",
) -> Purchase:
    cost = allocation.final_cost(setting, flops, measured)
    return Purchase(setting=setting, train_flops=flops, cost=cost, purpose=purpose)


def decision(measured: Sequence[Measurement], purchases: tuple[Purchase, ...], best: Setting) -> Decision:
    losses = [one.loss for one in measured if one.loss is not None]
    lowest = min(losses, default=2.0)
    return Decision(
        purchases=purchases,
        best=best,
        probability=0.5,
        expected_loss=lowest,
        interval=(0.9 * lowest, 1.1 * lowest),
        standings=((best.model, best.method, 0.5, lowest),),
    )
