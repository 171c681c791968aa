"""What a recipe holds: the choice, how to train it, and the choices it was picked from."""

from typing import Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.choices import Crossover, StartCrossover
from embudget.frozen import Frozen
from embudget.limits import (
    MOST_FLOPS,
    BatchSize,
    Candidates,
    Count,
    Epochs,
    Flops,
    Length,
    Negatives,
    Rate,
    step_problem,
)
from embudget.recipe.choice import BestStart, Choice, Rejection, Untrained
from embudget.recipe.wishes import Prefer
from embudget.records import MethodText, Pooling, Schedule, Yardstick
from embudget.records.config import Attention, EvalScale, Matryoshka


class RecipeValues(Frozen):
    """The fields of a `Recipe`, and what follows from them."""

    train_flops: Flops = Field(description="algorithmic FLOP of training: the budget without what serving takes")
    serve_flops: NonNegativeFloat = Field(
        default=0.0, le=MOST_FLOPS, description="set aside for the tokens to be served: 2N for each"
    )
    unspent_flops: NonNegativeFloat = Field(
        default=0.0, le=MOST_FLOPS, description="of the budget, left over since the pairs were repeated often enough"
    )
    seconds: PositiveFloat | None = Field(
        default=None,
        description="training takes at the speeds of the measured runs; None where no hours were asked for",
    )
    left_over: str = Field(default="", description="why FLOP are left over, in words; empty where all are spent")
    model: str = Field(description="the member to train")
    method: MethodText = Field(description="with its rank or active fraction: lora:32, freeze:0.5")
    model_params: Count = Field(description="N, without embeddings and adapters")
    tokens: PositiveFloat = Field(description="D that the budget buys, queries and positives")
    pairs: PositiveInt = Field(description="pairs seen, repetitions included")
    training_pairs: Count | None = Field(
        default=None, description="that there are, each counted once: those wished for, or the study's, where known"
    )
    steps: PositiveInt = Field(description="optimiser steps")
    batch_size: BatchSize = Field(description="pairs a step")
    batch_source: str = Field(default="", description="where the batch size comes from, in words")
    learning_rate: Rate = Field(description="peak rate")
    rate_source: str = Field(default="", description="where the rate comes from, in words")
    warmup: float = Field(ge=0, lt=1, description="share of the budget with a rising rate")
    pooling: Pooling = Field(default="mean", description="that of the measured runs")
    schedule: Schedule = Field(default="cosine", description="of the rate after the warm-up, that of the measured runs")
    decay: float = Field(default=0.2, gt=0, lt=1, description="share of the budget in which the rate of wsd falls")
    weight_decay: NonNegativeFloat = Field(le=1e6, description="of AdamW")
    scale: PositiveFloat = Field(le=1e6, description="1 / temperature of the contrastive loss")
    max_length: Length = Field(description="tokens; longer texts are cut")
    negatives: Negatives = Field(default=0, description="hard negatives of each pair that are further candidates")
    query_prompt: str | None = Field(
        default=None, max_length=2000, description="in front of each query; None for the model's own"
    )
    document_prompt: str | None = Field(
        default=None, max_length=2000, description="in front of each positive; None for the model's own"
    )
    attention: Attention | None = Field(default=None, description="None as the model has it")
    matryoshka: Matryoshka = Field(default=(), description="smaller embedding sizes trained besides the full one")
    eval_scale: EvalScale = Field(
        default="own", description="whether the predicted loss is at `scale`, or at the scale at which it is lowest"
    )
    texts_source: str = Field(
        default="",
        description="where length, negatives, scale and weight decay come from, in words; empty where no others were "
        "tried",
    )
    max_epochs: Epochs = Field(description="passes over the training pairs at most")
    eval_pairs: Candidates = Field(description="held-out pairs the prediction refers to")
    eval_candidates: Candidates = Field(description="positives that each held-out query is compared with")
    yardstick: Yardstick | None = Field(
        default=None, description="which held-out pairs the prediction refers to; None where the runs do not say"
    )
    predicted_loss: PositiveFloat = Field(
        description="held-out, nats, with what the uncertainty of the best learning rate costs"
    )
    rate_cost: NonNegativeFloat = Field(
        default=0.0,
        description="share by which that uncertainty raises predicted_loss: compare without it",
    )
    predicted_interval: tuple[float, float] = Field(description="of the measured loss of a new run, nats")
    loss_interval: tuple[float, float] = Field(description="of the loss itself, without the noise of a run, nats")
    measured_on: str | None = Field(description="content hash of the pairs that the prediction refers to, where known")
    level: float = Field(gt=0, lt=1, description="probability of the intervals")
    extrapolation: float = Field(ge=1, description="budget / the nearest one measured of the method; 1 inside")
    prefer: Prefer = Field(default="loss", description="what decided between this choice and those of `flat`")
    chosen: str = Field(default="", description="why not one of `flat`, in words; empty where the loss decided")
    flat: tuple[Choice, ...] = Field(
        default=(), description="the other choices within the noise of the best, the lowest predicted loss first"
    )
    rejected: tuple[Rejection, ...] = Field(default=(), description="the choices that were not taken, and why")
    crossovers: tuple[Crossover, ...] = Field(default=(), description="of the best kind of method, by rising budget")
    supported: bool = Field(
        default=True, description="whether the measured runs support the recipe; the first warning says why not"
    )
    warnings: tuple[str, ...] = Field(default=(), description="what to doubt, in words")
    untrained: Untrained | None = Field(
        default=None, description="the start to use as it is, where training does not pay at this budget"
    )
    lineage: str | None = Field(default=None, description="of the model, where several were measured")
    starts: tuple[BestStart, ...] = Field(
        default=(), description="the best choice of each measured lineage, the lowest predicted loss first"
    )
    start_crossovers: tuple[StartCrossover, ...] = Field(
        default=(), description="of the best lineage to start from, by rising budget"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := step_problem(self.batch_size, self.max_length):
            raise ValueError(problem)
        return self

    @property
    def budget(self) -> float:
        """FLOP of training and serving together, with what is left over."""
        return self.train_flops + self.serve_flops + self.unspent_flops

    @property
    def training_pays(self) -> bool:
        """Whether the best trained choice is expected to be better than every start as it is."""
        return self.untrained is None

    @property
    def passes(self) -> float:
        """Passes over the training pairs; 1 at most where their number is not known."""
        return 1.0 if self.training_pairs is None else self.pairs / self.training_pairs

    def beside(self, choice: Choice) -> float:
        """The predicted loss of a choice as good, nats, that can be compared with the recipe's.

        Each choice pays for the uncertainty of its own learning rate, and they were compared before that. So this is
        the choice's loss at its best rate with what the recipe's rate costs added.
        """
        return choice.predicted_loss / (1 + choice.rate_cost) * (1 + self.rate_cost)
