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


class Rejection(Frozen):
    """A choice that was not taken, and why."""

    model: str | None = Field(default=None, description="None where it concerns the method on every model")
    method: str
    reason: str
