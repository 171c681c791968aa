"""Which policies spend a budget beside `embudget spend`? Each by its name, all on one interface.

    spend            `embudget.spending.policy.decide`
    spend-before     the same with the constants that it had until 2026-11-30
    spend-SHARE      the same, made to search with that share of the budget
    asha             ASHA over member, method and rate, large members entering at later rungs
    tpe-hyperband    Optuna's TPE with its Hyperband pruner
    paper            the paper's grid on half the budget, then its lines
    carry-1          a small grid at the default rates, its best cell carried forward
    carry-3          the same with three rates
    largest          the largest member that takes 100 steps, by lora:32
    middle           the middle member, by full fine-tuning
    retriever        the largest existing retriever, whole, by full fine-tuning at the usual rate
    prior            what `decide` would train before it has measured anything
    oracle-default   the truly best arm at its default rate
    oracle           the truly best arm at its best rate: a check, of no regret

Rivals search with the brackets and shares that were best for them in worlds of other seeds, at each budget.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import log

from benchmarks.spend_outcomes import Policy, Shop
from benchmarks.spend_policies import asha, grids, hyperband, rules
from benchmarks.spend_policies.scripts import Bracket, Script, final, policy_of
from embudget.spending.allocation import Allocation, Decision, Measurement

RIVALS = ("asha", "tpe-hyperband", "paper", "carry-1", "carry-3", "largest", "middle", "oracle-default")
OURS = ("spend", "prior")
POLICIES = (*OURS, *RIVALS)
ASHA = {30: Bracket(0.3, 0.08, 2), 300: Bracket(0.25, 0.05, 2), 3000: Bracket(0.5, 0.05, 2)}
HYPERBAND = {
    30: Bracket(0.4, 0.1, 3), 300: Bracket(0.25, 0.03, 3), 3000: Bracket(0.4, 0.05, 2),
}  # fmt: skip
CARRY = {30: (0.35, 0.2), 300: (0.5, 0.35), 3000: (0.35, 0.35)}
"""Share of the grid with one rate, and of that with three."""


def make_policy(name: str, world: Shop, times: float) -> Policy:
    """A policy for one world with a budget of so many cheapest useful runs.

    Raises:
        KeyError: there is no policy of this name.
    """
    if name in OURS or name.startswith("spend-"):
        return _ours(name)
    nearest = nearest_tuned(times)
    scripts: dict[str, Callable[[Allocation], Script]] = {
        "asha": partial(asha.asha, bracket=ASHA[nearest]),
        "tpe-hyperband": partial(hyperband.tpe_hyperband, bracket=HYPERBAND[nearest]),
        "paper": grids.paper,
        "carry-1": partial(grids.carry, multiples=(1.0,), share=CARRY[nearest][0]),
        "carry-3": partial(grids.carry, multiples=grids.RATES, share=CARRY[nearest][1]),
        "largest": rules.largest_of_100_steps,
        "middle": rules.middle_full,
        "retriever": rules.whole_retriever,
        "oracle-default": partial(rules.oracle_at_default, world=world),
        "oracle": partial(rules.oracle, world=world),
    }
    return policy_of(scripts[name])


def nearest_tuned(times: float) -> int:
    """The budget, in cheapest useful runs, nearest to one, of those for which the rivals' brackets were tuned."""
    return min(ASHA, key=lambda one: abs(log(one / times)))


def _ours(name: str) -> Policy:
    """`decide` as it is, made to search with a share of the budget, or before it has measured anything."""
    from embudget.spending.policy import decide

    if name == "spend":
        return decide
    if name == "prior":
        return lambda allocation, measured: final(allocation, measured, decide(allocation, measured).best)
    if name == "spend-before":
        return before
    share = float(name.removeprefix("spend-"))
    return lambda allocation, measured: decide(allocation.model_copy(update={"search_share": share}), measured)


def before(allocation: Allocation, measured: Sequence[Measurement]) -> Decision:
    """`decide` as it was before FLOP had a least price and steps had to be worth three times theirs."""
    from embudget.spending import policy

    now = policy.LEAST_RATIO, policy.LEAST_SLOPE
    policy.LEAST_RATIO, policy.LEAST_SLOPE = 1.5, 1e-4
    try:
        return policy.decide(allocation, measured)
    finally:
        policy.LEAST_RATIO, policy.LEAST_SLOPE = now
