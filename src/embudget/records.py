"""What was run, and what came out: the configuration of a training run and its record.

A record is append-only and complete: whoever holds it knows what was trained, on what, by which versions, and what was
measured. Its id is a hash of its configuration, so that the same run is recognised wherever it is met again.
"""

import hashlib
import json
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from embudget.errors import MethodError
from embudget.frozen import Frozen
from embudget.methods import parse_method


def _canonical_method(text: str) -> str:
    try:
        return str(parse_method(text))
    except MethodError as error:
        raise ValueError(str(error)) from None


MethodText = Annotated[str, AfterValidator(_canonical_method)]
"""A method as written by the user, brought to its one canonical spelling."""


class RunConfig(Frozen):
    """Everything that determines a training run. Two runs with equal configurations are the same run."""

    model: str = Field(description="a member as `embudget.suite.find_shape` reads it: smollm2-135m:8, or a folder")
    method: MethodText
    train_flops: PositiveFloat = Field(
        description="budget, algorithmic FLOP; the run stops at the step that reaches it"
    )
    pairs: str = Field(description="content hash of the text pairs")
    batch_size: Annotated[int, Field(ge=2)] = Field(description="pairs a step; also the in-batch candidates")
    learning_rate: PositiveFloat = Field(description="peak rate")
    seed: NonNegativeInt = 0
    max_length: PositiveInt = Field(default=75, description="tokens; longer texts are cut")
    scale: PositiveFloat = Field(default=40.0, description="1 / temperature of the contrastive loss")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the budget with a rising rate")
    weight_decay: NonNegativeFloat = 0.1
    max_epochs: PositiveInt = Field(default=1, description="passes over the training pairs before the run is refused")
    eval_pairs: Annotated[int, Field(ge=2)] = Field(default=512, description="held-out pairs the loss is measured on")
    eval_candidates: Annotated[int, Field(ge=2)] = Field(
        default=512, description="positives each held-out query is compared with; chance is log of this"
    )

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        if self.eval_pairs % self.eval_candidates:
            raise ValueError(f"eval_pairs must be a multiple of eval_candidates={self.eval_candidates}")
        return self

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the configuration."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Provenance(Frozen):
    """Where a record comes from."""

    versions: dict[str, str] = Field(description="package -> version, Python and embudget included")
    commit: str | None = Field(default=None, description="git commit of embudget, where it runs from a checkout")
    model_revision: str = Field(description="what exactly was loaded as the pre-trained model")
    device: str
    threads: PositiveInt
    started: str = Field(description="ISO 8601, UTC")


class RunRecord(Frozen):
    """The outcome of one training run. A measurement that was not made is absent, never 0."""

    config: RunConfig
    status: Literal["done", "failed"]
    error: str | None = Field(default=None, description="why the run failed")
    attempts: PositiveInt = 1
    provenance: Provenance | None = None

    model_params: PositiveInt | None = Field(default=None, description="N, without embeddings and adapters")
    trained_params: PositiveInt | None = Field(default=None, description="T, without embeddings")
    steps: PositiveInt | None = None
    pairs_seen: PositiveInt | None = None
    tokens: PositiveInt | None = Field(default=None, description="D: non-pad tokens of queries and positives")
    train_flops: PositiveFloat | None = Field(default=None, description="algorithmic FLOP spent")
    executed_flops: PositiveFloat | None = Field(default=None, description="what the hardware did, padding included")
    seconds: PositiveFloat | None = Field(default=None, description="training alone, without loading and evaluation")
    loss: NonNegativeFloat | None = Field(default=None, description="held-out contrastive loss, nats")
    accuracy: float | None = Field(default=None, ge=0, le=1, description="held-out: share of queries ranked first")
    train_loss: NonNegativeFloat | None = Field(default=None, description="mean over the budget's last tenth, nats")
    loss_curve: tuple[tuple[float, float], ...] = Field(default=(), description="(share of the budget, train loss)")

    @property
    def id(self) -> str:
        """The id of the configuration."""
        return self.config.id
