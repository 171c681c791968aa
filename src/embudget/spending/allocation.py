"""What does a budget have to decide? Arms, as of a bandit, and the runs of them that it can buy, one step at a time.

A *setting* is an arm with all that a run needs but its budget. Runs of one setting share a trunk: a run at a
constant rate, from which each branches off for its decay, the last share d of its budget (`embudget.study.trunks`). So
extending a setting that was measured at C_1 to C_2 costs

    C_2 - (1 - d) C_1        what lies between the last branching point and the new end

and a smaller budget than the last cannot be had from the same trunk. The *search* is all that was bought before the
final run, which goes on from its setting's trunk where there is one, and spends what is left.

A budget is of algorithmic FLOP or of seconds (`Allocation.unit`). Runs are sized in FLOP either way, but what one
*costs* is in the budget's unit: of seconds, a small model that reaches a fifth of the peak is charged for five times as
many as its FLOP would take at the peak, and every run pays for loading and for being measured.

This module holds values alone. A policy decides by them, whether the runs are real (`embudget spend`), simulated or
replayed from a table (`benchmarks/spend.py`).
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.frozen import Frozen
from embudget.limits import BatchSize, Count, Flops, Negatives, Rate
from embudget.means import Unit
from embudget.records import MethodText

DECAY = 0.2
"""Share of each run's budget in which its rate falls."""


class Arm(Frozen):
    """A member with a method: one of the things that the whole budget could train, an arm as of a bandit."""

    model: str = Field(description="the member's name, as smollm2-135m:8")
    method: MethodText = Field(description="full, freeze:F, bias or lora:R")
    lineage: str = Field(description="family and kind of start, which share a law")
    model_params: Count = Field(description="N, without embeddings")
    flops_per_token: PositiveFloat = Field(description="algorithmic FLOP of training on one token")
    default_rate: Rate = Field(description="the method's default peak rate on this member")
    base_loss: float | None = Field(default=None, description="held-out loss before training, nats, where it is known")
    seconds_per_flop: PositiveFloat | None = Field(
        default=None, description="of training, measured or estimated on this machine; None where it is not known"
    )
    seconds_per_run: NonNegativeFloat = Field(
        default=0.0, description="of loading the member and of measuring it on the held-out pairs, whatever it trains"
    )

    def tokens(self, train_flops: float) -> float:
        """D, the tokens that so many FLOP buy."""
        return train_flops / self.flops_per_token


class Setting(Frozen):
    """An arm with its rate, batch, negatives and seed: what runs of one trunk have in common."""

    model: str
    method: MethodText
    learning_rate: Rate = Field(description="peak rate")
    batch_size: BatchSize = Field(description="pairs a step")
    negatives: Negatives = Field(default=0, description="hard negatives of each pair")
    seed: int = Field(default=0, ge=0)


class Allocation(Frozen):
    """One budget, and what it may be spent on."""

    budget: Flops = Field(description="C, of search and final run together, in the unit below")
    unit: Unit = Field(
        default="FLOP", description="what the budget counts: algorithmic FLOP, or seconds of one device of this machine"
    )
    arms: tuple[Arm, ...] = Field(min_length=1)
    batch_sizes: tuple[BatchSize, ...] = Field(min_length=1, description="pairs a step that may be tried")
    negatives: tuple[Negatives, ...] = Field(default=(0,), min_length=1, description="numbers that may be tried")
    tokens_per_pair: PositiveFloat = Field(description="mean non-pad tokens of a query and its positive")
    training_pairs: PositiveInt | None = Field(default=None, description="distinct pairs; None for as many as wanted")
    min_steps: PositiveInt = Field(default=10, description="fewest steps of a run that teaches anything")
    search_share: float | None = Field(
        default=None, gt=0, lt=1, description="share of the budget for the search; None leaves it to the policy"
    )
    max_runs: PositiveInt | None = Field(default=None, description="runs of the search at most")
    workers: PositiveInt = Field(default=1, description="runs that can be trained at the same time")
    final_speedup: PositiveFloat = Field(
        default=1.0,
        description="how many times as fast as one device all of them train the final run, by a typical arm",
    )
    seed: int = Field(default=0, ge=0, description="of the policy's own draws, so that a killed search goes on alike")

    @model_validator(mode="after")
    def _seconds_are_known(self) -> Self:
        if self.unit == "seconds" and (unknown := [one for one in self.arms if one.seconds_per_flop is None]):
            raise ValueError(
                f"arms: a budget in seconds needs seconds_per_flop of {unknown[0].model} {unknown[0].method}"
            )
        return self

    def arm(self, setting: Setting) -> Arm:
        """The arm of a setting."""
        return next(one for one in self.arms if (one.model, one.method) == (setting.model, setting.method))

    def least(self, arm: Arm, batch_size: int) -> float:
        """FLOP of the shortest run of an arm that teaches anything."""
        return self.min_steps * batch_size * self.tokens_per_pair * arm.flops_per_token

    def charged(self, arm: Arm, flops: float, speedup: float = 1.0) -> float:
        """What one run of an arm takes of the budget, in its unit, if it trains with so many FLOP.

        Several devices train it ``speedup`` times as fast as one.
        """
        if arm.seconds_per_flop is None or self.unit == "FLOP":
            return flops
        return arm.seconds_per_run + flops * arm.seconds_per_flop / speedup

    def paid(self, arm: Arm, amount: float, speedup: float = 1.0) -> float:
        """FLOP that one run of an arm trains with for so much of the budget; 0 where that does not pay for loading."""
        if arm.seconds_per_flop is None or self.unit == "FLOP":
            return amount
        return max(0.0, amount - arm.seconds_per_run) / arm.seconds_per_flop * speedup

    def paid_final(self, arm: Arm, amount: float) -> float:
        """FLOP that a final run of an arm trains with for so much of the budget."""
        return self.paid(arm, amount, self.final_speedup)

    def final_cost(self, setting: Setting, train_flops: float, measured: "Iterable[Measurement]" = ()) -> float:
        """What a final run of a setting adds to what was spent, in the budget's unit, given what was bought before."""
        return self.charged(self.arm(setting), cost_of(setting, train_flops, measured), self.final_speedup)

    def longest_final(self, setting: Setting, amount: float, measured: "Iterable[Measurement]" = ()) -> float:
        """FLOP of the longest final run of a setting that so much of the budget buys, given what was bought before."""
        return longest(setting, self.paid_final(self.arm(setting), amount), measured)


class Purchase(Frozen):
    """A run that was decided: a setting, trained to a budget of its own."""

    setting: Setting
    train_flops: Flops = Field(description="the run's whole budget, from the first step of its trunk, FLOP")
    cost: NonNegativeFloat = Field(
        description="what it adds to what was spent, in the budget's unit (`Allocation.charged`): less, where its "
        "setting has a trunk; nothing, where it was measured before"
    )
    purpose: Literal["search", "final"] = "search"
    why: str = Field(default="", description="what it is to tell, or why it is the final one, for the screen")


class Measurement(NamedTuple):
    """What came of a purchase."""

    purchase: Purchase
    loss: float | None
    """Held-out loss, nats; None where it failed."""
    error: float = 0.0
    """Standard error of the loss by the held-out pairs, nats; 0 where it is unknown."""
    status: Literal["done", "diverged", "failed"] = "done"
    resumable: bool = True
    """Whether its trunk's state is kept, so that a longer run of its setting goes on from it and costs less."""


class Decision(Frozen):
    """What to do next: runs to train at the same time, or the final ones; and what is believed at this point."""

    round: int = Field(
        default=0,
        ge=0,
        description="how many decisions came before; set by who logs them, since a policy knows measurements alone",
    )
    purchases: tuple[Purchase, ...] = Field(description="of the search, or final; the more promising first")
    best: Setting = Field(description="what would be trained to the end now")
    probability: float = Field(ge=0, le=1, description="that no other arm ends lower by more than 0.5 %")
    expected_loss: float = Field(description="of the final run, if it began now, nats")
    interval: tuple[float, float] = Field(description="of it, with 90 %")
    standings: tuple[tuple[str, str, float, float], ...] = Field(
        description="model, method, probability to be best and expected final loss of the leading arms"
    )
    why: str = Field(default="", description="why these and not others, in words for the screen")

    @property
    def final(self) -> bool:
        """Whether the search is over."""
        return any(one.purpose == "final" for one in self.purchases)


def trunk_of(setting: Setting, measured: Iterable[Measurement]) -> float:
    """The budget of the last run of a setting's trunk, from which a longer one can go on, FLOP; 0 if there is none."""
    of_it = (one.purchase.train_flops for one in measured if one.resumable and one.purchase.setting == setting)
    return max(of_it, default=0.0)


def cost_of(setting: Setting, train_flops: float, measured: Iterable[Measurement]) -> float:
    """FLOP that a run of a setting adds, given what was bought before.

    Where a budget may be of seconds, use `Allocation.final_cost`, which is in its unit.

    Example:
        >>> setting = Setting(model="smollm2-135m:2", method="full", learning_rate=1e-3, batch_size=16)
        >>> cost_of(setting, 4e12, ())
        4000000000000.0
    """
    return added(train_flops, trunk_of(setting, measured))


def longest(setting: Setting, flops: float, measured: Iterable[Measurement]) -> float:
    """FLOP of the longest run of a setting that so many further FLOP buy.

    Where a budget may be of seconds, use `Allocation.longest_final`, which is in its unit.
    """
    return reached(flops, trunk_of(setting, measured))


def added(train_flops: float, trunk: float) -> float:
    """FLOP that a run adds to a trunk whose last run was of ``trunk`` FLOP; a shorter run has to begin anew."""
    return train_flops - (1 - DECAY) * trunk if trunk <= train_flops else train_flops


def reached(flops: float, trunk: float) -> float:
    """FLOP of the run that so many further FLOP buy on such a trunk, or without it where they do not reach its end."""
    return flops + (1 - DECAY) * trunk if flops + (1 - DECAY) * trunk >= trunk else flops


def spent(measured: Iterable[Measurement]) -> float:
    """What was spent of the budget, in its unit."""
    return sum(one.purchase.cost for one in measured)
