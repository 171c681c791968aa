"""The configuration of a training run, and its identity.

Its id is a hash of the configuration, so that the same run is recognised wherever it is met again. It is text and
numbers, as files and databases hold them; training looks the model and the method up once, in `embudget.training.job`.

Runs of `schedule: wsd` that are equal but for their budget, and whose warm-ups are the same FLOP, share one *trunk*:
a run at a constant rate from which each of them branches off for its decay (see `embudget.study.trunks`).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, NonNegativeFloat, PositiveFloat, model_validator

from embudget.errors import MethodError
from embudget.frozen import Frozen
from embudget.limits import (
    BatchSize,
    Candidates,
    Epochs,
    Flops,
    Length,
    Negatives,
    Rate,
    Seed,
    step_problem,
)
from embudget.methods import parse_method
from embudget.suite.starts import MOST_PROMPT, POOLING_CHOICES, SHORT, PooledBy


@lru_cache(maxsize=4096)  # a store of 100,000 runs names a few methods
def _canonical_method(text: str) -> str:
    try:
        return str(parse_method(text))
    except MethodError as error:
        raise ValueError(str(error)) from None


def _rising(sizes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(sizes)) < len(sizes):
        raise ValueError(f"must name each size once, got {', '.join(map(str, sizes))}")
    return tuple(sorted(sizes))


Schedule = Literal["cosine", "wsd"]

Yardstick = Literal["groups", "first"]
"""Which validation pairs the held-out loss is measured on: pairs drawn evenly over groups and sources, or the first
ones of the split, as in records from before there was a choice. See `embudget.training.yardstick`."""

POOLINGS: tuple[str, ...] = get_args(PooledBy)
"""The canonical names."""


def canonical_pooling(word: Any) -> Any:  # noqa: ANN401 - whatever was given
    """Bring the short names last and weighted to those of sentence-transformers; anything else stays as it is."""
    return SHORT.get(word, word) if isinstance(word, str) else word


def _known_pooling(word: Any) -> Any:  # noqa: ANN401 - whatever was given
    pooling = canonical_pooling(word)
    if pooling not in POOLINGS:
        raise ValueError(f"must be {POOLING_CHOICES}")
    return pooling


Pooling = Annotated[PooledBy, BeforeValidator(_known_pooling)]
"""How the tokens' states become one embedding: mean, last, cls or weighted; kept by the names of sentence-transformers,
lasttoken and weightedmean for two of them."""

Attention = Literal["causal", "bidirectional"]
"""Which tokens a token's state may depend on: those before it, or all of its text."""

EvalScale = Literal["own", "best"]
"""At which scale the held-out loss is taken: that of the run's training, or the one at which it is lowest."""

Precision = Literal["float32", "bf16"]
"""In which numbers training multiplies matrices: float32, or bf16 under autocast with weights in float32."""

Matryoshka = Annotated[tuple[Length, ...], AfterValidator(_rising)]
"""Embedding sizes below the model's own, by rising size."""

MethodText = Annotated[str, AfterValidator(_canonical_method)]
"""A method as written by the user, brought to its one canonical spelling."""


ALSO_SHOWN = (
    "batch_size", "negatives", "max_length", "scale", "weight_decay", "pooling", "query_prompt", "document_prompt",
    "attention", "matryoshka", "precision", "yardstick", "eval_pairs", "eval_scale",
)  # fmt: skip
"""Fields that a table of runs shows where they differ; member, method, budget, rate and seed it always shows."""

EVAL_PAIRS = 1024
"""Held-out pairs that a loss is measured on, where there are as many: two blocks of candidates. On the demo the
standard error of a loss is then 0.07 to 0.08 nats, of a paired difference 0.05, as much as a seed's; 4,096 pairs are
needed for 0.05 nats of a loss, and take four times as long to measure (`docs/log.md`)."""

EVAL_CANDIDATES = 512
"""Positives that each held-out query is compared with, where there are as many."""


def eval_counts(eval_pairs: int | None, eval_candidates: int | None, there: int = EVAL_PAIRS) -> tuple[int, int]:
    """Fill in how many held-out pairs and candidates a loss is over, of so many that are there, where nobody says."""
    count = min(EVAL_PAIRS, there) if eval_pairs is None else eval_pairs
    return count, min(EVAL_CANDIDATES, count) if eval_candidates is None else eval_candidates


def candidates_problem(eval_pairs: int, eval_candidates: int) -> str | None:
    """What is wrong with comparing each of so many held-out pairs with so many positives; None if nothing is."""
    if eval_candidates <= eval_pairs:
        return None
    return f"eval_candidates must be <= eval_pairs={eval_pairs}, got {eval_candidates}"


def after_warmup(schedule: Schedule, decay: float) -> str:
    """Say in words how the learning rate goes on after its warm-up."""
    return "cosine to 0" if schedule == "cosine" else f"constant, to 0 in the last {100 * decay:g} %"


def differing(configs: "Iterable[RunConfig]", names: Sequence[str] = ALSO_SHOWN) -> list[str]:
    """Name the fields in which some of these runs differ, so that a table shows what it would else hide."""
    every = list(configs)
    return [name for name in names if len({getattr(config, name) for config in every}) > 1]


_ADDED: dict[str, Any] = {
    "schedule": "cosine",
    "decay": 0.2,
    "pooling": "mean",
    "end_token": False,
    "weights": None,
    "yardstick": "first",
    "negatives": 0,
    "query_prompt": "",
    "document_prompt": "",
    "attention": None,
    "matryoshka": (),
    "precision": "float32",
    "eval_scale": "own",
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
    eval_pairs: Candidates = Field(default=EVAL_PAIRS, description="held-out pairs the loss is measured on")
    eval_candidates: Candidates = Field(
        default=EVAL_CANDIDATES,
        description="positives each held-out query is compared with, by default not more than eval_pairs; chance is "
        "log of this",
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
    query_prompt: str = Field(
        default="", max_length=MOST_PROMPT, description="put in front of each query, in training, measuring and export"
    )
    document_prompt: str = Field(
        default="", max_length=MOST_PROMPT, description="put in front of each positive and hard negative"
    )
    attention: Attention | None = Field(
        default=None, description="causal or bidirectional; None for that of the model's own configuration"
    )
    matryoshka: Matryoshka = Field(
        default=(),
        description="smaller embedding sizes at which the loss is taken besides the full one, by rising size; the "
        "held-out loss is that of the full one",
    )
    precision: Precision = Field(
        default="float32",
        description="in which numbers training multiplied matrices; of records from before this field it is not known",
    )
    eval_scale: EvalScale = Field(
        default="own",
        description="own: the held-out loss is taken at `scale`; best: at the scale at which it is lowest, so that "
        "runs of several scales compare",
    )

    @model_validator(mode="before")
    @classmethod
    def _end_with_last_token(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was given
        if isinstance(data, dict) and "end_token" not in data and canonical_pooling(data.get("pooling")) == "lasttoken":
            return {**data, "end_token": True}
        return data

    @model_validator(mode="before")
    @classmethod
    def _among_few(cls, data: Any) -> Any:  # noqa: ANN401 - whatever was given
        asked = data.get("eval_pairs") if isinstance(data, dict) else None
        if isinstance(asked, int) and 2 <= asked < EVAL_CANDIDATES and "eval_candidates" not in data:
            return {**data, "eval_candidates": asked}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := step_problem(self.batch_size, self.max_length):
            raise ValueError(problem)
        if problem := candidates_problem(self.eval_pairs, self.eval_candidates):
            raise ValueError(problem)
        if self.schedule == "cosine" and self.decay != type(self).model_fields["decay"].default:
            raise ValueError(f"decay belongs to schedule wsd, got {self.decay:g} with cosine")
        if self.schedule == "wsd" and self.warmup >= 1 - self.decay:
            raise ValueError(f"warmup must be < 1 - decay={1 - self.decay:g}, got {self.warmup:g}")
        return self

    @property
    def unusual(self) -> str:
        """The number of hard negatives and the length of texts, in words, where they are not the default."""
        text = f" negatives {self.negatives}" if self.negatives else ""
        usual = type(self).model_fields["max_length"].default
        return text + (f" max_length {self.max_length}" if self.max_length != usual else "")

    @cached_property  # a queue of 100,000 runs asks for it 20 times of each
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
