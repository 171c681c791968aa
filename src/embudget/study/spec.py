"""A study as a user writes it in YAML: members, methods, budgets, pairs, and how each run of the grid is set up.

suite: smollm2                        # or members: [smollm2-135m:1, ...]; folders are relative to this file
methods: [full, freeze:0.5, lora:32]
budgets: [1e12, 4e12, 1.6e13]
pairs: pairs/                         # relative to this file
batch_size: {at: 1e12, pairs: 16, exponent: 0.5}
schedule: wsd                         # one run serves all budgets of a setting, the default; or cosine, one run each
negatives: [0, 1, 4]                  # hard negatives of each pair; every run with each
scale: [20, 40]                       # 1 / temperature; every run with each
decay: 0.2                            # with wsd, the last share of each budget, in which the rate falls
also:                                 # further grids, each as above but for what it names
  - {budgets: [4e12], members: [smollm2-135m:2], seeds: [1, 2]}

How the runs of one grid share what they can is said in `embudget.study.grid`.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from embudget.errors import ModelError
from embudget.frozen import first_problem
from embudget.limits import Flops
from embudget.pairs import Pairs
from embudget.reading import read_yaml
from embudget.records import RunConfig
from embudget.records.config import EvalScale
from embudget.remote import is_url
from embudget.study.assumed_pairs import AssumedPairs
from embudget.study.axes import Tasks
from embudget.study.grid import Grid, GridRun
from embudget.study.members import OF_MODELS, Member, beside
from embudget.suite.checks import check_member

_OF_ALL = ("pairs", "also", "evaluate", "flops_per_second", "assumed_pairs")
"""Fields that are the whole study's, which none of its further grids can name."""


class Study(Grid):
    """The grid of runs: every member, method, budget, rate and seed, each with every length, scale, ...; and others.

    Example:
        >>> study = eb.Study(
        ...     suite="micro", methods=["full", "lora:8"], budgets=[5e10, 2e11, 8e11], pairs="pairs/"
        ... )
        >>> len(study.configs(eb.load_pairs("pairs/")))
        24
    """

    evaluate: Tasks = Field(
        default=(),
        description="benchmarks that each run's model is scored on when it is trained, as `embudget evaluate --tasks` "
        "takes them, with paths relative to the study's file; the scores stand in the records",
    )
    flops_per_second: Flops = Field(
        default=4e10, description="speed to estimate hours with until runs are measured; assumption: two CPU cores"
    )
    assumed_pairs: AssumedPairs | None = Field(
        default=None,
        description="what to take the pairs to be while their folder is not there, for `embudget plan --device`: "
        "query_tokens, positive_tokens (means) and training_pairs",
    )
    also: tuple[dict[str, Any], ...] = Field(
        default=(), description="further grids, each as this one but for the fields that it names"
    )

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
        if barred := sorted(set(_OF_ALL) & set(named)):
            raise ValueError(f"{where} cannot name {barred[0]}, which is the whole study's")
        fields = {key: value for key, value in own.items() if key != "learning_rates"} | named
        if {"members", "suite"} & set(named):  # one takes the place of the other
            fields = {key: value for key, value in fields.items() if key in named or key not in {"members", "suite"}}
        try:
            grid = type(self).model_validate(fields)
        except ValidationError as error:
            raise ValueError(f"{where}: {first_problem(error, type(self))}") from None
        if "learning_rates" in named:
            return grid
        rates = {text: values for text, values in self.learning_rates.items() if text in grid.methods}
        return grid.model_copy(update={"learning_rates": rates})

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a study from a file; its folders, of pairs and of models, are taken relative to that file; URLs stay.

        Raises:
            ConfigError: the file cannot be read, or breaks a rule; one line that names field, rule and value.
        """
        path = Path(path)
        here = path.parent
        study = cls.read(read_yaml(path, "a study (members, methods, budgets, ...)"), str(path), context=here)
        pairs = study.pairs if is_url(study.pairs) else here / study.pairs
        places = {"pairs": pairs} | beside(here, {name: getattr(study, name) for name in OF_MODELS})
        return study.model_copy(update=places | {"also": tuple(grid | beside(here, grid) for grid in study.also)})

    def refused(self) -> dict[str, str]:
        """The members that cannot be trained, and why, in one line each.

        Every weight of a member that is a folder is read for it.

        Raises:
            ModelError: a name is no member's at all.
        """
        reasons: dict[str, str] = {}
        for grid in self.grids():
            found, unusable = grid.find_members()
            reasons |= unusable
            for name in (member.shape.name for member in found):
                try:
                    check_member(name)
                except ModelError as error:
                    reasons[name] = str(error)
        return reasons

    def configs(self, pairs: Pairs | str) -> list[RunConfig]:
        """The configuration of each of the study's `runs` on these pairs.

        Raises:
            ModelError, MethodError: a member is unknown, or a method does not fit it.
            PairsError: there are fewer validation pairs than the study measures on.
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
        members = [grid.find_members(identified)[0] for grid in grids]
        scale = _eval_scale(grids, members)
        found: dict[str, GridRun] = {}
        own_runs = (grid.own_runs(pairs, own, smallest, scale) for grid, own in zip(grids, members, strict=True))
        for run in chain.from_iterable(own_runs):
            fewest = min(run.min_steps, found.get(run.config.id, run).min_steps)
            found[run.config.id] = run._replace(min_steps=fewest)
        return sorted(found.values(), key=lambda run: run.config.train_flops)


def _eval_scale(grids: Sequence[Grid], members: Sequence[Sequence[Member]]) -> EvalScale:
    """At which scale the losses of a study are taken where it does not say.

    A retriever was trained at a scale of its own. At another one its loss falls as soon as it has learned that,
    whatever becomes of its ranking: high rates would win that make it a worse model (`docs/log.md`).
    """
    scales = {scale for grid in grids for scale in grid.scale}
    retrieves = any(member.shape.start == "retriever" for own in members for member in own)
    return "best" if len(scales) > 1 or retrieves else "own"
