"""The record of a training run: what was run, and what came out.

A record is append-only and complete: whoever holds it knows what was trained, on what, by which versions, and what was
measured.
"""

import math
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.frozen import Frozen
from embudget.limits import Count
from embudget.records.config import RunConfig
from embudget.records.groups import GroupScore, standard_error

LUCK = 0.5
"""A held-out loss over n pairs says that something was learned where it is below chance by more than LUCK / n nats,
which is its own error.

A model that cannot tell its candidates apart, and whose scores (cosine times scale) have standard deviation s, has a
mean loss of s^2 / 2 above chance, with a standard error of s / sqrt(n). One standard error below that mean is lowest
for s = 1 / sqrt(n), where it is 1 / 2n below chance: whatever s is, luck seldom leads further. With 512 pairs that is
0.001 nats. Models whose embeddings collapsed to one point are within it, runs that begin to learn are not."""


def no_gain(loss: Any, chance: Any, eval_pairs: Any) -> Any:  # noqa: ANN401 - floats, or arrays of them
    """Whether a held-out loss is no better than chance, by the rule of `LUCK`; numbers or arrays.

    Such a run, and one whose loss is above chance, says nothing of how training scales: it is left out of laws.
    """
    return loss >= chance - LUCK / eval_pairs


class Provenance(Frozen):
    """Where a record comes from."""

    versions: dict[str, str] = Field(description="package -> version, Python and embudget included")
    commit: str | None = Field(default=None, description="git commit of embudget, where it runs from a checkout")
    model_revision: str = Field(description="what exactly was loaded as the pre-trained model")
    device: str
    threads: PositiveInt
    started: str = Field(description="ISO 8601, UTC")


class RunRecord(Frozen):
    """The outcome of one training run. A measurement that was not made is absent, never 0.

    A run of a trunk counts whole: its FLOP, tokens and seconds are those it would have taken alone.
    """

    config: RunConfig = Field(description="what was asked for")
    status: Literal["done", "no_gain", "failed", "diverged"] = Field(
        description="no_gain: trained to its end, but no better than chance; diverged: the loss became NaN, infinite "
        "or exploded. Either would do so again"
    )
    error: str | None = Field(
        default=None, description="why the run failed, or what was seen as it diverged or gained nothing"
    )
    attempts: PositiveInt = Field(default=1, description="times it was started, until it ended")
    provenance: Provenance | None = Field(default=None, description="versions, device and time of its training")

    model_params: Count | None = Field(default=None, description="N, without embeddings and adapters")
    trained_params: Count | None = Field(default=None, description="T, without embeddings")
    steps: Count | None = Field(default=None, description="optimiser steps")
    pairs_seen: Count | None = Field(default=None, description="pairs of all steps, repeated ones included")
    training_pairs: Count | None = Field(
        default=None, description="pairs that there were to train on, each counted once; absent in older records"
    )
    tokens: Count | None = Field(default=None, description="D: non-pad tokens of queries, positives and hard negatives")
    train_flops: PositiveFloat | None = Field(default=None, description="algorithmic FLOP spent")
    shared_flops: NonNegativeFloat | None = Field(
        default=None,
        description="part of train_flops that a cheaper run of the same trunk had spent; absent for a run of its own",
    )
    executed_flops: PositiveFloat | None = Field(default=None, description="what the hardware did, padding included")
    seconds: PositiveFloat | None = Field(default=None, description="training alone, without loading and evaluation")
    loss: NonNegativeFloat | None = Field(
        default=None, description="held-out contrastive loss, nats; never of a run that diverged"
    )
    chance: NonNegativeFloat | None = Field(
        default=None,
        description="held-out loss of a model that cannot tell texts apart, nats: log(eval_candidates), or less where "
        "texts repeat; absent in older records",
    )
    accuracy: float | None = Field(default=None, ge=0, le=1, description="held-out: share of queries ranked first")
    ndcg: float | None = Field(default=None, ge=0, le=1, description="held-out: nDCG@10 of queries among candidates")
    groups: dict[str, GroupScore] = Field(
        default={},
        description="held-out group, as source/group -> its pairs, their mean loss in nats and mean nDCG@10; empty in "
        "older records",
    )
    scores: dict[str, float] = Field(
        default={}, description="benchmark task -> its main score, as mteb defines it, of a study that evaluates"
    )
    lineage: str | None = Field(
        default=None,
        description="family and kind of start, such as smollm2 or `minilm retriever`, whose members share laws; absent "
        "in older records",
    )
    base_loss: NonNegativeFloat | None = Field(
        default=None, description="held-out loss of the start before any training, nats; absent in older records"
    )
    base_ndcg: float | None = Field(default=None, ge=0, le=1, description="held-out nDCG@10 of the start")
    remarks: tuple[str, ...] = Field(
        default=(), description="what to doubt of the run, such as a loss worse than its start's, with the likely cause"
    )
    train_loss: NonNegativeFloat | None = Field(default=None, description="mean over the budget's last tenth, nats")
    loss_curve: tuple[tuple[float, float], ...] = Field(default=(), description="(share of the budget, train loss)")

    @model_validator(mode="before")
    @classmethod
    def _as_recorded(cls, data: Any) -> Any:  # noqa: ANN401 - whatever a file held
        """Give older runs what they had before the configuration said so.

        That is no end token, with last-token pooling either, and the first validation pairs as held-out ones.
        """
        config = data.get("config") if isinstance(data, dict) else None
        if isinstance(config, dict):
            return {**data, "config": {"end_token": False, "yardstick": "first"} | config}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status == "diverged" and self.loss is not None:
            raise ValueError(f"loss must be absent with status diverged, got {self.loss:g}")
        spent, shared = self.train_flops or 0.0, self.shared_flops or 0.0
        if shared > spent:
            raise ValueError(f"shared_flops must be <= train_flops={spent:g}, got {shared:g}")
        return self

    @property
    def own_share(self) -> float:
        """Share of its FLOP that no cheaper run of its trunk had spent, which is the part it adds to a study's cost."""
        if not self.shared_flops or self.train_flops is None:
            return 1.0
        return 1.0 - self.shared_flops / self.train_flops

    @property
    def by_chance(self) -> float:
        """The held-out loss by chance, nats: as it was measured, else log(eval_candidates)."""
        return math.log(self.config.eval_candidates) if self.chance is None else self.chance

    @property
    def loss_error(self) -> float | None:
        """Standard error of the loss because other groups could have been held out, nats.

        None with fewer than two groups, and of records from before losses were kept by group.
        """
        scores = self.groups.values()
        error = standard_error([one.pairs for one in scores], [one.loss for one in scores])
        return None if math.isnan(error) else error

    @property
    def id(self) -> str:
        """The id of the configuration."""
        return self.config.id
