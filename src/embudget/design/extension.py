"""A pilot that extends the measured runs, where these reach nearly far enough: runs at a sixteenth of the budget.

Just beyond 16 times the measured budgets a study of its own would repeat what was measured: its largest budget, C/250,
lies below the largest measured one, and where its runs would be too short, it takes larger parts of the budget and
costs up to half of it. What is missing there is only the distance. So the measured runs count, and one run is added at
C/16: of the method that the guess takes, on the model that the laws call best there, at the rate and the settings of
the measured runs. Fitted together with them it brings the method within 16 times, for 6 % of the budget.

It is no choice where the runs lie more than 250 times below, where it would itself be a long way out; nor off the
measured family; nor where the new run's loss could not be compared with theirs, or its model not be told from theirs.
"""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from embudget.choices import candidates_of
from embudget.design.rates import Expected, expected
from embudget.recipe import Recipe
from embudget.recipe.hyperparameters import hyperparameters
from embudget.recipe.options import Option, Question
from embudget.recipe.support import LADDERS, MOST_TIMES, of_measured_family
from embudget.records import RunConfig
from embudget.records.config import EvalScale
from embudget.runs import Cell
from embudget.study import Study
from embudget.suite import find_shape, known_shape

UNKNOWN_PAIRS = "0" * 16
"""Content hash of a study's pairs, where these are not there yet: of all its runs alike, so that they compare."""
_DIGITS = 3
MOST_SEEDS = 3
SPACING = 3.0
"""Factor between the simulated rates of a measured cell: that of the studies in `results`."""


class Extension(NamedTuple):
    """One run to add, and those that it is fitted with."""

    study: Study
    rates: dict[str, Expected]
    measured: tuple[RunConfig, ...]
    """A run for each cell of the laws and each of its seeds and rates, as it would be simulated."""


def extension(question: Question, guess: Recipe, pairs: Path) -> Extension | None:
    """The run to add to the measured ones for the budget of a guess; None where it would not do."""
    laws = question.laws
    known = [cell for cell in laws.cells if known_shape(cell.model) is not None]
    times = guess.train_flops / laws.domain[guess.method].budgets[1]
    if not of_measured_family(question) or len(known) < len(laws.cells) or not 1 < times <= LADDERS[0][-1]:
        return None
    if laws.table.yardstick not in (None, RunConfig.model_fields["yardstick"].default):
        return None
    option = _best(question, guess, _rounded_up(guess.train_flops / MOST_TIMES))
    if option is None:
        return None
    candidate, shape, budget = option.candidate, option.candidate.shape, option.train_flops
    assert shape is not None
    how = hyperparameters(laws, candidate, budget, option.tokens).values
    rate = expected(question, candidate.method, shape, budget, option.batch_size)
    passes = 1 if laws.table.known_pairs is None else ceil(option.pairs / laws.table.known_pairs)
    schedule = {"schedule": how.get("schedule", "cosine")} | ({"decay": how["decay"]} if how.get("decay") else {})
    fields = {
        "pairs": str(pairs),
        "members": [candidate.model],
        "methods": [str(candidate.method)],
        "budgets": [budget],
        "learning_rates": {str(candidate.method): [rate.rate]},
        "seeds": [0],
        "batch_size": option.batch_size,
        **schedule,
        "min_steps": 1,
        "max_epochs": max(how["max_epochs"], passes),
        **{name: how[name] for name in ("max_length", "eval_pairs", "eval_candidates", "eval_scale")},
        **_settings(how),
    }
    measured = tuple(run for cell in known for run in _runs(cell, option.batch_size, how["eval_scale"]))
    return Extension(Study.read(fields, "the pilot study"), {str(candidate.method): rate}, measured)


def _settings(how: dict[str, Any]) -> dict[str, Any]:
    """How the measured runs were trained, where that is not what a study does by itself."""
    one = ("pooling", "query_prompt", "document_prompt", "attention", "matryoshka")
    axes = ("negatives", "scale", "weight_decay")
    told = {name: how[name] for name in one if how[name] not in (None, ())}
    usual = {name: RunConfig.model_fields[name].default for name in axes}
    return told | {name: [how[name]] for name in axes if how[name] != usual[name]}


def _runs(cell: Cell, batch_size: int, eval_scale: EvalScale) -> Iterator[RunConfig]:
    """Runs like those of a cell: its seeds at the best rate, and if it has an envelope, a rate on either side."""
    run = RunConfig(
        model=cell.model, method=cell.method, train_flops=cell.budget, pairs=UNKNOWN_PAIRS,
        batch_size=max(2, round(cell.batch_size or batch_size)), learning_rate=cell.learning_rate,
        schedule="wsd" if cell.schedule == "wsd" else "cosine", eval_scale=eval_scale,
    )  # fmt: skip
    for seed in range(min(cell.seeds, MOST_SEEDS)):
        yield run.model_copy(update={"seed": seed})
    if cell.rate_inside is not None and run.learning_rate is not None:
        for times in (1 / SPACING, SPACING):
            yield run.model_copy(update={"learning_rate": times * run.learning_rate})


def _best(question: Question, guess: Recipe, budget: float) -> Option | None:
    """What the laws call best for the guess's method at a budget."""
    shapes = [one.shape for one in question.candidates if one.shape is not None]
    shapes += [find_shape(model) for model in question.laws.table.models]
    every = candidates_of(list({shape.name: shape for shape in shapes}.values()), [guess.method])
    options = [one for one in (question.option(candidate, budget) for candidate in every) if isinstance(one, Option)]
    law, name = question.law, guess.method
    return min(options, key=lambda one: law.predict(name, one.candidate.model_params, one.tokens), default=None)


def _rounded_up(flops: float) -> float:
    """To 3 digits, so that the budget is no more than 16 times as large."""
    unit = 10.0 ** (len(f"{flops:.0f}") - _DIGITS)
    return float(f"{ceil(flops / unit - 1e-9) * unit:.{_DIGITS}g}")
