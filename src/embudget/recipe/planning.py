"""The recipe: over all members of a suite and all measured methods, the lowest predicted loss at a budget.

A choice (member, method) buys D = C / c tokens, c the method's FLOP per token, and the law predicts its loss. Where the
model is to serve T tokens afterwards, the budget pays those too and C - 2N T is left to train with. Before the
comparison a choice is rejected, by name, where

- the method cannot train the model, takes fewer steps than any fitted cell did (or a stated number), where the law
  saw nothing, or more parameters, memory or pairs than there are;
- its size is far from anything measured of the method (`embudget.recipe.options`), so that no badly determined
  exponent can send a recipe to either end of the suite.

The prediction, a mean over the bootstrap draws, is minimised as it is. Choices that the study cannot tell from the best
form the flat set (`embudget.recipe.flat`), among which a secondary aim decides; all else is rejected as worse by so
many per cent.
"""

from collections.abc import Sequence
from typing import NamedTuple, Unpack

from embudget.errors import BudgetError, InfeasibleError
from embudget.flops import resolve_budget
from embudget.laws import Laws
from embudget.recipe.crossover import BEYOND, crossovers_within
from embudget.recipe.feasible import nearest_feasible
from embudget.recipe.flat import preferred, tell_apart
from embudget.recipe.hyperparameters import assumed, hyperparameters, learning_rate_for, nearest_cell
from embudget.recipe.losses import Array, intervals_of, losses_of, predicted
from embudget.recipe.members import Candidate, candidates_of, members_for
from embudget.recipe.options import MAX_EXTRAPOLATION, Option, Terms, epochs_for, fewest_steps, offer
from embudget.recipe.values import Choice, Crossover, Recipe, Rejection
from embudget.recipe.warnings import repetition, warnings_for, without_law
from embudget.recipe.wishes import Limits, Wishes, limits_of
from embudget.suite import ModelShape

LEVEL = 0.9
"""Of the intervals."""


def recommend(
    laws: Laws,
    budget: str | float | None = None,
    *,
    suite: str | None = None,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float | None = None,
    dollars_per_hour: float | None = None,
    **wishes: Unpack[Wishes],
) -> Recipe:
    """The best way to spend a budget, by the laws.

    Args:
        laws: of a study.
        budget: in FLOP; or give ``gpu_hours`` or ``dollars``, with ``device``.
        suite: whose members are considered: a built-in name or a folder of models; by default the measured models
            and the built-in suites that hold all of them.
        gpu_hours: budget as time of one device.
        dollars: budget as money for one device.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches; 0.4 by default.
        dollars_per_hour: price of the device, instead of the table's.
        wishes: constraints and what to prefer: ``max_params``, ``pairs_available``, ``max_epochs``, ``device_memory``,
            ``serve_tokens``, ``prefer``, ``min_steps``, ``allow_unmeasured_sizes`` and ``force``; see `Wishes`.

    Raises:
        BudgetError: not exactly one budget, one that cannot be read, or one too far from the measured ones.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: a wish breaks its rule, or the suite is not given where the measured models are no known members.
        InfeasibleError: no choice meets the constraints; they are named, with the nearest budget at which one would.
    """
    flops = resolve_budget(
        budget, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu, dollars_per_hour=dollars_per_hour
    )
    question = question_of(laws, suite, wishes)
    try:
        return answer(question, flops)
    except InfeasibleError as error:
        elsewhere = nearest_feasible(question.terms, flops, question.candidates)
        raise InfeasibleError(f"{error}; {elsewhere}") from None


class Question(NamedTuple):
    """All that a recipe depends on but the budget."""

    laws: Laws
    suite: str | None
    members: tuple[ModelShape, ...]
    candidates: tuple[Candidate, ...]
    terms: Terms

    @property
    def limits(self) -> Limits:
        """The wishes, checked."""
        return self.terms.limits


def question_of(laws: Laws, suite: str | None, wishes: Wishes) -> Question:
    """Look the members up and check the wishes.

    Raises:
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: a wish breaks its rule, or the suite is not given where the measured models are no known members.
    """
    limits = limits_of(wishes, fewest_steps(laws))
    members = members_for(laws, suite)
    return Question(laws, suite, members, candidates_of(laws, members), Terms.of(laws, limits))


def answer(question: Question, budget: float) -> Recipe:
    """The recipe for a budget in FLOP.

    Raises:
        BudgetError: the budget is too far from the measured ones.
        InfeasibleError: no choice meets the constraints; they are named.
    """
    laws, limits = question.laws, question.limits
    _check_distance(laws, budget, limits)
    found = offer(question.terms, budget, question.candidates)
    found.refuse_if_empty()
    losses = losses_of(laws, found.options)
    places, worse = tell_apart(laws, found.options, losses)
    flat = [found.options[place] for place in places]
    choices = _choices(laws, flat, predicted(losses[:, places]))
    taken, why = preferred(laws, flat, limits.prefer)
    best, others = choices[taken], (*choices[:taken], *choices[taken + 1 :])
    recipe = _recipe(question, flat[taken], best, others, (*worse, *found.rejected))
    return recipe.model_copy(update={"chosen": why})


def _check_distance(laws: Laws, budget: float, limits: Limits) -> None:
    """Refuse a budget too far from the measured ones; where serving takes a part of it, each option is judged alone."""
    if laws.extrapolation(budget) > MAX_EXTRAPOLATION and not limits.force and not limits.serve_tokens:
        raise BudgetError(
            f"budget must be within {MAX_EXTRAPOLATION:g} times the measured ones "
            f"({laws.table.budgets[0]:.3g} to {laws.table.budgets[-1]:.3g} FLOP) unless forced, got {budget:.3g}"
        )


def _choices(laws: Laws, options: Sequence[Option], losses: Array) -> list[Choice]:
    """The options with their predicted losses (options,), nats, and intervals."""
    of_run, of_law = (intervals_of(laws, options, LEVEL, of) for of in ("run", "law"))
    return [
        Choice(
            model=option.candidate.shape.name,
            method=option.candidate.name,
            model_params=option.candidate.model_params,
            train_flops=option.train_flops,
            tokens=option.tokens,
            steps=option.steps,
            predicted_loss=loss,
            predicted_interval=run,
            loss_interval=law,
            extrapolation=laws.extrapolation(option.train_flops, option.candidate.name),
        )
        for option, loss, run, law in zip(options, losses.tolist(), of_run, of_law, strict=True)
    ]


def _recipe(
    question: Question,
    option: Option,
    best: Choice,
    flat: tuple[Choice, ...],
    rejected: tuple[Rejection, ...],
) -> Recipe:
    laws, limits = question.laws, question.limits
    nearest = nearest_cell(best.method, best.model_params, option.train_flops, laws.cells)
    rate = learning_rate_for(laws, nearest, option.candidate.method, option.candidate.shape, option.tokens)
    taken_over = hyperparameters(nearest, laws.table)
    warnings = (
        *warnings_for(laws, question.suite, question.members, best),
        *repetition(option, nearest, limits.pairs_available),
        *assumed(nearest, laws.table, laws.cells, rate_known=rate.known),
    )
    return Recipe(
        **best.model_dump(),
        **taken_over | {"max_epochs": epochs_for(laws, option, limits)},
        serve_flops=option.serve_flops,
        prefer=limits.prefer,
        pairs=option.pairs,
        batch_size=option.batch_size,
        learning_rate=rate.rate,
        rate_source=rate.source,
        measured_on=laws.table.pairs,
        level=LEVEL,
        flat=flat,
        rejected=(*rejected, *without_law(laws)),
        crossovers=_crossovers(question, option.train_flops + option.serve_flops),
        warnings=warnings,
    )


def _crossovers(question: Question, budget: float) -> tuple[Crossover, ...]:
    """Those of the choices that keep to the wishes, from the budget or the smallest measured to well beyond both."""
    smallest, largest = question.laws.table.budgets[0], question.laws.table.budgets[-1]
    low, high = min(budget, smallest), BEYOND * max(budget, largest)
    if not question.limits.serve_tokens:  # what serving takes is no distance from the measured budgets
        low, high = max(low, smallest / MAX_EXTRAPOLATION), min(high, largest * MAX_EXTRAPOLATION)
    return crossovers_within(question.terms, question.members, low, high)
