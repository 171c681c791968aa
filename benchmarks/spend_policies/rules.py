"""What do rules of thumb make of one budget? They buy nothing, and give all of it to one arm at its default rate."""

from benchmarks.spend_outcomes import Shop
from benchmarks.spend_policies.scripts import Script, setting_of, trainable
from embudget.methods import kind_of
from embudget.runs.lineages import is_of_retrievers
from embudget.spending.allocation import Allocation, Setting

STEPS = 100
USUAL_RATE = 2e-5
"""The peak rate at which the examples of sentence-transformers fine-tune an existing model."""


def largest_of_100_steps(allocation: Allocation) -> Script:
    """The largest member that takes 100 steps by lora:32, or without it by any LoRA; the smallest if none does."""
    yield from ()
    loras = [arm for arm in allocation.arms if kind_of(arm.method) == "lora"] or list(allocation.arms)
    loras = [arm for arm in loras if arm.method == "lora:32"] or loras
    a_step = allocation.batch_sizes[0] * allocation.tokens_per_pair
    able = [arm for arm in loras if STEPS * a_step * arm.flops_per_token <= allocation.budget]
    chosen = max(able, key=lambda arm: arm.model_params) if able else min(loras, key=lambda arm: arm.model_params)
    return setting_of(allocation, chosen)


def middle_full(allocation: Allocation) -> Script:
    """The middle of the members that the budget can train, by full fine-tuning."""
    yield from ()
    able = trainable(allocation, allocation.budget)
    full = sorted((arm for arm in able if arm.method == "full"), key=lambda arm: arm.model_params) or able
    return setting_of(allocation, full[len(full) // 2])


def whole_retriever(allocation: Allocation) -> Script:
    """The largest existing retriever, by full fine-tuning at the usual rate; without one, as `middle_full`."""
    arms = [arm for arm in allocation.arms if arm.method == "full" and is_of_retrievers(arm.lineage)]
    if not arms:
        return (yield from middle_full(allocation))
    chosen = max(arms, key=lambda arm: arm.model_params)
    return setting_of(allocation, chosen, USUAL_RATE / chosen.default_rate)


def oracle_at_default(allocation: Allocation, world: Shop) -> Script:
    """The arm that is truly best for the whole budget, at its default rate: what knowing the arm alone would bring."""
    yield from ()
    return setting_of(allocation, allocation.arm(world.best(allocation.budget)))


def oracle(allocation: Allocation, world: Shop) -> Script:
    """The arm that is truly best, at its best rate: no regret, by definition."""
    yield from ()
    best: Setting = world.best(allocation.budget)
    return best
