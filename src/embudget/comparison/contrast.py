"""One difference, with its two errors, and what would make it certain.

Over the same held-out pairs, A minus B in nats has two errors: other groups could have been held out (paired, see
`embudget.yardstick`), and other seeds could have been drawn. With n_A and n_B seeds, and s the deviation of one run
that is common to all groups, as a share of its loss L (`embudget.comparison.noise`),

    seed error^2 = s^2 (L_A^2 / n_A + L_B^2 / n_B),    error^2 = group error^2 + seed error^2

with the degrees of freedom that Welch and Satterthwaite give a sum of variances. The seeds of both sides are taken as
independent, although the same seed gives both the same order of pairs: that makes the error too large, if anything.
"""

import math
from collections.abc import Sequence

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.comparison.noise import SeedNoise
from embudget.frozen import Frozen
from embudget.plural import plural
from embudget.records import GroupScore, RunRecord
from embudget.yardstick import (
    Measure,
    chance_bound,
    check_same_groups,
    effective_groups,
    loss_error,
    paired_difference,
)

SURE = 2.0
"""A difference counts as resolved where its error is at most 1 / SURE of it, about Student's quantile for 95 %."""


class Tuned(Frozen):
    """One side of a comparison: a setting, averaged over its seeds."""

    model: str
    method: str
    train_flops: PositiveFloat = Field(description="budget, FLOP")
    learning_rate: PositiveFloat
    unusual: str = Field(description="hard negatives and length of texts in words, where they are not the default")
    settings: PositiveInt = Field(description="rates and other settings that were tried, of which this is the best")
    seeds: PositiveInt
    loss: NonNegativeFloat = Field(description="held-out loss, nats, mean over the seeds")
    loss_error: float | None = Field(description="its standard error by held-out groups, nats")
    ndcg: float = Field(description="held-out nDCG@10, mean over the seeds")
    ndcg_error: float | None = Field(description="its standard error by held-out groups")

    def __str__(self) -> str:
        """One line."""
        best = f" (best of {self.settings} settings)" if self.settings > 1 else ""
        return (
            f"{self.model} {self.method}{self.unusual}, rate {self.learning_rate:g}{best}, "
            f"{plural(self.seeds, 'seed')}: "
            f"{_plus_minus(self.loss, self.loss_error)} nats, nDCG@10 {_plus_minus(self.ndcg, self.ndcg_error)}"
        )


class Apart(Frozen):
    """How far two sides lie apart in one measure, A minus B."""

    difference: float = Field(description="A minus B: nats, or nDCG from 0 to 1")
    group_error: float | None = Field(description="standard error by held-out groups; None with one group")
    seed_error: float | None = Field(description="standard error by seeds; None where no setting has several")
    error: float | None = Field(description="both together, or the one that is known")
    bound: float | None = Field(description="equal models would differ by less than this in 95 % of the cases")
    more_than_noise: bool = Field(description="whether the difference exceeds the bound")

    @property
    def error_unsure(self) -> bool:
        """Whether the error is small enough, but known from too little to call the difference more than noise."""
        return self.error is not None and not self.more_than_noise and abs(self.difference) >= SURE * self.error


class Contrast(Frozen):
    """Two sides at their budgets, and what is known of their difference."""

    first: Tuned = Field(description="A")
    second: Tuned = Field(description="B")
    groups: PositiveInt = Field(description="held-out groups that both were measured on")
    effective_groups: PositiveFloat = Field(description="groups of equal size that would tell as much")
    loss: Apart = Field(description="held-out loss, nats")
    percent: float = Field(description="difference of the losses in per cent of B's")
    ndcg: Apart = Field(description="held-out nDCG@10")
    noise_settings: int = Field(ge=0, description="settings with several seeds, by which the noise of a run is known")
    groups_to_resolve: PositiveInt | None = Field(
        description="groups with which the seeds at hand would tell this difference from noise; None: no number would"
    )
    seeds_to_resolve: PositiveInt | None = Field(
        description="seeds a side with which the groups at hand would tell it from noise; None: no number would"
    )

    def __str__(self) -> str:
        """Five lines: the sides, their differences, and what follows."""
        budgets = [self.first.train_flops, self.second.train_flops]
        at = " and ".join(dict.fromkeys(f"{budget:.3g}" for budget in budgets))
        loss, ndcg = self.loss, self.ndcg
        return "\n".join(
            [
                f"A  {self.first}",
                f"B  {self.second}",
                f"A - B at {at} FLOP: {_plus_minus(loss.difference, loss.error, '+')} nats ({self.percent:+.1f} %)"
                f" over {plural(self.groups, 'group')}; {_errors(loss, self.noise_settings)}",
                f"nDCG@10: {_plus_minus(ndcg.difference, ndcg.error, '+')}"
                f"{', more than noise' if ndcg.more_than_noise else ', no more than noise'}",
                self._verdict(),
            ]
        )

    def _verdict(self) -> str:
        """Whether the difference is real, and what would help."""
        if self.loss.bound is None:
            return "Unknown whether it is more than noise: one group has no error. Measure on more groups."
        by_groups = "" if self.loss.seed_error is not None else " of the groups; that of seeds is not known"
        chance = f"equal models differ by up to {self.loss.bound:.3f} nats in 95 % of the cases"
        if self.loss.more_than_noise:
            return f"More than noise{by_groups}: {chance}. {self._halving()}"
        return f"No more than noise{by_groups}: {chance}. {self._resolving()}"

    def _halving(self) -> str:
        """What halves the error."""
        harmonic = 2 / (1 / self.first.seeds + 1 / self.second.seeds)  # as many on both sides would be as certain
        groups, seeds = 4 * self.groups, math.ceil(4 * harmonic)
        if self.loss.seed_error is None or not self.loss.error:
            return f"{groups:,} groups would halve the error."
        share = 100 * (self.loss.seed_error / self.loss.error) ** 2
        return (
            f"Seeds are {share:.0f} % of the error's square, groups the rest; {groups:,} groups and {seeds} seeds a "
            "side would halve it."
        )

    def _resolving(self) -> str:
        """What would tell a difference of this size from noise."""
        if not self.loss.difference:
            return "No number of groups or seeds tells two equal losses apart."
        assert self.loss.error is not None
        if self.loss.error_unsure:
            return (
                f"It is {abs(self.loss.difference) / self.loss.error:.1f} times its error, but that error is known too "
                "badly: give more settings several seeds, or measure on more groups."
            )
        ways = [plural(self.groups_to_resolve, "group")] if self.groups_to_resolve else []
        ways += [f"{plural(self.seeds_to_resolve, 'seed')} a side"] if self.seeds_to_resolve else []
        if ways:
            return f"To resolve this difference takes about {' or '.join(ways)}."
        times = (SURE * self.loss.error / self.loss.difference) ** 2
        return f"To resolve this difference takes about {times:.2g} times as many groups and as many seeds."


def contrast(
    first: Sequence[RunRecord], second: Sequence[RunRecord], settings: tuple[int, int], noises: dict[Measure, SeedNoise]
) -> Contrast:
    """Set the seeds of one setting against those of another.

    Args:
        first: the runs of side A, which differ in nothing but their seed.
        second: those of side B.
        settings: how many settings of either side were tried.
        noises: the luck of training, for the loss and for nDCG.

    Raises:
        ConfigError: the runs were not measured on the same held-out groups.
    """
    means = mean_groups(first), mean_groups(second)
    sides = [_tuned(runs, mean, count) for runs, mean, count in zip((first, second), means, settings, strict=True)]
    loss, ndcg = (_apart(means, (len(first), len(second)), of, noises[of]) for of in ("loss", "ndcg"))
    groups, seeds = _to_resolve(loss, len(means[0]), (len(first), len(second)), (sides[0].loss, sides[1].loss))
    return Contrast(
        first=sides[0],
        second=sides[1],
        groups=len(means[0]),
        effective_groups=effective_groups(means[0]),
        loss=loss,
        percent=100 * loss.difference / sides[1].loss if sides[1].loss else 0.0,
        ndcg=ndcg,
        noise_settings=noises["loss"].settings,
        groups_to_resolve=groups,
        seeds_to_resolve=seeds,
    )


def mean_groups(runs: Sequence[RunRecord]) -> dict[str, GroupScore]:
    """The mean over several runs of what was measured on each group.

    Raises:
        ConfigError: they were not measured on the same groups.
    """
    for run in runs[1:]:
        check_same_groups(runs[0].groups, run.groups)
    return {
        name: GroupScore(
            one.pairs,
            math.fsum(run.groups[name].loss for run in runs) / len(runs),
            math.fsum(run.groups[name].ndcg for run in runs) / len(runs),
        )
        for name, one in runs[0].groups.items()
    }


def _tuned(runs: Sequence[RunRecord], groups: dict[str, GroupScore], settings: int) -> Tuned:
    config = runs[0].config
    return Tuned(
        model=config.model,
        method=config.method,
        train_flops=config.train_flops,
        learning_rate=config.learning_rate,
        unusual=config.unusual,
        settings=settings,
        seeds=len(runs),
        loss=math.fsum(run.loss or 0.0 for run in runs) / len(runs),
        loss_error=_known(loss_error(groups)),
        ndcg=math.fsum(run.ndcg or 0.0 for run in runs) / len(runs),
        ndcg_error=_known(loss_error(groups, "ndcg")),
    )


def _apart(
    means: tuple[dict[str, GroupScore], dict[str, GroupScore]], seeds: tuple[int, int], of: Measure, noise: SeedNoise
) -> Apart:
    """The difference in one measure with its errors."""
    paired = paired_difference(*means, of)
    group_error, seed_error = paired.error, math.nan
    if noise.freedom:
        levels = [_mean(groups) if of == "loss" else 1.0 for groups in means]
        seed_error = noise.common * math.sqrt(sum(x**2 / n for x, n in zip(levels, seeds, strict=True)))
    parts = [(group_error, paired.freedom), (seed_error, noise.freedom)]
    known = [(error, freedom) for error, freedom in parts if not math.isnan(error)]
    error = math.hypot(*(error for error, _ in known)) if known else math.nan
    fourth = sum(error**4 / freedom for error, freedom in known)
    bound = chance_bound(error, error**4 / fourth if fourth else math.inf)
    if math.isnan(group_error):  # seeds alone know nothing of the groups
        bound = math.nan
    return Apart(
        difference=paired.value,
        group_error=_known(group_error),
        seed_error=_known(seed_error),
        error=_known(error),
        bound=_known(bound),
        more_than_noise=abs(paired.value) > bound,
    )


def _to_resolve(
    loss: Apart, groups: int, seeds: tuple[int, int], losses: tuple[float, float]
) -> tuple[int | None, int | None]:
    """How many groups, at these seeds, and how many seeds a side, on these groups, a difference of this size takes."""
    if loss.group_error is None or not loss.difference or loss.error_unsure:
        return None, None
    allowed, by_groups = (loss.difference / SURE) ** 2, loss.group_error**2
    by_seeds = (loss.seed_error or 0.0) ** 2
    more_groups = math.ceil(groups * by_groups / (allowed - by_seeds)) if by_seeds < allowed else None
    if not by_seeds or by_groups >= allowed:
        return max(1, more_groups) if more_groups is not None else None, None
    of_one = by_seeds * sum(x**2 for x in losses) / sum(x**2 / n for x, n in zip(losses, seeds, strict=True))
    return max(1, more_groups) if more_groups is not None else None, max(1, math.ceil(of_one / (allowed - by_groups)))


def _errors(loss: Apart, settings: int) -> str:
    """Where the error of a difference comes from."""
    groups = "not known from groups" if loss.group_error is None else f"{loss.group_error:.3f} from groups"
    if loss.seed_error is None:
        return f"its error is {groups}, and not known from seeds: no setting of these runs has several"
    return f"its error is {groups} and {loss.seed_error:.3f} from seeds ({plural(settings, 'setting')} with several)"


def _mean(groups: dict[str, GroupScore]) -> float:
    return sum(one.pairs * one.loss for one in groups.values()) / sum(one.pairs for one in groups.values())


def _plus_minus(value: float, error: float | None, sign: str = "") -> str:
    return f"{value:{sign}.3f}" + ("" if error is None else f" ± {error:.3f}")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
