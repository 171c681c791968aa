"""The learning rate as a function of the share of the budget that is spent.

    warm-up     s / w                                0 <= s < w
    cosine      (1 + cos(pi (s - w) / (1 - w))) / 2  w <= s <= 1

with s the share and w the warm-up's share. Because texts differ in length, a step's number says little of the budget;
the share spent in tokens does. The rate of a step is taken at the middle of the step, so that a run of few steps
neither wastes its first one at rate 0 nor its last. Source: Loshchilov and Hutter 2017, without restarts.
"""

import math


def cosine(share: float, warmup: float) -> float:
    """Factor on the peak learning rate at a share of the budget; beyond the whole budget it stays 0."""
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / (1 - warmup))))
