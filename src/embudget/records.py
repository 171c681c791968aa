"""The configuration of a training run, and its record: what was run, and what came out.

A record is append-only and complete: whoever holds it knows what was trained, on what, by which versions, and what was
measured. Its id is a hash of its configuration, so that the same run is recognised wherever it is met again. Both are
text and numbers, as files and databases hold them; training looks the model and the method up once, in
`embudget.training.job`.

Runs of `schedule: wsd` that are equal but for their budget, and whose warm-ups are the same FLOP, share one *trunk*:
a run at a constant rate from which each of them branches off for its decay (see `embudget.study.trunks`).
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from embudget.errors import MethodError
from embudget.files import save_text
from embudget.frozen import Frozen
from embudget.limits import (
    BatchSize,
    Candidates,
    Count,
    Epochs,
    Flops,
    Length,
    Negatives,
    Rate,
    Seed,
    step_problem,
)
from embudget.methods import parse_method
from embudget.suite.pooling import PooledBy

if TYPE_CHECKING:
    import pandas as pd


def _canonical_method(text: str) -> str:
    try:
        return str(parse_method(text))
    except MethodError as error:
        raise ValueError(str(error)) from None


Schedule = Literal["cosine", "wsd"]

Yardstick = Literal["groups", "first"]
"""Which validation pairs the held-out loss is measured on: pairs drawn evenly over groups and sources, or the first
ones of the split, as in records from before there was a choice."""

Pooling = PooledBy
"""How the tokens' states become one embedding, by the names of sentence-transformers."""

MethodText = Annotated[str, AfterValidator(_canonical_method)]
"""A method as written by the user, brought to its one canonical spelling."""


def after_warmup(schedule: Schedule, decay: float) -> str:
    """Say in words how the learning rate goes on after its warm-up."""
    return "cosine to 0" if schedule == "cosine" else f"constant, to 0 in the last {100 * decay:g} %"


_ADDED: dict[str, Any] = {
    "schedule": "cosine",
    "decay": 0.2,
    "pooling": "mean",
    "end_token": False,
    "weights": None,
    "yardstick": "first",
    "negatives": 0,
}
"""Fields that the id leaves out at this value, which runs in stores older than the field had, so that these keep their
ids."""


class RunConfig(Frozen):
    """Everything that determines a training run. Two runs with equal configurations are the same run."""

    model: str = Field(description="a member as `embudget.suite.find_shape` reads it: smollm2-135m:8, or a folder")
    method: MethodText = Field(description="what is trained: full, freeze:F, bias or lora:R")
    train_flops: Flops = Field(description="budget, algorithmic FLOP; the run stops at the step that reaches it")
    pairs: str = Field(description="content hash of the text pairs")
    batch_size: BatchSize = Field(description="pairs a step; also the in-batch candidates")
    learning_rate: Rate = Field(description="peak rate")
    seed: Seed = Field(default=0, description="of the order of the pairs and of new weights, as of LoRA")
    max_length: Length = Field(default=75, description="tokens; longer texts are cut")
    scale: PositiveFloat = Field(default=40.0, le=1e6, description="1 / temperature of the contrastive loss")
    warmup: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the budget with a rising rate; runs of one trunk have the same warmup * train_flops",
    )
    weight_decay: NonNegativeFloat = Field(default=0.1, le=1e6, description="of AdamW")
    max_epochs: Epochs = Field(default=1, description="passes over the training pairs before the run is refused")
    eval_pairs: Candidates = Field(default=512, description="held-out pairs the loss is measured on")
    eval_candidates: Candidates = Field(
        default=512, description="positives each held-out query is compared with; chance is log of this"
    )
    schedule: Schedule = Field(
        default="cosine", description="the rate after warm-up: cosine to 0, or wsd: constant, then 1 - sqrt to 0"
    )
    decay: float = Field(default=0.2, gt=0, lt=1, description="share of the budget in which the rate of wsd falls")
    pooling: Pooling = Field(default="mean", description="how the tokens' states become the text's embedding")
    end_token: bool = Field(
        default=False,
        description="whether each text ends with an end token; by default with pooling lasttoken. Records from before "
        "this field had none",
    )
    weights: str | None = Field(
        default=None,
        description="what the model's weights are: the hash of a folder, or the commit on the hub; None for those that "
        "come with embudget or with a package it names, and where nobody has looked",
    )
    yardstick: Yardstick = Field(
        default="groups",
        description="which validation pairs are held out: groups, drawn evenly over groups and sources; or first, the "
        "first of the split, as in records from before this field",
    )
    negatives: Negatives = Field(
        default=0,
        description="hard negatives of each pair that are further candidates in the loss; their tokens count in D",
    )

    @model_validator(mode="before")
    @classmethod
    def _end_with_last_token(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was given
        if isinstance(data, dict) and "end_token" not in data and data.get("pooling") == "lasttoken":
            return {**data, "end_token": True}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := step_problem(self.batch_size, self.max_length):
            raise ValueError(problem)
        if self.eval_pairs % self.eval_candidates:
            raise ValueError(f"eval_pairs must be a multiple of eval_candidates={self.eval_candidates}")
        if self.schedule == "cosine" and self.decay != type(self).model_fields["decay"].default:
            raise ValueError(f"decay belongs to schedule wsd, got {self.decay:g} with cosine")
        if self.schedule == "wsd" and self.warmup >= 1 - self.decay:
            raise ValueError(f"warmup must be < 1 - decay={1 - self.decay:g}, got {self.warmup:g}")
        return self

    @property
    def id(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the configuration.

        A folder counts by its weights and depth, not by its place: a study that is moved keeps its records.
        """
        values = self.model_dump(mode="json")
        if self.weights is not None and self.weights.startswith("sha256:"):
            _, colon, depth = self.model.rpartition(":")
            values["model"] = f":{int(depth)}" if colon and depth.isdecimal() else ""
        for name, before in _ADDED.items():
            if getattr(self, name) == before:
                del values[name]
        canonical = json.dumps(values, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


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


class GroupScore(NamedTuple):
    """What a run measured on the held-out pairs of one group."""

    pairs: PositiveInt
    loss: NonNegativeFloat
    """Mean over the pairs, nats."""
    ndcg: Annotated[float, Field(ge=0, le=1)]
    """Mean nDCG@10 over the pairs' queries."""


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
    tokens: Count | None = Field(default=None, description="D: non-pad tokens of queries and positives")
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
    def id(self) -> str:
        """The id of the configuration."""
        return self.config.id


COLUMNS: Final = (
    "id", "status", "model", "method", "budget", "seed", "learning_rate", "batch_size", "model_params",
    "trained_params", "steps", "pairs_seen", "tokens", "train_flops", "executed_flops", "seconds", "loss", "chance",
    "accuracy", "ndcg", "train_loss", "pairs", "max_length", "eval_pairs", "eval_candidates", "scale", "warmup",
    "weight_decay", "max_epochs", "schedule", "decay", "pooling", "end_token", "model_weights", "shared_flops", "error",
    "training_pairs",
)  # fmt: skip
"""The columns of a table of records. `budget` is the FLOP that were asked for, `train_flops` those that were spent."""
_OF_TEXT = ("id", "status", "model", "method", "pairs", "schedule", "pooling", "end_token", "model_weights", "error")
_OF_CONFIG = {"budget": "train_flops", "model_weights": "weights"} | {
    name: name for name in COLUMNS if name in RunConfig.model_fields and name != "train_flops"
}
"""Field of the configuration by its column; all other columns are fields of the record."""


def record_row(record: RunRecord) -> dict[str, Any]:
    """One record as a flat row, with a value for each of `COLUMNS`; None where nothing was measured."""
    return {column: _value(record, column) for column in COLUMNS}


def records_frame(records: Iterable[RunRecord], columns: Sequence[str] = COLUMNS) -> "pd.DataFrame":
    """Records as a table, one row a run, in their order.

    Every column of numbers is of floats, NaN where nothing was measured, so that a table looks the same whatever its
    runs have measured; a text that is not there is None.
    """
    import pandas as pd

    every = list(records)
    return pd.DataFrame(
        {
            name: pd.Series([_value(record, name) for record in every], dtype=object if name in _OF_TEXT else float)
            for name in columns
        }
    )


def _value(record: RunRecord, column: str) -> Any:  # noqa: ANN401 - a number or a text, by the column
    if column == "decay" and record.config.schedule == "cosine":
        return None  # a cosine has no decay: the configuration keeps the default of wsd
    if column == "end_token":
        return "yes" if record.config.end_token else "no"
    if column == "chance":
        return None if record.loss is None else record.by_chance
    return getattr(record.config, _OF_CONFIG[column]) if column in _OF_CONFIG else getattr(record, column)


def write_records_csv(records: Iterable[RunRecord], path: str | Path) -> None:
    """Write records as a CSV that `embudget.runs.RunTable.read` reads to the same cells, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record_row(record) for record in records)
    save_text(path, text.getvalue())
