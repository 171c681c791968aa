"""A study as a user writes it in YAML: members, methods, budgets, pairs, and how each run of the grid is set up.

suite: smollm2                        # or members: [smollm2-135m:1, ...]; folders are relative to this file
methods: [full, freeze:0.5, lora:32]
budgets: [1e12, 4e12, 1.6e13]
pairs: pairs/                         # relative to this file
batch_size: {at: 1e12, pairs: 16, exponent: 0.5}
schedule: wsd                         # one run serves all budgets of a setting, the default; or cosine, one run each
decay: 0.2                            # with wsd, the last share of each budget, in which the rate falls
also:                                 # further grids, each as above but for what it names
  - {budgets: [4e12], members: [smollm2-135m:2], seeds: [1, 2]}

With `schedule: wsd`, which at a lower peak rate is as good as cosine (docs/log.md), the runs of one member, method,
learning rate and seed branch off one trunk. What they share must not depend on the budget. So all budgets of a grid
have one batch size, that of a rule at the geometric middle sqrt(C_1 C_n) of the smallest and the largest budget. And
the warm-up takes a tenth of the study's smallest budget C_1, which is the share 0.1 C_1 / C of a budget C. Another
smallest budget therefore makes other runs, and so does another largest one if the batch size follows a rule.
"""

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError, model_validator

from embudget.errors import ModelError
from embudget.frozen import Frozen, first_problem, unique
from embudget.limits import BatchSize, Candidates, Count, Epochs, Flops, Length, Rate, Seed, step_problem
from embudget.methods import Method, parse_method
from embudget.pairs import Pairs
from embudget.reading import read_yaml
from embudget.records import MethodText, Pooling, RunConfig, Schedule, Yardstick
from embudget.records.config import EVAL_CANDIDATES, EVAL_PAIRS, candidates_problem, eval_counts
from embudget.study.batch_size import BatchRule
from embudget.study.members import OF_MODELS, Member, beside, members_by_shape, members_of
from embudget.suite import ModelShape
from embudget.suite.checks import check_member
from embudget.suite.members import suite_names
from embudget.training.yardstick import counts_for

_WARMUP: float = RunConfig.model_fields["warmup"].default


def _shape_of_batch(value: Any) -> str:  # noqa: ANN401 - whatever a file held
    """Which of the three ways to give a batch size is meant, so that a message speaks of that one alone."""
    if isinstance(value, BatchRule) or (isinstance(value, dict) and set(value) & set(BatchRule.model_fields)):
        return "(rule)"
    return "(budgets)" if isinstance(value, dict) else "(number)"


BatchSizes = Annotated[
    Annotated[BatchSize, Tag("(number)")]
    | Annotated[dict[Flops, BatchSize], Tag("(budgets)")]
    | Annotated[BatchRule, Tag("(rule)")],
    Discriminator(_shape_of_batch),
]
"""A number of pairs a step, one for each budget, or a rule."""


class GridRun(NamedTuple):
    """One run of a study, its method and model looked up."""

    config: RunConfig
    method: Method
    shape: ModelShape
    min_steps: int
    """The fewest steps that are worth training."""


class Study(Frozen):
    """The grid of runs: every member with every method at every budget, learning rate and seed; and further grids.

    Example:
        >>> study = eb.Study(
        ...     suite="micro", methods=["full", "lora:8"], budgets=[5e10, 2e11, 8e11], pairs="pairs/"
        ... )
        >>> len(study.configs(eb.load_pairs("pairs/")))
        24
    """

    pairs: Path = Field(description="folder made by `embudget pairs build`; relative to the study's file")
    suite: str | None = Field(
        default=None,
        description="a built-in suite, or a folder of models relative to the study's file; or give members",
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
    max_length: Length = Field(default=75, description="tokens at which a text is cut")
    pooling: Pooling | None = Field(
        default=None,
        description="how the tokens' states become the text's embedding: mean, or lasttoken; by default as the model "
        "does by itself, else mean",
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
    flops_per_second: Flops = Field(
        default=4e10, description="speed to estimate hours with until runs are measured; assumption: two CPU cores"
    )
    also: tuple[dict[str, Any], ...] = Field(
        default=(), description="further grids, each as this one but for the fields that it names"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.suite is None) == (not self.members):
            raise ValueError("give either suite or members")
        if isinstance(self.batch_size, dict) and (missing := set(self.budgets) - set(self.batch_size)):
            raise ValueError(f"batch_size lacks the budget {min(missing):g}")
        if problem := step_problem(max(map(self.batch_at, self.budgets)), self.max_length):
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

    @model_validator(mode="after")
    def _check_also(self) -> Self:
        methods = {text for grid in self.grids() for text in grid.methods}
        if unknown := set(self.learning_rates) - methods:
            raise ValueError(f"learning_rates names {min(unknown)}, which is not among the methods")
        return self

    def grids(self) -> "list[Self]":
        """The grids that the study is made of: itself, then those of `also`.

        Raises:
            ValueError: one of `also` breaks a rule; one line that names it.
        """
        own = {name: getattr(self, name) for name in self.model_fields_set - {"also"}}
        return [self.model_copy(update={"also": ()}), *(self._grid(own, index) for index in range(len(self.also)))]

    def _grid(self, own: dict[str, Any], index: int) -> Self:
        """The study with what one of `also` names in place of its own."""
        named = self.also[index]
        where = f"also.{index}"
        if barred := sorted({"pairs", "also", "flops_per_second"} & set(named)):
            raise ValueError(f"{where} cannot name {barred[0]}, which is the whole study's")
        fields = {key: value for key, value in own.items() if key != "learning_rates"} | named
        if {"members", "suite"} & set(named):  # one takes the place of the other
            fields = {key: value for key, value in fields.items() if key in named or key not in {"members", "suite"}}
        try:
            grid = type(self).model_validate(fields)
        except ValidationError as error:
            raise ValueError(f"{where}: {first_problem(error)}") from None
        if "learning_rates" in named:
            return grid
        rates = {text: values for text, values in self.learning_rates.items() if text in grid.methods}
        return grid.model_copy(update={"learning_rates": rates})

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a study from a file; its folders, of pairs and of models, are taken relative to that file.

        Raises:
            ConfigError: the file cannot be read, or breaks a rule; one line that names field, rule and value.
        """
        path = Path(path)
        study = cls.read(read_yaml(path, "a study (members, methods, budgets, ...)"), str(path))
        here = path.parent
        places = {"pairs": here / study.pairs} | beside(here, {name: getattr(study, name) for name in OF_MODELS})
        return study.model_copy(update=places | {"also": tuple(grid | beside(here, grid) for grid in study.also)})

    def shapes(self) -> list[ModelShape]:
        """The members, looked up, smallest first.

        Raises:
            ModelError: a member or the suite is unknown.
        """
        found, refused = self._members()
        if refused:
            raise ModelError(next(iter(refused.values())))
        return [member.shape for member in found]

    def refused(self) -> dict[str, str]:
        """The members that cannot be trained, and why, in one line each.

        Every weight of a member that is a folder is read for it.

        Raises:
            ModelError: a name is no member's at all.
        """
        reasons: dict[str, str] = {}
        for grid in self.grids():
            found, unusable = grid._members()
            reasons |= unusable
            for name in (member.shape.name for member in found):
                try:
                    check_member(name)
                except ModelError as error:
                    reasons[name] = str(error)
        return reasons

    def _members(self, identified: bool = True) -> tuple[list[Member], dict[str, str]]:
        names = suite_names(self.suite) if self.suite is not None else self.members
        return members_of(names, self.pooling) if identified else (members_by_shape(names, self.pooling), {})

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

    def configs(self, pairs: Pairs | str) -> list[RunConfig]:
        """The configuration of each of the study's `runs` on these pairs.

        Raises:
            ModelError, MethodError: a member is unknown, or a method does not fit it.
        """
        return [run.config for run in self.runs(pairs)]

    def runs(self, pairs: Pairs | str, *, identified: bool = True) -> list[GridRun]:
        """Every run on these pairs, or on those with this content hash, cheapest budget first.

        Where the study does not say on how many pairs to measure, it takes as many of the pairs as there are, and of a
        content hash the default.

        A run that several grids have is named once, with the smallest ``min_steps`` of these grids. To count and
        simulate runs of models that are not on this machine, ask for runs that are not ``identified``: the weights are
        no part of their ids, so that these are not the ids of real runs.

        Raises:
            ModelError, MethodError: a member is unknown, or a method does not fit it.
            PairsError: there are fewer validation pairs than the study measures on.
        """
        grids = self.grids()
        smallest = min(min(grid.budgets) for grid in grids)
        found: dict[str, GridRun] = {}
        for run in (run for grid in grids for run in grid._own_runs(pairs, smallest, identified)):
            fewest = min(run.min_steps, found.get(run.config.id, run).min_steps)
            found[run.config.id] = run._replace(min_steps=fewest)
        return sorted(found.values(), key=lambda run: run.config.train_flops)

    def _own_runs(self, pairs: Pairs | str, smallest: float, identified: bool) -> Iterator[GridRun]:
        """The runs of this grid alone, in a study whose smallest budget is given."""
        asked = self.eval_pairs, self.eval_candidates
        eval_pairs, eval_candidates = eval_counts(*asked) if isinstance(pairs, str) else counts_for(pairs, *asked)
        members, methods = self._members(identified)[0], [parse_method(text) for text in self.methods]
        for member, method in product(members, methods):
            method.check(member.shape)
        for budget, (shape, pooling, weights), method in product(sorted(self.budgets), members, methods):
            for rate in self.learning_rates.get(str(method)) or (method.default_learning_rate(shape),):
                for seed in self.seeds:
                    config = RunConfig(
                        model=shape.name,
                        method=str(method),
                        train_flops=budget,
                        pairs=pairs if isinstance(pairs, str) else pairs.hash,
                        batch_size=self.batch_at(budget),
                        learning_rate=rate,
                        seed=seed,
                        max_length=self.max_length,
                        pooling=pooling,
                        weights=weights,
                        max_epochs=self.max_epochs,
                        eval_pairs=eval_pairs,
                        eval_candidates=eval_candidates,
                        yardstick=self.yardstick,
                        schedule=self.schedule,
                        decay=self.decay,
                        # with wsd the same FLOP at all budgets of a trunk, and in all grids
                        warmup=_WARMUP * (smallest / budget) if self.schedule == "wsd" else _WARMUP,
                    )
                    yield GridRun(config, method, shape, self.min_steps)
