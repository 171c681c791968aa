"""The recipe of one lineage: over its members and its measured methods, the lowest predicted loss at a budget.

A candidate (member, method) buys D = C / c tokens, c the method's FLOP per token, and the law predicts its loss. What
breaks a limit (`embudget.recipe.options`) is rejected by name before the comparison. The lowest prediction wins. What
the study cannot tell from it (`Choices.ties`) is named beside it, and a secondary aim may decide among those; all else
is rejected as worse by so many per cent.
"""

from collections import Counter
from collections.abc import Sequence
from math import log

import numpy as np

from embudget.choices import Candidate, Choices
from embudget.errors import BudgetError, InfeasibleError
from embudget.laws import Laws
from embudget.recipe.batch_size import sourced_batch_rule
from embudget.recipe.choice import Choice, Rejection
from embudget.recipe.crossing import crossovers_near
from embudget.recipe.hyperparameters import hyperparameters, rate_excess, with_excess
from embudget.recipe.nearest import nearest_feasible
from embudget.recipe.options import MAX_EXTRAPOLATION, Broken, Option, Question
from embudget.recipe.recipe import Recipe
from embudget.recipe.spending import worthwhile
from embudget.recipe.support import guessing, unsupported
from embudget.recipe.untrained import untrained_start
from embudget.recipe.warnings import NOT_SUPPORTED, Caution, cautions_for, without_law
from embudget.recipe.wishes import Prefer
from embudget.runs import Cell

LEVEL = 0.9
"""Probability of the intervals."""


def of_one_lineage(question: Question, budget: float) -> tuple[Recipe, tuple[Caution, ...]]:
    """The recipe of one lineage's laws and its warnings, which may be a guess that its runs do not support.

    Raises:
        BudgetError: as `answer`.
        InfeasibleError: no choice meets the constraints; the error names the nearest budget at which one would.
    """
    try:
        return answer(question, budget) if question.limits.force else near_or_guess(question, budget)
    except InfeasibleError as error:
        raise InfeasibleError(f"{error}; {nearest_feasible(question, budget)}") from None


def near_or_guess(question: Question, budget: float) -> tuple[Recipe, tuple[Caution, ...]]:
    """The recipe that the runs support, or else the guess that a pilot is laid out around; its first warning says why.

    A guess is for other pairs than the study's: those wished for, or as many as the budget buys. Both the refusal of
    `recommend` and the pilot are by this one guess, so that they name the same budget and method.

    Raises:
        BudgetError, InfeasibleError: as `answer`.
    """
    asked = guessing(question)
    near = answer(asked, budget, far=False)
    if near[0].supported:
        return near
    guess = answer(asked._replace(pairs=question.limits.pairs_available), budget, far=False)
    return near if guess[0].supported else guess


def answer(question: Question, budget: float, *, far: bool = True) -> tuple[Recipe, tuple[Caution, ...]]:
    """The recipe for a budget in FLOP, and its warnings with their kinds.

    Where some choices are supported by their runs and others are not, the others are left out unless ``far``.

    Raises:
        BudgetError: the budget is too far from the measured ones.
        InfeasibleError: no choice meets the constraints, which are named.
    """
    _check_distance(question, budget)
    laws, limits = question.laws, question.limits
    found = [question.option(one, question.due(one, budget)) for one in question.candidates]
    options = [one for one in found if isinstance(one, Option)]
    broken = [one for one in found if isinstance(one, Broken)]
    if not options:
        raise InfeasibleError(f"no model and method is feasible at {question.told(budget)}: {_counted(broken)}")
    if not far:
        options, beyond = _supported(question, options)
        broken += beyond
    tokens = np.array([[one.tokens] for one in options])
    choices = Choices(question.law, [one.candidate for one in options], np.array([budget]), tokens)
    losses, tied = choices.predicted[:, 0], choices.ties()[:, 0]
    order = [int(row) for row in np.argsort(losses, kind="stable")]
    flat = [options[row] for row in order if tied[row]]
    if (shorter := worthwhile(question, flat)) != flat:
        flat, as_good = shorter, _choices(question, shorter, _losses(question, shorter))
    else:
        as_good = _choices(question, flat, [float(losses[row]) for row in order if tied[row]])
    place, why = preferred(laws, flat, limits.prefer)
    option, choice = flat[place], as_good.pop(place)
    as_good.sort(key=lambda one: one.predicted_loss / (1 + one.rate_cost))
    beside = losses * (1 + choice.rate_cost)  # on one footing with the choice's promise, whose rate's cost is its own
    worse = [
        _rejection(
            options[row].candidate,
            f"predicted loss {beside[row]:.3f}, {100 * (losses[row] / losses[order[0]] - 1):.1f} % worse",
        )
        for row in order
        if not tied[row]
    ]
    how = hyperparameters(laws, option.candidate, option.train_flops, option.tokens)
    cautions = tuple(cautions_for(question, option, choice, how))
    passes = option.passes_over(question.pairs)
    lowest = min(one.predicted_loss for one in (choice, *as_good))
    untrained = untrained_start([question], budget, lowest, choice.rate_cost)
    recipe = Recipe.read(
        {
            **choice.model_dump(),
            **how.values,
            "max_epochs": limits.max_epochs or max(how.values["max_epochs"], passes),
            "serve_flops": option.serve_flops,
            **_left_over(question, option, question.due(option.candidate, budget)),
            "seconds": question.seconds(option.candidate, option.train_flops),
            "training_pairs": question.pairs,
            "prefer": limits.prefer,
            "chosen": why,
            "pairs": option.pairs,
            "batch_size": option.batch_size,
            "batch_source": sourced_batch_rule(laws.cells)(option.train_flops).source,
            "supported": all(caution.kind != NOT_SUPPORTED for caution in cautions),
            "measured_on": laws.table.pairs,
            "level": LEVEL,
            "flat": tuple(as_good),
            "rejected": (*worse, *(_rejection(one.candidate, one.reason) for one in broken), *without_law(question)),
            "crossovers": crossovers_near(question._replace(clock=None), budget),
            "untrained": untrained,
            "warnings": tuple(caution.text for caution in cautions),
        },
        "the recipe of these laws",
    )
    return recipe, cautions


def _left_over(question: Question, option: Option, budget: float) -> dict[str, float | str]:
    """The FLOP of a budget that an option does not spend, and why."""
    unspent, pairs = budget - option.serve_flops - option.train_flops, question.pairs
    if unspent <= 0 or pairs is None:
        return {}
    most = question.passes(option.candidate, budget - option.serve_flops)
    if most is not None and option.pairs + option.batch_size > most * (pairs // option.batch_size) * option.batch_size:
        allows = "max_epochs allows" if question.limits.max_epochs else "without max_epochs the measured runs allow"
        why = f"{allows} no more than {most} pass{'es' * (most > 1)} over the {pairs:,} pairs"
    else:
        why = f"more than {option.pairs / pairs:.3g} passes over the {pairs:,} pairs would not help"
    return {"unspent_flops": unspent, "left_over": why}


def _supported(question: Question, options: list[Option]) -> tuple[list[Option], list[Broken]]:
    """The options that their runs support, and the others; all of them where none is supported."""
    why = [unsupported(question, one) for one in options]
    if all(why):
        return options, []
    kept = [one for one, reason in zip(options, why, strict=True) if not reason]
    left = [Broken(one.candidate, "too far", reason) for one, reason in zip(options, why, strict=True) if reason]
    return kept, left


def _check_distance(question: Question, budget: float) -> None:
    """Refuse a budget too far from the measured ones; where serving takes a part of it, each option is judged alone."""
    laws, limits = question.laws, question.limits
    if laws.extrapolation(budget) > MAX_EXTRAPOLATION and not limits.force and not limits.serve_tokens:
        raise BudgetError(
            f"budget must be within {MAX_EXTRAPOLATION:g} times the measured ones "
            f"({laws.table.budgets[0]:.3g} to {laws.table.budgets[-1]:.3g} FLOP) unless forced, got {budget:.3g}"
        )


def _counted(broken: Sequence[Broken]) -> str:
    """The limits that were broken, the one that most candidates break first."""
    counts = Counter(one.limit for one in broken).most_common()
    return "; ".join(f"{limit} ({count} choice{'' if count == 1 else 's'})" for limit, count in counts)


def _rejection(candidate: Candidate, reason: str) -> Rejection:
    return Rejection(model=candidate.model, method=str(candidate.method), reason=reason)


def _losses(question: Question, options: Sequence[Option]) -> list[float]:
    """The predicted losses of options at their best rates, nats."""
    return [question.law.predict(str(one.candidate.method), one.candidate.model_params, one.tokens) for one in options]


def _choices(question: Question, options: Sequence[Option], losses: Sequence[float]) -> list[Choice]:
    """The options with their predicted losses in nats and intervals.

    To the ``losses`` at the best rate is added what an uncertain rate costs. It has no part in the comparison before:
    far away it would prefer whatever is nearest to the measured cells, while a rate can be tried.
    """
    laws, law = question.laws, question.law
    excess = np.array([rate_excess(laws, one.candidate, one.tokens) for one in options])
    losses = (np.array(losses) * np.exp(excess)).tolist()
    names = [str(option.candidate.method) for option in options]
    sizes = np.array([option.candidate.model_params for option in options], dtype=float)
    tokens = np.array([option.tokens for option in options])
    of_run, of_law = (
        np.stack(with_excess(*law.intervals(names, sizes, tokens, LEVEL, of), excess, LEVEL), axis=1)
        for of in ("run", "law")
    )
    return [
        Choice(
            model=option.candidate.model,
            method=name,
            model_params=int(option.candidate.model_params),
            train_flops=option.train_flops,
            tokens=option.tokens,
            steps=option.steps,
            predicted_loss=loss,
            rate_cost=cost,
            predicted_interval=run,
            loss_interval=loss_only,
            extrapolation=laws.extrapolation(option.train_flops, name),
        )
        for option, name, loss, cost, run, loss_only in zip(
            options, names, losses, np.expm1(excess).tolist(), of_run.tolist(), of_law.tolist(), strict=True
        )
    ]


def preferred(laws: Laws, flat: Sequence[Option], prefer: Prefer) -> tuple[int, str]:
    """Which of the options that tie is taken, and why in words.

    They come with the lowest predicted loss first. Where the loss decides there is nothing to say.
    """
    if prefer == "loss" or len(flat) == 1:
        return 0, ""
    costs, what = [float(option.candidate.model_params) for option in flat], "the smallest"
    if prefer == "fast":
        seconds = [_seconds(laws, option) for option in flat]
        timed = [value for value in seconds if value is not None]
        costs, what = timed, "the fastest to train"
        if len(timed) < len(flat):
            costs, what = [option.tokens for option in flat], "the one of the fewest tokens (not all runs were timed)"
    best = min(range(len(flat)), key=lambda place: (costs[place], place))
    return best, f"as {what} of {len(flat)} choices that are predicted as good"


def _seconds(laws: Laws, option: Option) -> float | None:
    """Training time at the speed of the method's nearest timed cell; None where none was timed."""
    name, size = str(option.candidate.method), option.candidate.model_params
    timed = [cell for cell in laws.cells if cell.method == name and cell.seconds]
    if not timed:
        return None

    def distance(cell: Cell) -> float:
        return log(cell.model_params / size) ** 2 + log(cell.train_flops / option.train_flops) ** 2

    nearest = min(timed, key=distance)
    assert nearest.seconds is not None
    return option.train_flops * nearest.seconds / nearest.train_flops
