"""The luck of training: how far runs that differ in nothing but their seed lie apart.

Two or three seeds of one setting know little of their own spread. The noise is therefore pooled over all settings of
the records that have several seeds: with n_i runs of value x in setting i, and f the logarithm for a loss (a seed
moves it by about the same share, whatever the model) and the value itself for nDCG,

    deviation^2 = sum_i sum (f(x) - mean_i)^2 / sum_i (n_i - 1)

assumption: all settings share one deviation. In our published studies it is 0.7 to 1.2 % of the loss, and 2.1 % at the
lowest budget of SmolLM2, where runs are of few steps (`results/yardstick/yardstick.json`).

A part of it differs between held-out groups: one seed is better on these, another on those. The error of a difference
by groups holds that part already, and more groups shrink it. With e_i the paired error by groups between two seeds of
setting i, the part is e_i^2 / 2, and what is left is common to all groups. At least half counts as common, since few
seeds cannot show that there is less:

    common^2 = max(deviation^2 - mean of e_i^2 / 2, deviation^2 / 2)

In simulated comparisons of equal choices with 2 or 3 seeds a side and 150 groups, this calls 2 to 7 % of them different
where 5 % should be, 9 % where 2 seeds of each are all that tells the noise. Without the noise of seeds it is 4 to 54 %.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from embudget.records import RunConfig, RunRecord
from embudget.yardstick import Measure, paired_difference


class SeedNoise(NamedTuple):
    """How far one run may lie from the mean over many seeds: as a share of the loss, or for nDCG in its own unit."""

    deviation: float
    """Standard deviation of one run; NaN without several seeds."""
    by_groups: float
    """The part of it that differs between held-out groups; 0 where losses were not kept by group."""
    freedom: int
    """Runs beyond the first of each setting."""
    settings: int
    """Settings with several seeds."""

    @property
    def common(self) -> float:
        """The part that is common to all groups, which no number of groups removes; at least half of the square."""
        square = self.deviation**2
        return math.sqrt(max(square - self.by_groups**2, square / 2)) if self.freedom else math.nan


def seed_noise(records: Iterable[RunRecord], of: Measure = "loss") -> SeedNoise:
    """Pool the spread of the seeds over all settings, budgets included, of the runs that ended well.

    Example:
        >>> seed_noise(store.records()).deviation
        0.0117
    """
    by_setting: defaultdict[RunConfig, list[RunRecord]] = defaultdict(list)
    for record in records:
        value = getattr(record, of)
        if record.status == "done" and value is not None and (value > 0 or of == "ndcg"):
            by_setting[record.config.model_copy(update={"seed": 0})].append(record)
    several = [runs for runs in by_setting.values() if len(runs) > 1]
    freedom = sum(len(runs) - 1 for runs in several)
    if not freedom:
        return SeedNoise(math.nan, 0.0, 0, 0)
    squares = sum(_squares([_value(run, of) for run in runs]) for runs in several)
    by_groups = sum((len(runs) - 1) * _by_groups(runs, of) for runs in several)
    return SeedNoise(math.sqrt(squares / freedom), math.sqrt(by_groups / freedom), freedom, len(several))


def _value(run: RunRecord, of: Measure) -> float:
    value = float(getattr(run, of))
    return math.log(value) if of == "loss" else value


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _by_groups(runs: Sequence[RunRecord], of: Measure) -> float:
    """The variance of a run that differs between groups: half the mean square of the paired errors of two seeds."""
    if any(len(run.groups) < 2 or run.groups.keys() != runs[0].groups.keys() for run in runs):
        return 0.0
    errors = [paired_difference(one.groups, other.groups, of).error for one, other in combinations(runs, 2)]
    level = math.fsum(getattr(run, of) for run in runs) / len(runs) if of == "loss" else 1.0
    return math.fsum(error**2 for error in errors) / len(errors) / 2 / level**2
