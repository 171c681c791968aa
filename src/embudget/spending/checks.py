"""Can a budget buy anything at all, and do its limits leave room for it? Asked before anything is trained."""

import math
from collections.abc import Callable

from embudget.errors import BudgetError, ConfigError, PairsError
from embudget.spending.allocation import Allocation, Arm
from embudget.spending.changes import named

MOST_KEPT = 64
_TRIES = 60


def check_caps(search_share: float | None, max_runs: int | None, keep: int) -> None:
    """Refuse limits that contradict each other or leave nothing to search with.

    Raises:
        ConfigError: says which, and what to do.
    """
    if max_runs is not None and max_runs < 1:
        beside = "" if search_share is None else f", and search_share={search_share:g} asks for a search"
        raise ConfigError(
            f"max_runs must be >= 1, got {max_runs}{beside}: without a search, use `embudget recipe` and `train`"
        )
    if search_share is not None and not 0 < search_share < 1:
        raise ConfigError(f"search_share must be > 0 and < 1, got {search_share:g}: the rest trains the final model")
    if not 1 <= keep <= MOST_KEPT:
        raise ConfigError(f"keep must be 1 to {MOST_KEPT}, got {keep}")


def check_affordable(allocation: Allocation, keep: int, batch_at: Callable[[float], int] | None = None) -> None:
    """Refuse a budget that buys no run of any arm, or not as many final runs as are to be kept.

    Args:
        allocation: the budget and its arms.
        keep: final runs, which share what the search leaves.
        batch_at: the batch size that a budget in FLOP has, where it grows with the budget.

    Raises:
        BudgetError: names the least budget that works.
        ConfigError: fewer final runs fit.
        PairsError: there are fewer pairs than the shortest run takes.
    """
    batch = min(allocation.batch_sizes)
    cheapest = min(allocation.arms, key=lambda arm: _shortest(allocation, arm, batch))
    price = _shortest(allocation, cheapest, batch)
    arm = named(cheapest.model, cheapest.method)
    if allocation.unit == "seconds" and allocation.budget <= min(one.seconds_per_run for one in allocation.arms):
        quickest = min(one.seconds_per_run for one in allocation.arms)
        raise BudgetError(
            f"hours must pay for more than loading and measuring a model, {_amount(allocation, quickest)}, got "
            f"{_amount(allocation, allocation.budget)}: the least that works is {_amount(allocation, 2 * price)}"
        )
    if allocation.budget < 2 * price:
        least = _least(allocation, cheapest, batch_at) if batch_at and allocation.unit == "FLOP" else 2 * price
        raise BudgetError(
            f"{'budget' if allocation.unit == 'FLOP' else 'hours'} must pay for a run of the search and the final one, "
            f"each of {allocation.min_steps} steps, got "
            f"{_amount(allocation, allocation.budget)}: the least that works is {_amount(allocation, least)}, by {arm}"
        )
    pairs = allocation.min_steps * batch
    if allocation.training_pairs is not None and allocation.training_pairs < pairs:
        raise PairsError(
            f"pairs must have at least {pairs:,} to train on, {allocation.min_steps} steps of {batch}, got "
            f"{allocation.training_pairs:,}: give more pairs or a smaller batch_size"
        )
    share = 0.0 if allocation.search_share is None else allocation.search_share
    fit = int((1 - share) * allocation.budget / price)
    if allocation.search_share is not None and share * allocation.budget < price:
        raise ConfigError(
            f"search_share must pay for a run, {_amount(allocation, price)} with {arm}, got {share:g} of "
            f"{_amount(allocation, allocation.budget)}: give at least {_up(price / allocation.budget):g}"
        )
    if keep > fit:
        raise ConfigError(
            f"keep must be at most {fit}, the final runs of {_amount(allocation, price)} that fit beside the search, "
            f"got {keep}"
        )


def _shortest(allocation: Allocation, arm: Arm, batch: int) -> float:
    return allocation.charged(arm, allocation.least(arm, batch))


def _least(allocation: Allocation, arm: Arm, batch_at: Callable[[float], int]) -> float:
    """The least budget that pays for two of an arm's shortest runs, whose batch grows with the budget."""
    budget = 2 * allocation.least(arm, min(allocation.batch_sizes))
    for _ in range(_TRIES):
        needed = 2 * allocation.least(arm, batch_at(budget))
        if needed <= budget:
            break
        budget = needed
    return budget


def _up(value: float) -> float:
    """Two digits, rounded up, so that the value itself is enough."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit * (1 - 1e-12)) * unit


def _amount(allocation: Allocation, cost: float) -> str:
    """A cost for a reader, as 2.1e+12 FLOP or 0.02 hours."""
    if allocation.unit == "FLOP":
        return f"{_up(cost):.2g} FLOP"
    return f"{_up(cost / 3600):.2g} hours"
