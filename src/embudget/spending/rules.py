"""What would a rule of thumb have trained with the whole budget, without a search?

Two rules that people go by, for the ledger to hold a search against. Each trains one arm at its method's default rate:

    largest     the largest member that takes 100 steps by LoRA of rank 32, since larger models learn from fewer tokens
    middle      the middle one of the members that the budget can train, by full fine-tuning, which needs no thought
                about adapters
"""

from typing import NamedTuple

from embudget.spending.allocation import Allocation, Arm, Setting

STEPS = 100
"""Optimiser steps that the rule of the largest member wants."""


class RuleOfThumb(NamedTuple):
    """A rule, and what it trains to the end of the budget."""

    name: str
    setting: Setting


def rules_of_thumb(allocation: Allocation) -> list[RuleOfThumb]:
    """The rules that a budget and its arms allow; none where neither lora:32 nor full is among them.

    Example:
        >>> [rule.name for rule in rules_of_thumb(allocation)]
        ['largest member of 100 steps by lora:32', 'middle member by full']
    """
    batch = min(allocation.batch_sizes)
    adapted = [arm for arm in allocation.arms if arm.method == "lora:32"]
    able = [arm for arm in adapted if _steps(allocation, arm, batch) >= STEPS]
    whole = sorted(
        (arm for arm in allocation.arms if arm.method == "full" and _pays(allocation, arm, batch)), key=_size
    )
    found = []
    if able:
        largest = max(able, key=_size)
        found.append(RuleOfThumb(f"largest member of {STEPS} steps by lora:32", _setting(allocation, largest, batch)))
    if whole:
        middle = whole[len(whole) // 2]
        found.append(RuleOfThumb("middle member by full", _setting(allocation, middle, batch)))
    return found


def _pays(allocation: Allocation, arm: Arm, batch: int) -> bool:
    """Whether the budget pays for the shortest run of an arm that teaches anything."""
    return allocation.paid_final(arm, allocation.budget) >= allocation.least(arm, batch)


def _size(arm: Arm) -> tuple[int, str]:
    return arm.model_params, arm.model


def _steps(allocation: Allocation, arm: Arm, batch: int) -> float:
    return arm.tokens(allocation.paid_final(arm, allocation.budget)) / (allocation.tokens_per_pair * batch)


def _setting(allocation: Allocation, arm: Arm, batch: int) -> Setting:
    return Setting(
        model=arm.model,
        method=arm.method,
        learning_rate=arm.default_rate,
        batch_size=batch,
        negatives=min(allocation.negatives),
        seed=allocation.seed,
    )
