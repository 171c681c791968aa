"""How well does a policy spend one budget in one world? Its runs, and the regret of its final model by cause.

total regret = (true loss of the final model - L(C)) / L(C),    L(B) = lowest true loss of any arm at its best rate
by search    (L(B) - L(C)) / L(C), B being the budget of the final run: FLOP that did not go into it
by choice    (true loss of the arm at its best rate - L(B)) / L(C)
by rate      the rest: what the final rate costs
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from embudget.spending.allocation import Allocation, Decision, Measurement, Purchase, Setting, cost_of, spent

Policy = Callable[[Allocation, Sequence[Measurement]], Decision]
"""What to buy next, by what was measured alone: a pure function, as `embudget.spending.policy.decide` is."""
MOST_ROUNDS = 2000
ROUNDING = 1e-6


class SoldOutError(Exception):
    """A replay has nothing left that can be bought."""


class Shop(Protocol):
    """A world, simulated or replayed."""

    @property
    def allocation(self) -> Allocation:
        """The budget, and what it may be spent on."""

    def measure(self, purchase: Purchase, measured: Sequence[Measurement] = ()) -> Measurement:
        """Train, or look the run up."""

    def true_loss(self, setting: Setting, train_flops: float) -> float:
        """The loss of a run without its noise, nats."""

    def best_setting(self, setting: Setting, train_flops: float) -> Setting:
        """The same arm at its best rate for a run of so many FLOP."""

    def best(self, train_flops: float) -> Setting:
        """The arm with the lowest true loss at its best rate."""

    def lowest(self, train_flops: float) -> float:
        """The lowest true loss of any arm at its best rate, nats."""


class Outcome(NamedTuple):
    """What came of one budget; regrets as shares of the lowest loss."""

    regret: float
    by_search: float
    by_choice: float
    by_rate: float
    searched: float
    """Share of the budget that went into the search."""
    runs: int
    """Runs that the search bought."""
    held: bool | None
    """Whether the interval holds the measured loss of the final run; None where the policy states none."""
    seconds: float
    """Time that all its decisions took together."""
    final: str
    diverged: bool


def spend(world: Shop, policy: Policy) -> Outcome:
    """Let a policy spend a world's budget to the end.

    Raises:
        AssertionError: the policy buys more than its budget, misstates a price, or never comes to an end.
    """
    allocation, measured, seconds = world.allocation, list[Measurement](), 0.0
    for _ in range(MOST_ROUNDS):
        started = time.perf_counter()
        decision = policy(allocation, tuple(measured))
        seconds += time.perf_counter() - started
        searched = spent(measured)
        bought, asked = [], list(measured)
        for purchase in decision.purchases:
            price = cost_of(purchase.setting, purchase.train_flops, asked)
            assert abs(purchase.cost / price - 1) < ROUNDING, f"{purchase} costs {price:.6g}"
            assert spent(asked) + price <= allocation.budget * (1 + ROUNDING), f"{purchase} is too dear"
            asked.append(Measurement(purchase, None))
            try:
                bought.append(world.measure(purchase, measured))
            except SoldOutError:
                allocation = allocation.model_copy(update={"max_runs": max(1, len(measured))})
                break
            measured.append(bought[-1])
        if decision.final:
            return _outcome(world, decision, bought, len(measured) - len(bought), searched, seconds)
        assert decision.purchases, "the policy neither buys nor ends"
    raise AssertionError(f"no final run after {MOST_ROUNDS} rounds")


def _outcome(
    world: Shop, decision: Decision, finals: Sequence[Measurement], runs: int, searched: float, seconds: float
) -> Outcome:
    """The regret of the final run with the lowest measured loss."""
    final = min(finals, key=lambda one: one.loss if one.loss is not None else float("inf"))
    setting, flops = final.purchase.setting, final.purchase.train_flops
    lowest, left = world.lowest(world.allocation.budget), world.lowest(flops)
    true, tuned = world.true_loss(setting, flops), world.true_loss(world.best_setting(setting, flops), flops)
    low, high = decision.interval
    return Outcome(
        regret=true / lowest - 1,
        by_search=(left - lowest) / lowest,
        by_choice=(tuned - left) / lowest,
        by_rate=(true - tuned) / lowest,
        searched=searched / world.allocation.budget,
        runs=runs,
        held=low <= final.loss <= high if final.loss is not None and low < high else None,
        seconds=seconds,
        final=f"{setting.model} {setting.method}",
        diverged=final.loss is None,
    )


def row_of(outcome: Outcome) -> dict[str, Any]:
    """The outcome as a row of the results, rounded to what can be read."""
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in outcome._asdict().items()}
