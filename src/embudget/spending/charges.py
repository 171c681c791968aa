"""What did a run take of the budget? What its record says, and not what was expected of it.

Whole steps count, without what a trunk had paid for. A run that diverged is charged up to the step at which it did, and
so is a final run that failed; another that failed is charged in full. Steps that a killed process had done and that are
done again are not charged. Of a budget in time, loading counts as it was expected and training as long as it took.
"""

from collections.abc import Iterable

from embudget.records import RunRecord
from embudget.spending.allocation import Allocation, Purchase, Setting
from embudget.spending.rounds import BoughtRun


def charge(allocation: Allocation, purchase: Purchase, run: BoughtRun, record: RunRecord) -> float:
    """What was spent on a run, in the budget's unit.

    Example:
        >>> left = allocation.budget - sum(charge(allocation, *one) for one in bought)
    """
    if record.train_flops is not None:
        own = record.train_flops - (record.shared_flops or 0.0)
    elif record.loss_curve or purchase.purpose == "final":
        reached = record.loss_curve[-1][0] if record.loss_curve else 0.0
        own = max(0.0, reached * run.train_flops - run.shared_flops)
    else:
        own = run.own_flops
    arm = allocation.arm(purchase.setting)
    if allocation.unit == "seconds" and record.train_flops and record.seconds is not None:
        return arm.seconds_per_run + record.seconds * own / record.train_flops
    return allocation.charged(arm, own, run.speedup)


def slowness(allocation: Allocation, setting: Setting, bought: Iterable[tuple[Purchase, RunRecord]]) -> float:
    """How many times as long as expected the runs of an arm took here; those of all arms, where it has none.

    Args:
        allocation: the budget, whose arms say what was expected.
        setting: of the arm.
        bought: all that was trained, with its records.
    """
    took: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for purchase, record in bought:
        arm = allocation.arm(purchase.setting)
        if arm.seconds_per_flop is not None and record.seconds and record.train_flops:
            mine = (arm.model, arm.method) == (setting.model, setting.method)
            took[mine].append((record.seconds, record.train_flops * arm.seconds_per_flop))
    seconds = took[True] or took[False] or [(1.0, 1.0)]
    return sum(real for real, _ in seconds) / sum(expected for _, expected in seconds)
