"""Do the runs support a recipe? Not far outside the budgets of its method, nor for models of another family.

    distance    training takes at most 16 times the largest budget that the method was measured at, and at least 1/16 of
                the smallest: in simulated studies recipes were checked at 4, 16 and 64 times (docs/concepts), and what
                the forms of law do not capture grows with every step beyond
    family      a member of the suite was measured, or one of its family. Models whose names say nothing are known by
                their sizes: two of them within 1 % of members' N. A table that names no models leaves it to the user

Runs at three parts of a budget (`LADDERS`), with one batch, and with several rates in a few cells, are the pilot study
that `embudget.design` plans. They support the recipe it is for, though they lie far below: the regret that comes of it
was simulated before the pilot was paid for. So they do at all smaller budgets, which are nearer to the runs, and up to
BEYOND_TARGET times the one that it is for. Other studies can have budgets of this shape too; what tells a pilot from
them is that most of its cells have one rate, and a batch that leaves its target no more than MOST_STEPS steps.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from embudget.choices import base_of, unknown_models
from embudget.laws import Laws
from embudget.recipe.batch_size import FAR_STEPS, MAX_BATCH_SIZE
from embudget.recipe.options import Option, Question
from embudget.runs.columns import SIZE_NAME
from embudget.suite import SHAPES

Array = NDArray[np.float64]

MOST_TIMES = 16.0
"""Times outside the measured budgets of a method up to which its runs support a recipe."""
LADDERS = ((4000, 1000, 250), (1200, 300, 75), (250, 62.5, 15.625))
"""A pilot's budgets are the target's over the first three, or over others where only these pay for long enough runs."""
ALIKE = 0.01
"""Relative difference in N below which a model of unknown name is taken for a member."""
_FEWEST_ALIKE = 2
_SLACK = 1 + 1e-6
_CLOSE = 1e-3
"""Relative difference of budgets that count as the pilot's, which are rounded to 4 digits."""
BEYOND_TARGET = 2.0
"""Times the budget that a pilot is for, up to which its runs support a recipe: 250 times its own becomes 500.
assumption: what holds at a budget holds at twice as much, where the best size and data are 1.4 times as large."""
MOST_STEPS = 2**0.5 * 2 * FAR_STEPS
"""Steps that the target of a pilot takes at most at its batch. The rule leaves it 2000 to 4000
(`embudget.recipe.batch_size.far_batch`); the root is for steps at another budget, which say the target's roughly."""


def unsupported(question: Question, option: Option) -> str | None:
    """Why the runs do not support this option as a recipe, in words; None where they do."""
    laws, method, why = question.laws, str(option.candidate.method), []
    times, (low, high) = laws.extrapolation(option.train_flops, method), laws.domain[method].budgets
    if times > MOST_TIMES * _SLACK and not _is_of_pilot(laws, option):
        why.append(
            f"{times:.3g} times outside the budgets that {method} was measured at, {low:.3g} to {high:.3g} "
            f"({MOST_TIMES:g} at most)"
        )
    if not of_measured_family(question):
        why.append(of_another_family(question))
    if not why:
        return None
    return f"these runs do not support a recipe for {option.train_flops:.3g} FLOP: " + ", and ".join(why)


def of_another_family(question: Question) -> str:
    """Which models were measured, where no member of the suite was, in words."""
    bases = list(dict.fromkeys(map(base_of, question.laws.table.models)))
    named = ", ".join(bases[:3]) + (f" and {len(bases) - 3} more" if len(bases) > 3 else "")
    return f"no member of {question.suite or 'the suite'} was measured, only {named}"


def _is_of_pilot(laws: Laws, option: Option) -> bool:
    """Whether the runs of the method are those of a pilot for this budget, or for a larger one, or one half as large.

    They are at its three budgets and no other, with one batch, and in two cells of several rates.
    """
    mine = [cell for cell in laws.cells if cell.method == str(option.candidate.method)]
    parts = np.array(sorted({option.train_flops / cell.budget for cell in mine}, reverse=True))
    tuned = sum(cell.rates > 1 for cell in mine)
    if len(parts) != len(LADDERS[0]) or tuned < 2 or {cell.batch_size for cell in mine} != {option.batch_size}:
        return False
    if any(np.allclose(parts, ladder, rtol=_CLOSE) for ladder in LADDERS):
        return True
    return tuned <= len(mine) / 2 and any(_reaches(parts, np.array(ladder), option) for ladder in LADDERS)


def _reaches(parts: Array, ladder: Array, option: Option) -> bool:
    """Whether runs at these parts of an option's budget (descending) are a pilot of this ladder that reaches so far.

    The target's steps are those of the option times the root of the factor between them, as where size and data share
    the growth of a budget evenly.
    """
    times = float(parts[-1] / ladder[-1])  # the option's budget over that of the target
    suits = option.steps / times**0.5 <= MOST_STEPS or option.batch_size >= MAX_BATCH_SIZE
    return suits and times <= BEYOND_TARGET * _SLACK and np.allclose(parts, times * ladder, rtol=_CLOSE)


def guessing(question: Question) -> Question:
    """The question without limits on the distance, nor, off the measured family, on sizes that were not measured.

    Its answer may be unsupported; then it is the guess that a pilot is laid out around.
    """
    any_size = question.limits.any_size or not of_measured_family(question)
    return question._replace(limits=question.limits._replace(force=True, any_size=any_size))


def of_measured_family(question: Question) -> bool:
    """Whether a member of the suite was measured, or one of the same family.

    A table that names no models leaves it to whoever names the suite.
    """
    models = question.laws.table.models
    if names_no_models(question.laws):
        return True
    bases, wished = set(map(base_of, models)), {base_of(one.model) for one in question.candidates}
    if bases & wished:
        return True
    measured, families = ({SHAPES[base].lineage for base in names if base in SHAPES} for names in (bases, wished))
    if measured & families:
        return True
    unknown = set(unknown_models(models))
    sizes = {cell.model_params for cell in question.laws.table.cells if cell.model in unknown}
    return _alike(sizes, {one.model_params for one in question.candidates}) >= _FEWEST_ALIKE


def names_no_models(laws: Laws) -> bool:
    """Whether all models of the table have names made of their sizes."""
    return all(model.startswith(SIZE_NAME) for model in laws.table.models)


def _alike(sizes: Iterable[float], members: Iterable[float]) -> int:
    """How many of the members have a measured size."""
    every = list(sizes)
    return sum(any(abs(size / member - 1) < ALIKE for size in every) for member in members)
