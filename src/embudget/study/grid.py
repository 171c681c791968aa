"""One grid of a study: every member with every method at every budget, and how each of its runs is set up.

With `schedule: wsd`, which at a lower peak rate is as good as cosine (docs/log.md), the runs of one member, method,
learning rate and seed branch off one trunk. What they share must not depend on the budget. So all budgets of a grid
have one batch size, that of a rule at the geometric middle sqrt(C_1 C_n) of the smallest and the largest budget. And
the warm-up takes a tenth of the study's smallest budget C_1, which is the share 0.1 C_1 / C of a budget C. Another
smallest budget therefore makes other runs, and so does another largest one if the batch size follows a rule.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from embudget.errors import ModelError
from embudget.frozen import Frozen, unique
from embudget.limits import Candidates, Count, Epochs, Flops, Rate, Seed, step_problem
from embudget.methods import Method, parse_method
from embudget.pairs import Pairs
from embudget.records import MethodText, Pooling, RunConfig, Schedule, Yardstick
from embudget.records.config import (
    EVAL_CANDIDATES,
    EVAL_PAIRS,
    Attention,
    EvalScale,
    candidates_problem,
    eval_counts,
)
from embudget.remote import FolderOrUrl
from embudget.study.axes import BatchSizes, Decays, Lengths, NegativeCounts, Scales, Sizes
from embudget.study.batch_size import BatchRule
from embudget.study.members import Member, members_by_shape, members_of
from embudget.suite import ModelShape
from embudget.suite.starts import MOST_PROMPT
from embudget.suite.suites import Entry, suite_entries
from embudget.training.precision import AskedPrecision
from embudget.training.yardstick import counts_for

_WARMUP: float = RunConfig.model_fields["warmup"].default
_SCALE: float = RunConfig.model_fields["scale"].default
_WEIGHT_DECAY: float = RunConfig.model_fields["weight_decay"].default


class GridRun(NamedTuple):
    """One run of a study, its method and model looked up."""

    config: RunConfig
    method: Method
    shape: ModelShape
    min_steps: int
    """The fewest steps that are worth training."""


class Grid(Frozen):
    """Every member, method, budget, rate, length, number of negatives, scale, weight decay and seed, each with each."""

    pairs: FolderOrUrl = Field(
        description="folder made by `embudget pairs build`, relative to the study's file; or its URL, as s3://bucket/x"
    )
    suite: str | None = Field(
        default=None,
        description="a built-in suite, a folder of models or a YAML file that lists members, or several with commas; "
        "paths are relative to the study's file. Or give members",
    )
    members: Annotated[tuple[str, ...], AfterValidator(unique)] = Field(
        default=(),
        description="models by name, folder (relative to the study's file) or hub id, each perhaps cut as "
        "smollm2-135m:8; or give suite",
    )
    methods: Annotated[tuple[MethodText, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        description="what to train of each member: full, freeze:F, bias or lora:R"
    )
    budgets: Annotated[tuple[Flops, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        description="algorithmic FLOP of a run, one or more"
    )
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(unique)] = Field(
        default=(0,), description="each setting is trained once with each; a second one shows the noise of a run"
    )
    batch_size: BatchSizes = Field(
        default=BatchRule(),
        description="pairs a step: a number, a number for each budget, or a rule (below). With wsd all budgets have "
        "one; that of a rule is taken at the geometric middle of the smallest and the largest budget",
    )
    schedule: Schedule = Field(
        default="wsd", description="wsd: one run of a setting serves all its budgets; cosine: a run for each"
    )
    decay: float = Field(
        default=0.2, gt=0, lt=1, description="with wsd, the last share of each budget, in which the rate falls"
    )
    learning_rates: dict[MethodText, tuple[Rate, ...]] = Field(
        default={}, description="rates to run for a method; the method's default where it is not named"
    )
    min_steps: Count = Field(default=10, description="runs with fewer steps teach nothing and are left out")
    max_epochs: Epochs = Field(default=1, description="runs that need more passes over the pairs are left out")
    max_length: Lengths = Field(
        default=(75,), description="tokens at which a text is cut; of several, all runs are trained with each"
    )
    negatives: NegativeCounts = Field(
        default=(0,),
        description="hard negatives of each pair that are further candidates in the loss; of several numbers, all runs "
        "are trained with each",
    )
    scale: Scales = Field(
        default=(_SCALE,),
        description="1 / temperature of the training loss; of several numbers, all runs are trained with each",
    )
    weight_decay: Decays = Field(
        default=(_WEIGHT_DECAY,),
        description="of AdamW; of several numbers, all runs are trained with each",
    )
    pooling: Pooling | None = Field(
        default=None,
        description="how the tokens' states become the text's embedding: mean, last, cls or weighted; by default as "
        "the model does by itself, else mean",
    )
    query_prompt: str | None = Field(
        default=None,
        max_length=MOST_PROMPT,
        description="put in front of each query; by default the model's own, or none",
    )
    document_prompt: str | None = Field(
        default=None,
        max_length=MOST_PROMPT,
        description="put in front of each positive and hard negative; by default the model's own, or none",
    )
    attention: Attention | None = Field(
        default=None, description="causal or bidirectional; by default as the model has it"
    )
    matryoshka: Sizes = Field(
        default=(),
        description="smaller embedding sizes that are trained besides the full one, such as [64, 128, 256]; runs of a "
        "model that is not wider are left out",
    )
    precision: AskedPrecision | None = Field(
        default=None,
        description="in which numbers training multiplies matrices: float32, bf16, or auto, which is bf16 where this "
        "machine is faster with it; by default bf16 on CUDA devices that compute in it, else float32. A study whose "
        "store holds runs goes on with theirs",
    )
    eval_pairs: Candidates | None = Field(
        default=None,
        description=f"held-out pairs that the loss is measured on; by default {EVAL_PAIRS:,}, or as many as there are",
    )
    eval_candidates: Candidates | None = Field(
        default=None,
        description="positives that each held-out query must tell its own from; guessing gives ln of this; by default "
        f"{EVAL_CANDIDATES}, or eval_pairs where these are fewer",
    )
    yardstick: Yardstick = Field(
        default="groups",
        description="held-out pairs drawn evenly over groups and sources; or first, the first of the split, to go on "
        "with a study from before embudget drew them (with eval_pairs: 512)",
    )

    eval_scale: EvalScale | None = Field(
        default=None,
        description="own: the held-out loss is taken at the run's own scale; best: at the scale at which it is lowest, "
        "the default in a study of several scales or with a retriever, whose losses would not compare otherwise",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.suite is None) == (not self.members):
            raise ValueError("give either suite or members")
        if isinstance(self.batch_size, dict) and (missing := set(self.budgets) - set(self.batch_size)):
            raise ValueError(f"batch_size lacks the budget {min(missing):g}")
        if problem := step_problem(max(map(self.batch_at, self.budgets)), max(self.max_length)):
            raise ValueError(problem)
        if problem := candidates_problem(self.eval_pairs or EVAL_PAIRS, self.eval_candidates or 2):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.schedule == "cosine":
            if self.decay != type(self).model_fields["decay"].default:
                raise ValueError(f"decay belongs to schedule wsd, got {self.decay:g} with cosine")
            return self
        if self.decay >= 1 - _WARMUP:
            raise ValueError(f"decay must be < {1 - _WARMUP:g}, what the warm-up leaves, got {self.decay:g}")
        if isinstance(self.batch_size, dict):
            sizes = sorted({self.batch_size[budget] for budget in self.budgets})
            if len(sizes) > 1:
                raise ValueError(
                    f"batch_size must be the same at all budgets with schedule wsd, got {sizes[0]} and {sizes[-1]}"
                )
        return self

    def shapes(self) -> list[ModelShape]:
        """The members, looked up, smallest first.

        Raises:
            ModelError: a member or the suite is unknown.
        """
        found, refused = self.find_members()
        if refused:
            raise ModelError(next(iter(refused.values())))
        return [member.shape for member in found]

    def find_members(self, identified: bool = True) -> tuple[list[Member], dict[str, str]]:
        """The members with their weights, smallest first, and why others cannot be used, by name.

        Raises:
            ModelError: a name is no member's at all.
        """
        entries = suite_entries(self.suite) if self.suite is not None else tuple(map(Entry, self.members))
        return members_of(entries, self.pooling) if identified else (members_by_shape(entries, self.pooling), {})

    def batch_at(self, budget: float) -> int:
        """Pairs a step at one of the study's budgets; with wsd at all of them."""
        if isinstance(self.batch_size, BatchRule):
            return self.batch_size.batch_size(self.middle if self.schedule == "wsd" else budget)
        if isinstance(self.batch_size, dict):
            return self.batch_size[budget]
        return self.batch_size

    @property
    def middle(self) -> float:
        """The geometric middle of the smallest and the largest budget, FLOP."""
        return math.sqrt(min(self.budgets) * max(self.budgets))

    def own_runs(
        self, pairs: Pairs | str, members: Sequence[Member], smallest: float, eval_scale: EvalScale
    ) -> Iterator[GridRun]:
        """The runs of this grid; see `embudget.study.Study.runs`.

        Args:
            pairs: the pairs, or their content hash.
            members: of the grid.
            smallest: the study's smallest budget, FLOP.
            eval_scale: at which scale losses are taken where the grid does not say.
        """
        asked = self.eval_pairs, self.eval_candidates
        eval_pairs, eval_candidates = eval_counts(*asked) if isinstance(pairs, str) else counts_for(pairs, *asked)
        methods = [parse_method(text) for text in self.methods]
        for member, method in product(members, methods):
            method.check(member.shape)
        for budget, member, method in product(sorted(self.budgets), members, methods):
            shape, prompts = member.shape, member.prompts(self.query_prompt, self.document_prompt)
            rates = self.learning_rates.get(str(method)) or (method.default_learning_rate(shape),)
            axes = product(self.max_length, self.negatives, self.scale, self.weight_decay, rates)
            for length, negatives, scale, weight_decay, rate in axes:
                for seed in self.seeds:
                    config = RunConfig(
                        model=shape.name,
                        method=str(method),
                        train_flops=budget,
                        pairs=pairs if isinstance(pairs, str) else pairs.hash,
                        batch_size=self.batch_at(budget),
                        learning_rate=rate,
                        seed=seed,
                        max_length=length,
                        negatives=negatives,
                        scale=scale,
                        weight_decay=weight_decay,
                        pooling=member.pooling,
                        query_prompt=prompts[0],
                        document_prompt=prompts[1],
                        attention=self.attention,
                        matryoshka=self.matryoshka,
                        precision="bf16" if self.precision == "bf16" else "float32",  # settled before: see `settled`
                        weights=member.weights,
                        max_epochs=self.max_epochs,
                        eval_pairs=eval_pairs,
                        eval_candidates=eval_candidates,
                        yardstick=self.yardstick,
                        eval_scale=self.eval_scale or eval_scale,
                        schedule=self.schedule,
                        decay=self.decay,
                        # with wsd the same FLOP at all budgets of a trunk, and in all grids
                        warmup=_WARMUP * (smallest / budget) if self.schedule == "wsd" else _WARMUP,
                    )
                    yield GridRun(config, method, shape, self.min_steps)
