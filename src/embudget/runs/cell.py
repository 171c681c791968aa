"""What is a cell? One (model, method, budget) with its loss at the best setting: what laws are fitted to.

Its values are plain numbers, whatever the runs came from.
"""

from math import log

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator

from embudget.frozen import Frozen
from embudget.limits import Length
from embudget.runs.tried import Tried


class Cell(Frozen):
    """One (model, method, budget) at its best setting, over its seeds: see `embudget.runs.tune`.

    What the table does not say is None.
    """

    model: str = Field(description="a member's name; where the table has none, a text made of N: N=1.2e+08")
    method: str
    lineage: str | None = Field(
        default=None,
        description="family and kind of start, such as smollm2 or `minilm retriever`, whose members share laws",
    )
    budget: PositiveFloat = Field(
        description="FLOP asked for; in a table without budgets, the level of those spent: see `embudget.runs.complete`"
    )
    model_params: PositiveFloat = Field(description="N, without embeddings and adapters")
    tokens: PositiveFloat = Field(description="D, mean over the seeds")
    train_flops: PositiveFloat = Field(description="spent, mean over the seeds")
    loss: PositiveFloat = Field(
        description="held-out, nats, geometric mean over the seeds by weight, or of the envelope"
    )
    seeds: PositiveInt = Field(description="runs whose mean the loss is, or is as precise as")
    seed_squares: NonNegativeFloat = Field(
        description="sum of squared deviations of the seeds' log losses: see `embudget.runs.tune`"
    )
    weight: PositiveFloat = Field(default=1.0, description="mean over the seeds")
    base_loss: NonNegativeFloat | None = Field(
        default=None, description="held-out loss of the start before any training, nats, mean over the seeds"
    )
    steps: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    pairs_seen: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    unique_tokens: PositiveFloat | None = Field(
        default=None, description="U, of the training data, each counted once: D - U are repeated ones where D is more"
    )
    seconds: NonNegativeFloat | None = Field(default=None, description="mean over the seeds")
    learning_rate: PositiveFloat | None = Field(default=None, description="the best tried, or that of the envelope")
    rates: PositiveInt = Field(default=1, description="learning rates tried at otherwise equal settings")
    rate_inside: bool | None = Field(
        default=None, description="whether the envelope of 3 or more rates has a minimum between them; None without one"
    )
    lowest_rate: PositiveFloat | None = Field(default=None, description="of the envelope, or of two rates")
    highest_rate: PositiveFloat | None = Field(default=None, description="of the envelope, or of two rates")
    rate_curvature: PositiveFloat | None = Field(
        default=None, description="log loss per squared natural log of rate / best rate, where the envelope tells it"
    )
    rate_middle: PositiveFloat | None = Field(default=None, description="between the two best rates")
    rate_slope: float | None = Field(default=None, description="of log loss in log rate, there")
    batch_size: PositiveFloat | None = None
    warmup: NonNegativeFloat | None = None
    weight_decay: NonNegativeFloat | None = None
    max_epochs: PositiveFloat | None = None
    schedule: str | None = Field(default=None, description="of the learning rate, in the table's own words")
    decay: NonNegativeFloat | None = Field(default=None, description="share of the budget in the decay of wsd")
    pooling: str | None = Field(default=None, description="of the tokens' states, in the table's own words")
    negatives: NonNegativeFloat | None = Field(default=None, description="hard negatives of each pair")
    max_length: Length | None = Field(
        default=None, description="tokens at which texts are cut; None where it is the table's"
    )
    scale: PositiveFloat | None = Field(
        default=None, le=1e6, description="1 / temperature of training; None where it is the table's"
    )
    query_prompt: str | None = Field(default=None, description="in front of each query; empty for none")
    document_prompt: str | None = Field(default=None, description="in front of each positive; empty for none")
    attention: str | None = Field(default=None, description="causal or bidirectional; None: as the model has it")
    matryoshka: str | None = Field(default=None, description="smaller embedding sizes that were trained: 64,128")
    tried: tuple[Tried, ...] = Field(
        default=(), description="the best with each number of negatives and length, where there were several"
    )
    run: str | None = Field(
        default=None, description="the one training run whose checkpoint it is, by the table's column `run`"
    )

    @field_validator("schedule", "pooling", "run", "lineage", "attention", "matryoshka", mode="before")
    @classmethod
    def _unknown(cls, text: str | None) -> str | None:
        return text or None

    @property
    def log_loss(self) -> float:
        """The mean log loss of the seeds, or that at the vertex of the envelope."""
        return log(self.loss)

    @property
    def flops_per_token(self) -> float:
        """C / D as measured, FLOP."""
        return self.train_flops / self.tokens
