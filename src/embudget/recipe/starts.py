"""Start afresh from a base language model, or go on with an existing retriever? The best of every lineage, compared.

Each lineage that was measured has laws of its own (`embudget.laws.lineages`), and thus a recipe of its own by
`embudget.recipe.answer`: its members, its methods, its rates. The recipe with the lowest predicted loss is the
answer. Row by row the draws of all lineages' laws belong together, so that what is told of a difference between two
choices is told of these two as well: a choice of another lineage ties by the rule of `Choices.ties`, and the budget
at which one lineage overtakes another has an interval as that of two kinds of method has.

A retriever wins where little can be spent, since it is good already; a base model may win where much can be.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from embudget.choices import (
    StartCrossover,
    budgets_between,
    crossovers_by,
    members_for,
)
from embudget.choices.table import TIE_DRAWS, Array, Mask
from embudget.errors import BudgetError, InfeasibleError, UnsupportedError
from embudget.laws import Laws
from embudget.laws.diagnostics import uneven_tuning
from embudget.laws.uncertainty import with_error
from embudget.recipe.answer import answer, of_one_lineage
from embudget.recipe.choice import BestStart, Choice, Rejection
from embudget.recipe.clock import Clock
from embudget.recipe.lowest import Lowest, span_near
from embudget.recipe.options import Question
from embudget.recipe.recipe import Recipe
from embudget.recipe.untrained import untrained_start
from embudget.recipe.warnings import Caution
from embudget.recipe.wishes import Wishes, limits_of
from embudget.runs.lineages import is_of_retrievers
from embudget.suite import ModelShape, find_suite, known_shape
from embudget.suite.members import split_depth

BETWEEN_STARTS = 0.5
"""Correlation of what no form of law explains of two lineages' forecasts. assumption: less than between two kinds of
method of one lineage (0.92), since the models are others, while the pairs and the budgets are the same."""


class _Start(NamedTuple):
    """What one lineage offers."""

    laws: Laws
    question: Question
    recipe: Recipe
    cautions: tuple[Caution, ...]

    @property
    def loss(self) -> float:
        """The predicted loss at the best learning rate, by which choices are compared."""
        return self.recipe.predicted_loss / (1 + self.recipe.rate_cost)


def questions(
    laws: Laws, suite: str | None, wishes: Wishes, clock: Clock | None = None
) -> tuple[dict[str, Question], tuple[str, ...]]:
    """By lineage, what is asked of its laws; and the lineages of members of the suite that have no laws.

    A member is of the lineage that models of its name were measured as, or else of its own.

    Raises:
        UnsupportedError: no member of the suite is of a measured lineage.
        ConfigError, ModelError: as `Question.of`.
    """
    limits_of(wishes)
    of_base = {split_depth(name)[0]: one.lineage for one in laws.every for name in one.table.models}

    def lineage_of(shape: ModelShape) -> str:
        return of_base.get(split_depth(shape.name)[0]) or shape.lineage

    given = None if suite is None else find_suite(suite)
    found: dict[str, Question] = {}
    for one in laws.every:
        name = str(one.lineage)
        shapes = members_for(one.table.models, None) if given is None else given
        mine = [shape for shape in shapes if lineage_of(shape) == name]
        if mine:
            found[name] = Question.of(one, wishes, suite, members=mine, clock=clock)
    others = tuple(dict.fromkeys(one for one in map(lineage_of, given or ()) if one not in laws.lineages))
    if not found:
        measured = ", ".join(map(str, laws.lineages))
        raise UnsupportedError(
            f"no member of {suite} is of a lineage that was measured ({measured}), only of {', '.join(others)}: "
            "measure some of them"
        )
    return found, others


def best_start(
    laws: Laws,
    budget: float,
    suite: str | None,
    wishes: Wishes,
    *,
    far: bool | None = None,
    clock: Clock | None = None,
) -> tuple[Recipe, tuple[Caution, ...]]:
    """The best recipe of all lineages for a budget in FLOP, and its warnings.

    Args:
        laws: of several lineages.
        budget: FLOP.
        suite: whose members are considered; by default the measured ones and those of their suites.
        wishes: as for `recommend`.
        clock: where the budget is hours, the speeds by which each choice gets its FLOP.
        far: as for `answer`; None for recipes that the runs support, or else the guesses that pilots are laid out by.

    Raises:
        BudgetError, InfeasibleError: no lineage has a recipe.
        UnsupportedError: no member of the suite is of a measured lineage.
        ConfigError, ModelError: as `recommend`.
    """
    asked, unmeasured = questions(laws, suite, wishes, clock)
    starts, refused = _answers(asked, budget, far)
    places = sorted(range(len(starts)), key=lambda place: (not starts[place].recipe.supported, starts[place].loss))
    ordered = [starts[place] for place in places]
    tied = [_ties(ordered[0], one) for one in ordered]
    first, why = 0, ""
    if limits_of(wishes).prefer == "small":
        first = min(
            (place for place, ties in enumerate(tied) if ties), key=lambda place: ordered[place].recipe.model_params
        )
        why = f"as the smallest of {sum(tied)} lineages that are predicted as good" if first else ""
    chosen = ordered[first]
    flat, worse = _beside(chosen, [one for one in ordered if one is not chosen])
    no_runs = (
        Rejection(model=f"members of {name}", method="by any method", reason="no run of their lineage was measured")
        for name in unmeasured
    )
    best = sorted((_best(one) for one in starts), key=lambda one: one.predicted_loss)
    cautions = (*chosen.cautions, *_tuned_unevenly(starts))
    lowest = min(
        loss
        for start in starts
        for loss in (start.recipe.predicted_loss, *(one.predicted_loss for one in start.recipe.flat))
    )
    untrained = untrained_start(list(asked.values()), budget, lowest, chosen.recipe.rate_cost)
    recipe = chosen.recipe.model_copy(
        update={
            "lineage": chosen.laws.lineage,
            "chosen": why or chosen.recipe.chosen,
            "flat": (*chosen.recipe.flat, *flat),
            "rejected": (*worse, *refused, *no_runs, *chosen.recipe.rejected),
            "starts": tuple(best),
            "start_crossovers": start_crossovers(
                {name: one._replace(clock=None) for name, one in asked.items()}, budget
            ),
            "untrained": untrained,
            "warnings": tuple(caution.text for caution in cautions),
        }
    )
    return recipe, cautions


def leading(laws: Laws, budget: float, suite: str | None, wishes: Wishes, clock: Clock | None = None) -> Laws:
    """The laws of the lineage that the best recipe for a budget in FLOP is of; errors as `best_start`."""
    recipe, _ = best_start(laws, budget, suite, wishes, clock=clock)
    return laws.of(recipe.lineage)


def _answers(asked: dict[str, Question], budget: float, far: bool | None) -> tuple[list[_Start], list[Rejection]]:
    """The recipe of each lineage, or why it has none."""
    starts, refused = [], []
    errors: list[InfeasibleError | BudgetError] = []
    for name, question in asked.items():
        try:
            found = of_one_lineage(question, budget) if far is None else answer(question, budget, far=far)
            starts.append(_Start(question.laws, question, *found))
        except (InfeasibleError, BudgetError) as error:
            errors.append(error)
            refused.append(Rejection(model=f"members of {name}", method="by any method", reason=str(error)))
    if not starts:
        raise errors[0]
    return starts, refused


def _tuned_unevenly(starts: Sequence[_Start]) -> Iterator[Caution]:
    text = uneven_tuning({str(one.laws.lineage): one.laws.cells for one in starts})
    if text is not None:
        yield Caution("tuned unevenly", text)


def _draws(start: _Start, choices: Sequence[tuple[str, float, float]]) -> Array:
    """Log losses of choices, each a method with N and D, by every draw of their lineage's laws (draws, m)."""
    methods, sizes, tokens = zip(*choices, strict=True)
    return start.question.law.log_draws(list(methods), np.array(sizes), np.array(tokens))


def _ties(best: _Start, other: _Start) -> bool:
    """Whether another lineage's best choice cannot be told from the best one, by the rule of `Choices.ties`."""
    if other is best:
        return True
    if other.recipe.supported != best.recipe.supported:
        return False
    of_best, of_other = (
        _draws(one, [(one.recipe.method, float(one.recipe.model_params), one.recipe.tokens)])[:, 0]
        for one in (best, other)
    )
    near = other.loss / best.loss - 1 <= best.question.law.noise
    return bool(near or float((of_other < of_best).mean()) >= TIE_DRAWS)


def _beside(chosen: _Start, others: Sequence[_Start]) -> tuple[list[Choice], list[Rejection]]:
    """The best choice of each other lineage: as good as the chosen one, or rejected as so much worse."""
    flat, worse = [], []
    for one in others:
        recipe = one.recipe
        if _ties(chosen, one):
            shared = {name: getattr(recipe, name) for name in Choice.model_fields}
            flat.append(Choice(**shared | {"lineage": one.laws.lineage}))
        else:
            loss = one.loss * (1 + chosen.recipe.rate_cost)
            reason = f"predicted loss {loss:.3f}, {100 * (one.loss / chosen.loss - 1):.1f} % worse"
            if not recipe.supported:
                reason += "; its runs do not support it"
            reason += f"; the best of {one.laws.lineage}"
            worse.append(Rejection(model=recipe.model, method=recipe.method, reason=reason))
    return flat, worse


def _best(start: _Start) -> BestStart:
    recipe, shape = start.recipe, known_shape(start.recipe.model)
    return BestStart(
        lineage=str(start.laws.lineage),
        start="retriever" if is_of_retrievers(str(start.laws.lineage)) else None if shape is None else shape.start,
        model=recipe.model,
        method=recipe.method,
        predicted_loss=recipe.predicted_loss,
        predicted_interval=recipe.predicted_interval,
        supported=recipe.supported,
    )


def start_crossovers(asked: dict[str, Question], budget: float | None = None) -> tuple[StartCrossover, ...]:
    """The budgets at which the best lineage changes, then the lineages that cannot be told apart.

    They are sought from the budget, or the smallest measured one, to well beyond both. Where one lineage has no choice
    at a budget, as where all its members are too large for it, nothing is compared.
    """
    names = list(asked)
    if len(names) < 2:
        return ()
    budgets = budgets_between(*span_near(list(asked.values()), budget))
    means, draws, beyond = Lowest.of(list(asked.values()), budgets)
    freedom = next(iter(asked.values())).laws.surface.freedom

    def widen(gaps: Array, mean: Array, there: Mask) -> Array:
        two = np.sort(beyond[:, there], axis=0)[-2:]  # the two lineages that are known worst
        total = two.sum(axis=0) - 2 * BETWEEN_STARTS * np.sqrt(two.prod(axis=0))
        return with_error(gaps, mean, freedom, np.sqrt(np.maximum(total, 0.0)))

    return tuple(StartCrossover.of(one) for one in crossovers_by(names, budgets, means, draws, widen))
