"""The learning rate as a function of the share of the budget that is spent.

    warm-up     s / w                                0 <= s < w
    cosine      (1 + cos(pi (s - w) / (1 - w))) / 2  w <= s <= 1
    wsd         1                                    w <= s < 1 - d
                1 - sqrt((s - (1 - d)) / d)          1 - d <= s <= 1

with s the share, w the warm-up's share and d the decay's. Texts differ in length, so the share is counted in tokens and
not in steps. The rate of a step is taken at the middle of the step, so that a run of few steps wastes neither its first
step nor its last at rate 0. Up to 1 - d of its budget a run of wsd does not depend on how large the budget is, as long
as its warm-up is the same number of FLOP: runs of all budgets can share that part. Sources: cosine is Loshchilov and
Hutter 2017, without restarts; wsd with the decay "1-sqrt" is Haegele et al. 2024, arXiv 2405.18392.
"""

import math
from collections.abc import Callable

from embudget.records import RunConfig


def cosine(share: float, warmup: float) -> float:
    """Factor on the peak learning rate at a share of the budget. Beyond the whole budget it stays 0."""
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))


def wsd(share: float, warmup: float, decay: float) -> float:
    """Factor on the peak rate: constant after the warm-up, then falling to 0 in the last ``decay`` of the budget."""
    if share < warmup:
        return share / warmup
    return 1.0 - math.sqrt(min(1.0, max(0.0, (share - (1.0 - decay)) / decay)))


def factor_of(config: RunConfig) -> Callable[[float], float]:
    """The schedule of a run, a function of the share of its budget that is spent."""
    if config.schedule == "cosine":
        return lambda share: cosine(share, config.warmup)
    return lambda share: wsd(share, config.warmup, config.decay)
