"""Trunks: which runs of a study share one run at a constant rate, and what that saves.

Runs of `schedule: wsd` that differ in nothing but the budget, with a warm-up of the same FLOP, are the same run until
the first of them begins its decay. So one trunk serves them all: it goes on at the constant rate to the start of the
last decay, and from its state at the start of each decay a branch is trained to the end of that run's budget. With the
budgets C_1 < ... < C_n and the share d of each in its decay this costs, in FLOP,

    trunk      (1 - d) C_n
    branches   d (C_1 + ... + C_n)

in place of C_1 + ... + C_n. In the order of the budgets, run i adds C_i - (1 - d) C_{i-1}: what is between the last
branching point and its own end. Source: Haegele et al. 2024, arXiv 2405.18392.
"""

import math
from collections.abc import Iterable, Sequence

from embudget.records import RunConfig

Job = tuple[RunConfig, ...]
"""Runs that are trained together: those of one trunk, cheapest first, or one run alone."""


def jobs(configs: Iterable[RunConfig]) -> list[Job]:
    """Put runs that share a trunk together; jobs in the order of their first runs."""
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
    return [tuple(sorted(job, key=lambda config: config.train_flops)) for job in found]


def own_flops(budgets: Sequence[float], decay: float) -> list[float]:
    """What each run of a trunk adds, in FLOP, given all its budgets, rising."""
    before = [0.0, *budgets[:-1]]
    return [budget - (1 - decay) * last for budget, last in zip(budgets, before, strict=True)]


def own_flops_of(configs: Iterable[RunConfig]) -> dict[str, float]:
    """The id of each run -> what it adds to the cost of them all, in FLOP."""
    return {
        config.id: flops
        for job in jobs(configs)
        for config, flops in zip(job, own_flops([run.train_flops for run in job], job[0].decay), strict=True)
    }


def _share(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs that differ only in budget and warm-up share a trunk."""
    warmups = (one.warmup * one.train_flops, other.warmup * other.train_flops)
    return one.schedule == "wsd" and math.isclose(*warmups, rel_tol=1e-9)
