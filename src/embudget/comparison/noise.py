"""The luck of training: how far runs that differ in nothing but their seed lie apart.

Two or three seeds of one setting know little of their own spread. The noise is therefore pooled over all settings of
the records that have several seeds: with n_i runs of value x in setting i, and f the logarithm for a loss (a seed
moves it by about the same share, whatever the model) and the value itself for nDCG,

    deviation^2 = sum_i sum (f(x) - mean_i)^2 / sum_i (n_i - 1)

assumption: all settings share one deviation. In our published studies it is 0.7 to 1.2 % of the loss at budgets from
6e11 FLOP, and 2 % on SmolLM2 at 1e12, where runs are of few steps (`results/yardstick/yardstick.json`).
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from embudget.records import RunConfig, RunRecord
from embudget.yardstick import Measure


class SeedNoise(NamedTuple):
    """How far one run may lie from the mean over many seeds."""

    deviation: float
    """Standard deviation of one run: a share of the loss, or of nDCG its own unit. NaN without several seeds."""
    freedom: int
    """Runs beyond the first of each setting."""
    settings: int
    """Settings with several seeds."""


def seed_noise(records: Iterable[RunRecord], of: Measure = "loss") -> SeedNoise:
    """Pool the spread of the seeds over all settings, budgets included, of the runs that ended well.

    Example:
        >>> seed_noise(store.records())
        SeedNoise(deviation=0.0117, freedom=36, settings=19)
    """
    by_setting: defaultdict[RunConfig, list[float]] = defaultdict(list)
    for record in records:
        value = getattr(record, of)
        if record.status == "done" and value is not None and (value > 0 or of == "ndcg"):
            alike = record.config.model_copy(update={"seed": 0})
            by_setting[alike].append(math.log(value) if of == "loss" else value)
    several = [values for values in by_setting.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    if not freedom:
        return SeedNoise(math.nan, 0, 0)
    squares = sum((value - sum(values) / len(values)) ** 2 for values in several for value in values)
    return SeedNoise(math.sqrt(squares / freedom), freedom, len(several))
