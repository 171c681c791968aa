"""What a recipe was picked from: choices with the loss to expect, the best of each lineage, and what was rejected."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.records import MethodText


class Choice(Frozen):
    """One way to spend the budget, with the loss to expect."""

    model: str
    method: MethodText
    model_params: PositiveInt = Field(description="N, without embeddings and adapters")
    train_flops: PositiveFloat = Field(description="what serving leaves of the budget to train with, FLOP")
    tokens: PositiveFloat = Field(description="D that this buys")
    steps: PositiveInt
    predicted_loss: PositiveFloat = Field(description="nats, with what the choice's uncertain learning rate costs")
    rate_cost: NonNegativeFloat = Field(
        default=0.0, description="share by which its uncertain learning rate raises predicted_loss: compare without it"
    )
    predicted_interval: tuple[float, float] = Field(description="of the measured loss of a new run, nats")
    loss_interval: tuple[float, float] = Field(description="of the loss itself, without the noise of a run, nats")
    extrapolation: float = Field(ge=1, description="budget / the nearest one measured of the method; 1 inside")
    lineage: str | None = Field(default=None, description="of the model, where several were measured")


class BestStart(Frozen):
    """The best way to spend the budget from one lineage: a fresh start from a base model, or a retriever continued."""

    lineage: str = Field(description="family and kind of start")
    start: Literal["base", "retriever"] | None = Field(description="None where the model is no known member")
    model: str
    method: MethodText
    predicted_loss: PositiveFloat = Field(description="nats, with what the uncertain learning rate costs")
    predicted_interval: tuple[float, float] = Field(description="of the measured loss of a new run, nats")
    supported: bool = Field(description="whether the measured runs of the lineage support it")

    def __str__(self) -> str:
        """One line, for a person."""
        kind = {"base": "fresh start from", "retriever": "continued from", None: "from"}[self.start]
        low, high = self.predicted_interval
        far = "" if self.supported else ", which its runs do not support"
        return (
            f"best {kind} {self.lineage}: {self.model} by {self.method}, {self.predicted_loss:.3f} "
            f"({low:.3f} to {high:.3f}){far}"
        )


class Untrained(Frozen):
    """A start that is better as it is than all that the budget can train, so that training does not pay."""

    model: str
    lineage: str | None = Field(default=None, description="of the model, where the runs say it")
    loss: PositiveFloat = Field(description="held-out, before any training, nats; measured")
    trained_loss: PositiveFloat = Field(description="the lowest expected of a trained choice at this budget, nats")
    pays_from: PositiveFloat | None = Field(
        description="budget from which on training pays, FLOP, by the predictions; None: none was found"
    )
    interval: tuple[float, float] | None = Field(description="of that budget, with 90 %; None where it is undetermined")
    share: float = Field(ge=0, le=1, description="of the draws in which it lies within the budgets that were searched")
    searched: PositiveFloat = Field(description="the largest budget that was searched, FLOP")
    flops_per_hour: PositiveFloat | None = Field(
        default=None,
        description="where the budget is hours, the FLOP of `pays_from`, `interval` and `searched` that stand for one: "
        "those of the median run, while each choice gets its own; None where the budget is FLOP",
    )

    def __str__(self) -> str:
        """One line, for a person."""
        return (
            f"{self.model} as it is: training does not pay at this budget. Its held-out loss is {self.loss:.3f}, and "
            f"the best trained choice is expected at {self.trained_loss:.3f}; {self.pays}"
        )

    @property
    def pays(self) -> str:
        """From which budget on training pays, in words."""
        if self.pays_from is None:
            return f"up to {self._told(self.searched)} training is not seen to pay"
        if self.interval is None:
            return (
                f"training pays from about {self._told(self.pays_from)} on, which is undetermined "
                f"({100 * self.share:.0f} % of the draws cross)"
            )
        low, high = (self._told(end).split()[0] for end in self.interval)
        return f"training pays from {self._told(self.pays_from)} on, with 90 % {low} to {high}"

    def _told(self, flops: float) -> str:
        """A budget in what it was asked for."""
        return f"{flops:.2g} FLOP" if self.flops_per_hour is None else f"{flops / self.flops_per_hour:.2g} hours"


class Rejection(Frozen):
    """A choice that was not taken, and why."""

    model: str | None = Field(default=None, description="None where it concerns the method on every model")
    method: str
    reason: str
