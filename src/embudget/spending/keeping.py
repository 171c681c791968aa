"""Several final runs instead of one: the leading choices share what the search left, and the best of them is the model.

It buys safety against an unlucky choice or seed, and costs length: each of n runs has about 1/n of the FLOP.
"""

from collections.abc import Iterable, Sequence

from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting, spent
from embudget.spending.changes import named, why_bought


def share_final(decision: Decision, allocation: Allocation, measured: Sequence[Measurement], keep: int) -> Decision:
    """The decision with ``keep`` final runs in place of the one that ends the search; others are left as they are.

    The leading arms are taken in their order, each with the best of its measured settings; where there are fewer of
    them, the best choice is trained with further seeds. There are fewer where what is left does not pay for all.

    Args:
        decision: the policy's.
        allocation: the budget.
        measured: all that was bought before.
        keep: final runs.
    """
    bought = [one for one in measured if one.purchase.purpose == "final"]
    if not decision.final or keep <= 1 or bought:
        return decision
    settings = _candidates(decision, allocation, measured, keep)
    while len(settings) > 1 and not _affordable(settings, allocation, measured):
        settings.pop()
    if len(settings) < keep:
        decision = decision.model_copy(
            update={"why": f"{decision.why}; what is left does not pay for {keep} final runs"}
        )
    if len(settings) == 1:
        return decision
    part = (allocation.budget - spent(measured)) / len(settings)
    purchases = []
    for number, setting in enumerate(settings):
        flops = allocation.longest_final(setting, part, measured)
        why = "the best choice" if number == 0 else f"candidate {number + 1} of {len(settings)}"
        why = f"{why_bought(setting, measured)}; {why}"
        cost = allocation.final_cost(setting, flops, measured)
        purchases.append(Purchase(setting=setting, train_flops=flops, cost=cost, purpose="final", why=why))
    return decision.model_copy(update={"purchases": tuple(purchases)})


def _affordable(settings: Sequence[Setting], allocation: Allocation, measured: Sequence[Measurement]) -> bool:
    """Whether an even part of what is left trains each of them long enough to teach it anything."""
    part = (allocation.budget - spent(measured)) / len(settings)
    return all(
        allocation.longest_final(one, part, measured) >= allocation.least(allocation.arm(one), one.batch_size)
        for one in settings
    )


def _candidates(
    decision: Decision, allocation: Allocation, measured: Iterable[Measurement], keep: int
) -> list[Setting]:
    best = next(one.setting for one in decision.purchases if one.purpose == "final")
    found = [best]
    tried = [one for one in measured if one.loss is not None]
    for model, method, _, _ in decision.standings:
        own = [one for one in tried if (one.purchase.setting.model, one.purchase.setting.method) == (model, method)]
        if len(found) < keep and own and named(model, method) not in {named(s.model, s.method) for s in found}:
            longest = max(one.purchase.train_flops for one in own)
            at_longest = [one for one in own if one.purchase.train_flops == longest]
            found.append(min(at_longest, key=lambda one: one.loss or 0.0).purchase.setting)
    seeds = range(best.seed + 1, best.seed + 1 + keep - len(found))
    return found + [best.model_copy(update={"seed": seed}) for seed in seeds]
