"""Trunks: which runs of a study share one run at a constant rate, and what that saves.

Runs of `schedule: wsd` that differ in nothing but the budget, with a warm-up of the same FLOP, are the same run until
the first of them begins its decay. So one trunk serves them all: it goes on at the constant rate to the start of the
last decay, and from its state at the start of each decay a branch is trained to the end of that run's budget. With the
budgets C_1 < ... < C_n and the share d of each in its decay this costs, in FLOP,

    trunk      (1 - d) C_n
    branches   d (C_1 + ... + C_n)

in place of C_1 + ... + C_n. In the order of the budgets, run i adds C_i - (1 - d) C_{i-1}: what lies between the last
branching point and its own end. Source: Haegele et al. 2024, arXiv 2405.18392.
"""

import math
from collections.abc import Iterable, Sequence

from embudget.records import RunConfig

Task = tuple[RunConfig, ...]
"""Runs that are trained together: those of one trunk, cheapest first, or one run alone."""


def tasks(configs: Iterable[RunConfig]) -> list[Task]:
    """Put runs that share a trunk together; the tasks come in the order of their first runs."""
    alike: dict[RunConfig, list[list[RunConfig]]] = {}
    found: list[list[RunConfig]] = []
    for config in configs:
        trunks = alike.setdefault(config.model_copy(update={"train_flops": 1.0, "warmup": 0.0}), [])
        mine = next((trunk for trunk in trunks if _share(trunk[0], config)), None)
        if mine is not None:
            mine.append(config)
        else:
            trunks.append([config])
            found.append(trunks[-1])
    return [tuple(sorted(task, key=lambda config: config.train_flops)) for task in found]


def own_flops(budgets: Sequence[float], decay: float) -> list[float]:
    """FLOP that each run of a trunk adds, given all the trunk's budgets in rising order."""
    before = [0.0, *budgets[:-1]]
    return [budget - (1 - decay) * last for budget, last in zip(budgets, before, strict=True)]


def own_flops_of(configs: Iterable[RunConfig]) -> dict[str, float]:
    """FLOP that each run adds to the cost of them all, by its id."""
    return {
        config.id: flops
        for task in tasks(configs)
        for config, flops in zip(task, own_flops([run.train_flops for run in task], task[0].decay), strict=True)
    }


def _share(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs that differ only in budget and warm-up share a trunk."""
    warmups = (one.warmup * one.train_flops, other.warmup * other.train_flops)
    return one.schedule == "wsd" and math.isclose(*warmups, rel_tol=1e-9)
