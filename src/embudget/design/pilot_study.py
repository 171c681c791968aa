"""A study that is planned for a target, with what is expected of it: what a pilot and a design hold."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, computed_field, field_serializer

from embudget.design.guesses import Worth
from embudget.design.layout import MIN_STEPS, MOST_SHARE, Layout
from embudget.design.plain_yaml import PlainDumper
from embudget.files import save_text
from embudget.frozen import Frozen
from embudget.laws import Laws
from embudget.laws.rates import rate_text
from embudget.limits import Flops
from embudget.methods import parse_method
from embudget.recipe import Recipe
from embudget.recipe.batch_size import Batch, sourced_batch_rule
from embudget.recipe.options import Question
from embudget.records import MethodText
from embudget.study import Study
from embudget.suite import find_shape

_HEADER = """\
# A pilot study for {budget:.3g} FLOP: about {share:.0f} % of it, at the batch size of the target.
# {reason}.
# Set `pairs` to your folder of text pairs, which must hold at least {pairs:,} for training, then:
#   embudget sweep THIS_FILE --store pilot.db; embudget fit pilot.db --out laws.json
#   embudget recipe laws.json --budget {budget:.6g}{suite}
"""
_EXTENDING = """\
# Extends the measured runs for a budget of {budget:.3g} FLOP, with {share:.0f} % of it, at their own settings.
# {reason}.
# Set `pairs` to the folder of the measured runs' pairs (at least {pairs:,} for training), and run it into their store:
#   embudget sweep THIS_FILE --store THEIR_STORE; embudget fit THEIR_STORE --out laws.json
#   embudget recipe laws.json --budget {budget:.6g}{suite}
# If the runs are in a table, add to it the row that `embudget records STORE --csv FILE` writes of the new one.
"""


class Pilot(Frozen):
    """The study that would support a recipe for a budget, and what to expect of it.

    Example:
        >>> pilot = eb.pilot(eb.find_laws("smollm2"), 1e17, suite="pythia")
        >>> pilot.save("pilot.yaml")
        >>> round(pilot.share, 2)
        0.05
    """

    reason: str = Field(description="why the measured runs support no recipe, in words, as `recommend` says it")
    budget: Flops = Field(description="of the recipe that the pilot is for, FLOP")
    suite: str | None = Field(description="that the recipe is asked for, as the user gave it")
    model: str = Field(description="the guess: of the far recipe")
    method: MethodText = Field(description="that of the guess")
    batch_source: str = Field(description="where the batch size comes from, in words")
    rate_sources: dict[MethodText, str] = Field(description="where the rate expected best comes from, in words")
    measured: NonNegativeInt = Field(
        default=0, description="cells that were measured already and count: the pilot's runs are fitted with theirs"
    )
    study: Study
    runs: PositiveInt
    train_flops: PositiveFloat = Field(description="of all runs, those of one trunk spent once")
    pairs: PositiveInt = Field(description="the most that a run needs, all passes over them together")
    regrets: tuple[float, ...] = Field(description="of the recipes that simulated pilots gave, relative")
    choice_regrets: tuple[float, ...] = Field(description="the same without what a wrong learning rate costs")
    measured_on: str | None = Field(default=None, description="content hash of the pairs that those cells are of")
    failures: NonNegativeInt = Field(default=0, description="simulated pilots that gave none")
    warnings: tuple[str, ...] = Field(default=(), description="what to doubt, in words")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def share(self) -> float:
        """The pilot's cost as a share of the budget."""
        return self.train_flops / self.budget

    @computed_field  # type: ignore[prop-decorator]
    @property
    def expected_regret(self) -> float | None:
        """Mean over the simulated pilots, relative; None where none gave a recipe."""
        return float(np.mean(self.regrets)) if self.regrets else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def regret_error(self) -> float | None:
        """Standard error of `expected_regret`; None with fewer than two simulated pilots."""
        count = len(self.regrets)
        return float(np.std(self.regrets, ddof=1) / count**0.5) if count > 1 else None

    @field_serializer("study")
    def _as_written(self, study: Study) -> dict[str, Any]:
        """With the fields that it names, which its further grids are based on."""
        return study.model_dump(mode="json", exclude_unset=True)

    def __str__(self) -> str:
        """A few lines, for a person."""
        study = self.study
        budgets = ", ".join(f"{budget:.3g}" for budget in study.budgets)
        seeds = f", {len(study.seeds)} seeds" if len(study.seeds) > 1 else ""
        lines = [
            self.reason,
            f"  pilot     {', '.join(study.members)} by {', '.join(study.methods)} with {budgets} FLOP",
            f"  runs      {self.runs}{seeds}{self._beside()}",
            f"  cost      {self.train_flops:.3g} FLOP, {100 * self.share:.1f} % of the budget{self._dear()}",
            f"  pairs     {self.pairs:,} for training at least",
            f"  batch     {study.batch_at(study.budgets[0])}, {self.batch_source}",
            *self._rates(),
            f"  expect    {self._expected()}",
            f"  guess     {self.model} by {self.method}, what the pilot is laid out around",
            *(f"  warning   {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)

    def _beside(self) -> str:
        on = f" on the same pairs{f' ({self.measured_on})' if self.measured_on else ''}"
        return f"{on}, to be fitted with those of the {self.measured} cells measured before" if self.measured else ""

    def _rates(self) -> Iterator[str]:
        """Which rates are tried where, and where the middle one of each method comes from."""
        if also := self.study.also:
            cells = " and ".join(f"{grid['members'][0]} at {grid['budgets'][0]:.3g} FLOP" for grid in also)
            yield f"  rates     three, a factor of 3 apart, on {cells}"
        for method, (rate, *_) in self.study.learning_rates.items():
            yield f"  rate      {method} {rate_text(rate)}: {self.rate_sources[method]}"

    def _dear(self) -> str:
        """Why a pilot costs more than about 5 %."""
        dear = self.share > 1.2 * MOST_SHARE and not self.measured
        return f", which runs of {MIN_STEPS} steps of these models take" if dear else ""

    def _expected(self) -> str:
        if self.expected_regret is None:
            return "unknown: no simulated pilot gave a recipe"
        by_choice = 100 * float(np.mean(self.choice_regrets))
        error = "" if self.regret_error is None else f" ± {100 * self.regret_error:.1f}"
        failed = f"; {self.failures} more gave none" if self.failures else ""
        return (
            f"a recipe that loses {100 * self.expected_regret:.1f} %{error} against the best choice, "
            f"{by_choice:.1f} % by the choice and the rest by its learning rate (mean of "
            f"{len(self.regrets)} simulated worlds, the worst {100 * max(self.regrets):.1f} %{failed})"
        )

    def save(self, path: str | Path) -> None:
        """Write the study as YAML for `embudget sweep`, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        header = (_EXTENDING if self.measured else _HEADER).format(
            budget=self.budget, share=100 * self.share, reason=self.reason[:1].upper() + self.reason[1:],
            pairs=self.pairs, suite=f" --suite {self.suite}" if self.suite else "",
        )  # fmt: skip
        data = self._as_written(self.study)
        text = yaml.dump(
            data, Dumper=PlainDumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
        )
        save_text(path, header + text)


def described(
    question: Question,
    guess: Recipe,
    layout: Layout,
    batch: Batch,
    outcomes: Sequence[Worth | None],
    suite: str | None,
    reason: str,
) -> Pilot:
    """A layout as a study to run, with what is expected of it.

    Args:
        question: by which it was laid out.
        guess: the far recipe that it is laid out around.
        layout: the study.
        batch: that of the target.
        outcomes: what it was worth in simulated worlds; None where it gave no recipe.
        suite: as the user gave it.
        reason: what it is for, in words.
    """
    laws = question.laws
    worths = [one for one in outcomes if one is not None]
    tokens = max(
        config.train_flops / parse_method(config.method).flops_per_token(find_shape(config.model))
        for config in layout.configs
    )
    return Pilot(
        reason=reason,
        budget=guess.train_flops,
        suite=suite,
        model=guess.model,
        method=guess.method,
        batch_source=_batch_source(laws, layout, batch),
        rate_sources={name: one.source for name, one in layout.rates.items()},
        measured=len(laws.cells) if layout.measured else 0,
        measured_on=laws.table.pairs if layout.measured else None,
        study=layout.study,
        runs=len(layout.configs),
        train_flops=layout.train_flops,
        pairs=ceil(tokens / question.practice.tokens_per_pair),
        regrets=tuple(one.regret for one in worths),
        choice_regrets=tuple(one.by_choice for one in worths),
        failures=len(outcomes) - len(worths),
        warnings=tuple(one.warning for one in layout.rates.values() if one.warning is not None),
    )


def _batch_source(laws: Laws, layout: Layout, batch: Batch) -> str:
    """Where the batch of the pilot's runs comes from, in words: the rule for the target, or the measured runs."""
    run = layout.configs[0]
    if layout.measured:
        return sourced_batch_rule(laws.cells)(run.train_flops).source
    lowered = run.batch_size != batch.size
    return batch.source + (f", lowered from {batch.size} for pilot runs of {MIN_STEPS} steps" if lowered else "")
