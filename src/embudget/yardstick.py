"""How far a held-out loss may be off because of the pairs it was measured on, and whether two models really differ.

Pairs of one group (a service, a package, a lemma) resemble each other, so that a loss over 1,000 pairs knows less than
1,000 independent ones would tell. The groups are what was sampled, so the standard error of a loss is that of a mean
over clusters, `embudget.records.standard_error`.

Two models that were measured on the same pairs are compared on the differences of each group, by the same formula.
Groups that are hard are hard for both, so the error of a difference is often much smaller than that of either loss.

A difference is more than noise where it exceeds the error by Student's quantile. Groups of very different sizes count
as fewer, as n^2 / sum n_g^2 equal ones (Kish, Survey Sampling, 1965), and the degrees of freedom are one less. Of
20,000 simulated comparisons of equal models, 95 % should be called noise: it was 93 to 97.5 % for each of six lists of
5 to 150 groups, one of which held up to half of the pairs; with G - 1 degrees of freedom it was 74 to 95 %.

What this error leaves out is the luck of training, which `embudget.compare` adds from runs with several seeds.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from embudget.errors import ConfigError
from embudget.records import GroupScore, RunConfig, standard_error

Measure = Literal["loss", "ndcg"]
"""What a group's pairs are judged by: the contrastive loss in nats, or nDCG@10, 0 to 1."""

LEVEL = 0.95
"""Share of the comparisons of equal models that is called noise."""


class MeasuredBy(NamedTuple):
    """What two losses must share to be compared. Where texts are cut is the model's own affair."""

    pairs: str
    yardstick: str
    eval_pairs: int
    eval_candidates: int
    scale: float | str
    """1 / temperature of the loss; `best` where that is the one at which it is lowest."""

    def apart(self, other: "MeasuredBy") -> str:
        """In what two of them differ."""
        told = zip(self._fields, self, other, strict=True)
        return ", ".join(f"{name} {mine} and {its}" for name, mine, its in told if mine != its)


def measured_by(config: RunConfig) -> MeasuredBy:
    """Say by what the loss of a run is measured.

    Example:
        >>> measured_by(record.config).yardstick
        'groups'
    """
    scale = config.scale if config.eval_scale == "own" else config.eval_scale
    return MeasuredBy(config.pairs, config.yardstick, config.eval_pairs, config.eval_candidates, scale)


class Difference(NamedTuple):
    """What one model measured minus what another did on the same pairs, and how far groups may have it off."""

    value: float
    """Nats for the loss, 0 to 1 for nDCG; below 0 where the first is lower."""
    error: float
    """Standard error by groups; NaN with fewer than two."""
    groups: int
    freedom: float
    """Degrees of freedom of the error: `effective_groups` minus one."""

    @property
    def nats(self) -> float:
        """The difference of two losses, by its unit."""
        return self.value

    @property
    def bound(self) -> float:
        """How large a difference of equal models gets by chance, in 95 % of the cases; NaN where that is not known."""
        return chance_bound(self.error, self.freedom)

    @property
    def is_real(self) -> bool:
        """Whether it is more than noise; never where the error is not known."""
        return abs(self.value) > self.bound


def chance_bound(error: float, freedom: float) -> float:
    """The distance from 0 that an estimate without a true value keeps with 95 %, by Student's distribution.

    Args:
        error: standard error of the estimate.
        freedom: degrees of freedom of that error; infinite for a known one.
    """
    from scipy.special import stdtrit

    if not freedom > 0 or math.isnan(error):
        return math.nan
    return error * float(stdtrit(min(freedom, 1e9), (1 + LEVEL) / 2))


def loss_error(groups: Mapping[str, GroupScore], of: Measure = "loss") -> float:
    """Standard error of a held-out loss (nats), or of the nDCG, because other groups could have been held out.

    Args:
        groups: what was measured on each, as `RunRecord.groups` has it.
        of: the loss or ndcg.

    Returns:
        NaN with fewer than two groups, as of records from before losses were kept by group.

    Example:
        >>> loss_error({"aws/s3": GroupScore(10, 3.0, 0.5), "aws/ec2": GroupScore(10, 4.0, 0.4)})
        0.5
    """
    return standard_error([one.pairs for one in groups.values()], [getattr(one, of) for one in groups.values()])


def paired_difference(
    first: Mapping[str, GroupScore], second: Mapping[str, GroupScore], of: Measure = "loss"
) -> Difference:
    """The first model's held-out loss (nats), or nDCG, minus the second's, with its error by groups.

    Args:
        first: what one model measured on each group, as `RunRecord.groups` has it.
        second: the same of the other model.
        of: the loss or ndcg.

    Raises:
        ConfigError: one of them has no groups, or they are not the same groups with as many pairs.

    Example:
        >>> a, b = {"s3": GroupScore(9, 3.0, 0.5)}, {"s3": GroupScore(9, 3.5, 0.4)}
        >>> paired_difference(a, b).nats
        -0.5
    """
    check_same_groups(first, second)
    sizes = [one.pairs for one in first.values()]
    apart = [getattr(one, of) - getattr(second[name], of) for name, one in first.items()]
    mean = sum(size * one for size, one in zip(sizes, apart, strict=True)) / sum(sizes)
    return Difference(mean, standard_error(sizes, apart), len(sizes), effective_groups(first) - 1)


def effective_groups(groups: Mapping[str, GroupScore]) -> float:
    """How many groups of one size would give the same error, n^2 / sum n_g^2; 0 without any."""
    sizes = [one.pairs for one in groups.values()]
    return sum(sizes) ** 2 / sum(size**2 for size in sizes) if sizes else 0.0


def check_same_groups(first: Mapping[str, GroupScore], second: Mapping[str, GroupScore]) -> None:
    """Refuse two measurements that were not made on the same held-out pairs.

    Raises:
        ConfigError: says how they differ.
    """
    if not first or not second:
        raise ConfigError(
            "a difference has an error only where losses were kept by group, and these runs have none: they were "
            "measured before that was done; run them again"
        )
    both = first.keys() & second.keys()
    if len(both) < len(first.keys() | second.keys()):
        raise ConfigError(
            f"both runs must be measured on the same held-out groups, got {len(first)} and {len(second)} with "
            f"{len(both)} in common: run one of them again on the pairs of the other"
        )
    if other := [name for name in first if first[name].pairs != second[name].pairs]:
        name = other[0]
        raise ConfigError(
            f"both runs must be measured on the same held-out pairs, got {first[name].pairs} and {second[name].pairs} "
            f"of group {name}: run one of them again with the eval_pairs of the other"
        )


def loss_text(loss: float, groups: Mapping[str, GroupScore], digits: int = 3) -> str:
    """A held-out loss as text, with its standard error where it is known: 3.131 ± 0.042."""
    error = loss_error(groups)
    return f"{loss:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")
