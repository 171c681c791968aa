"""What does successive halving make of one budget? ASHA over member, method and rate, with the bracket that fits best.

Rungs are budgets R / 4^k, ..., R / 4, R of one run, the same FLOP for every member. A configuration is an arm drawn
evenly, at a rate drawn log-uniformly within 1.5 e-folds of the default; it enters at the lowest rung at which its arm
takes the fewest useful steps, so that large members enter late instead of not at all. Whenever a configuration is among
the best quarter of its rung it is promoted, else a new one is drawn (Li et al. 2020, algorithm 2, for one worker). A
promotion extends the run's trunk. When the search's share is spent, the best of the highest rung trains to the end.
"""

from collections.abc import Iterator
from math import exp, inf

import numpy as np

from benchmarks.spend_policies.scripts import REACH, Bracket, Script, loss_of, setting_of, trainable
from embudget.spending.allocation import Allocation, Setting, spent

ETA = 4


def asha(allocation: Allocation, bracket: Bracket) -> Script:
    """Search by asynchronous successive halving, then train the best of the highest rung."""
    budgets = [bracket.top * allocation.budget / ETA**k for k in range(bracket.rungs - 1, -1, -1)]
    losses: list[dict[Setting, float]] = [{} for _ in budgets]
    promoted: list[set[Setting]] = [set() for _ in budgets]
    drawn = _configurations(allocation, budgets)
    count = -1
    setting, rung = next(drawn)
    while True:
        measured = yield [(setting, budgets[rung])]
        if len(measured) == count:  # nothing more can be paid for
            break
        count = len(measured)
        losses[rung][setting] = loss_of(measured[-1])
        if spent(measured) >= bracket.share * allocation.budget:
            break
        setting, rung = _promotion(losses, promoted) or next(drawn)
    highest = next((one for one in reversed(losses) if one and min(one.values()) < inf), None)
    return min(highest, key=highest.__getitem__) if highest else setting


def _configurations(allocation: Allocation, budgets: list[float]) -> Iterator[tuple[Setting, int]]:
    """New configurations, each with the rung that it enters at."""
    rng = np.random.default_rng([allocation.seed, 3])
    batch = allocation.batch_sizes[0]
    able = trainable(allocation, budgets[-1])
    while True:
        arm = able[int(rng.integers(len(able)))]
        setting = setting_of(allocation, arm, exp(rng.uniform(-REACH, REACH)))
        long_enough = [place for place, flops in enumerate(budgets) if flops >= allocation.least(arm, batch)]
        yield setting, min(long_enough, default=len(budgets) - 1)


def _promotion(losses: list[dict[Setting, float]], promoted: list[set[Setting]]) -> tuple[Setting, int] | None:
    """A configuration among the best quarter of its rung, which goes on to the next; the highest rung first."""
    for rung in range(len(losses) - 2, -1, -1):
        ranked = sorted(losses[rung], key=losses[rung].__getitem__)
        for setting in ranked[: len(ranked) // ETA]:
            if setting not in promoted[rung] and losses[rung][setting] < inf:
                promoted[rung].add(setting)
                return setting, rung + 1
    return None
