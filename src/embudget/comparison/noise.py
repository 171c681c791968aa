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

Budgets of one trunk do not tell as much as independent settings would: seeds that were lucky until the first branched
off are so at the others too. If the deviations of two settings i and j correlate by r_ij, the squares by r_ij^2, and
with n_i - 1 = f_i the deviation has, as Satterthwaite counts,

    freedom = (sum_i f_i)^2 / sum_ij r_ij^2 min(f_i, f_j)

degrees of freedom, where r_ij is 1 for i = j, `SHARED` within a trunk and else 0.

In simulated comparisons of equal choices with 2 or 3 seeds a side and 150 groups, this calls 2 to 7 % of them different
where 5 % should be, 9 % where 2 seeds of each are all that tells the noise. Without the noise of seeds it is 4 to 54 %.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

from embudget.records import RunConfig, RunRecord
from embudget.study.trunks import tasks
from embudget.yardstick import Measure, paired_difference

SHARED = 0.5
"""Correlation of the luck of a seed at two budgets of one trunk. assumption: in our published studies it is 0.22 and
0.40 on average over all pairs of budgets (`results/micro/records.jsonl`, `results/smollm2/records.jsonl`)."""


class SeedNoise(NamedTuple):
    """How far one run may lie from the mean over many seeds: as a share of the loss, or for nDCG in its own unit."""

    deviation: float
    """Standard deviation of one run; NaN without several seeds."""
    by_groups: float
    """The part of it that differs between held-out groups; 0 where losses were not kept by group."""
    freedom: float
    """Degrees of freedom: runs beyond the first of each setting, fewer where settings share a trunk."""
    settings: int
    """Settings with several seeds."""
    runs: int
    """Runs of these settings."""

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
    several = {setting: runs for setting, runs in by_setting.items() if len(runs) > 1}
    runs = sum(map(len, several.values()))
    beyond = runs - len(several)
    if not beyond:
        return SeedNoise(math.nan, 0.0, 0.0, 0, 0)
    squares = sum(_squares([_value(run, of) for run in seeds]) for seeds in several.values())
    by_groups = sum((len(seeds) - 1) * _by_groups(seeds, of) for seeds in several.values())
    deviation, by_groups = math.sqrt(squares / beyond), math.sqrt(by_groups / beyond)
    return SeedNoise(
        deviation, by_groups, _freedom({one: len(seeds) - 1 for one, seeds in several.items()}), len(several), runs
    )


def _freedom(beyond: dict[RunConfig, int]) -> float:
    """Degrees of freedom, given each setting's runs beyond its first; see the module."""
    total = sum(beyond.values())
    shared = sum(min(beyond[one], beyond[other]) for trunk in tasks(beyond) for one, other in permutations(trunk, 2))
    return total**2 / (total + SHARED**2 * shared)


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
