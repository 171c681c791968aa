"""What the reader of a recipe should mistrust, and the methods that it could not consider."""

from collections import Counter
from collections.abc import Iterator
from math import ceil, log
from typing import NamedTuple

import numpy as np

from embudget.choices import Candidate, base_of
from embudget.laws import Laws
from embudget.laws.diagnostics import mixed_setting_warnings
from embudget.laws.rates import REACH, rate_text
from embudget.methods import Bias, Freeze, Full, LoRA, kind_of
from embudget.recipe.choice import Choice, Rejection
from embudget.recipe.hyperparameters import DEFAULT_TOKENS_PER_PAIR, Hyperparameters
from embudget.recipe.options import Option, Question
from embudget.recipe.support import MOST_TIMES, of_measured_family, unsupported

MAX_TRUSTED = 4.0
"""Times outside the measured budgets from which on the distance is warned of. Where no form of law is right, intervals
held 100 % of new runs at 4 times, 79 % at 16 and 67 % at 64 (`results/simulation/regret_neither.json`)."""


NOT_SUPPORTED = "not supported"
"""The kind of the caution that comes first where the runs support no recipe."""


class Caution(NamedTuple):
    """A warning; those of one kind differ between two recipes by no more than numbers and names."""

    kind: str
    text: str


def cautions_for(question: Question, option: Option, choice: Choice, how: Hyperparameters) -> Iterator[Caution]:
    """All that there is to mistrust in a choice and how it is trained."""
    laws = question.laws
    if (why := unsupported(question, option)) is not None:
        yield Caution(NOT_SUPPORTED, why)
    yield from unmeasured(question, base_of(choice.model))
    if choice.extrapolation > MAX_TRUSTED and (why is None or choice.extrapolation <= MOST_TIMES):
        text = (
            f"the budget is {choice.extrapolation:.3g} times outside those that {choice.method} was measured at; "
            "the further out, the more often intervals miss"
        )
        yield Caution("far budget", text)
    yield from unscored_start(question, option.candidate)
    yield from _few_steps(question, option)
    yield from of_fit(laws)
    yield from _far_rate(laws, choice.method, how.values["learning_rate"])
    yield from _other_rate(laws, option, how.values["learning_rate"])
    yield from _repeated(question, option, how.epochs_measured)
    if names := ", ".join(how.unsaid):
        yield Caution(f"defaults: {names}", f"the table of runs does not say {names}: defaults are taken")
    if laws.table.tokens_per_pair is None:
        text = (
            f"the table of runs does not say how many tokens a pair has: {DEFAULT_TOKENS_PER_PAIR:g} are assumed, on "
            "which pairs and steps depend"
        )
        yield Caution("tokens of a pair", text)


def unscored_start(question: Question, candidate: Candidate) -> Iterator[Caution]:
    """Where the laws begin at zero-shot losses, that of a member which was not measured is a guess."""
    losses = question.laws.surface.zero_shot
    if losses is None:
        return
    name, size = candidate.model, candidate.model_params
    (log_loss,), (sd,) = losses.at(np.log([size]))
    if sd > 0:
        low, high = np.exp(log_loss + 1.645 * np.array([-sd, sd]))
        text = (
            f"the loss of {name} before training was not measured: it is taken as {np.exp(log_loss):.2f} ({low:.2f} to "
            f"{high:.2f}) from measured sizes; one run of {name} at the smallest budget would tell"
        )
        yield Caution("start not measured", text)


def _few_steps(question: Question, option: Option) -> Iterator[Caution]:
    """The laws know nothing of runs that are shorter than all measured ones."""
    fewest = question.practice.fewest_steps
    if option.steps < fewest:
        text = (
            f"the run takes {option.steps} steps, fewer than any measured one ({fewest}): so short a run may stay "
            "nearer to the untrained model than the laws say"
        )
        yield Caution("few steps", text)


def of_fit(laws: Laws) -> Iterator[Caution]:
    """What the fit itself and its table of runs leave in doubt, the same in all recipes of the laws."""
    if laws.diagnostics.unlinked:
        groups = " and ".join(laws.diagnostics.unlinked)
        text = f"{groups} were measured at no common budget: which of them is better is extrapolated"
        yield Caution("no common budget", text)
    for what in laws.diagnostics.patterns:
        text = f"the residuals of the laws follow {what}: no form fits there, and forecasts may be off in one direction"
        yield Caution(f"residuals follow {what}", text)
    for remark in laws.table.remarks:
        if not remark.settled:
            yield Caution(remark.text, remark.text)
    for text in mixed_setting_warnings(laws.cells):
        yield Caution(text, text)


def unmeasured(question: Question, base: str) -> Iterator[Caution]:
    """The laws may have seen other models of the family only, or none that is known by its name."""
    if not of_measured_family(question):
        return  # which the first caution says
    measured = list(dict.fromkeys(map(base_of, question.laws.table.models)))
    bases = ", ".join(measured[:4]) + (f" and {len(measured) - 4} more" if len(measured) > 4 else "")
    if not set(measured) & {base_of(one.model) for one in question.candidates}:
        text = (
            f"no member of {question.suite or 'the suite'} was measured: the laws come from {bases}, and the losses of "
            f"{base} may lie elsewhere; measure a few members"
        )
        yield Caution("no member measured", text)
    elif base not in measured:
        text = (
            f"the laws were measured on {bases}, not on {base}: its losses may lie elsewhere, measure it or a few "
            "members of its suite"
        )
        yield Caution("model not measured", text)


def _repeated(question: Question, option: Option, allowed: int) -> Iterator[Caution]:
    """Say where what repeated pairs are worth was not measured; ``allowed`` are the passes of the nearest run."""
    repetition, passes = question.laws.repetition, option.passes_over(question.pairs)
    measured = max(allowed, ceil(repetition.passes - 1e-6))
    if passes > measured:
        text = (
            f"the pairs are seen up to {passes} times, and in the measured runs at most {measured}: how much they "
            f"still teach is {'extrapolated' if repetition.fitted else 'assumed'} ({repetition}), and they may be "
            "overfitted"
        )
        yield Caution("repeated pairs", text)


def _far_rate(laws: Laws, method: str, rate: float) -> Iterator[Caution]:
    """Beyond the best rates measured, the law of the rate is extrapolated."""
    law = laws.rate_law
    if law is None or method not in law.methods:
        return
    times = law.beyond(method, rate)
    if not 1 / REACH <= times <= REACH:
        low, high = (rate_text(one) for one in law.measured[method])
        how_far = f"{max(times, 1 / times):.2g} times {'above' if times > 1 else 'below'}"
        text = (
            f"the learning rate {rate_text(rate)} is {how_far} any best rate measured of {method} ({low} to {high}): "
            "compare three rates about it at a smaller budget before the run"
        )
        yield Caution("far rate", text)


def _other_rate(laws: Laws, option: Option, rate: float) -> Iterator[Caution]:
    """A member that was measured, but at one rate far from the law's: its cells, and so the prediction, are of others.

    The law of the rate is fitted to cells with two rates or more. Where a study gives some members one alone, as to a
    retriever's cuts that learn best at ten times the rate of the whole one, it carries the others' rate over to them.
    """
    model, method = option.candidate.model, str(option.candidate.method)
    mine = [cell for cell in laws.cells if (cell.model, cell.method) == (model, method)]
    tried = [(cell, cell.learning_rate) for cell in mine if cell.learning_rate is not None]
    if not tried:
        return
    nearest, own = min(tried, key=lambda one: abs(log(one[0].train_flops / option.train_flops)))
    times = rate / own
    if nearest.lowest_rate is None and not 1 / REACH <= times <= REACH:
        how_far = f"{max(times, 1 / times):.2g} times {'above' if times > 1 else 'below'}"
        text = (
            f"the learning rate {rate_text(rate)} is {how_far} the {rate_text(own)} at which {model} was measured by "
            f"{method}, and the loss to expect is of runs at that one: try both"
        )
        yield Caution("other rate", text)


def without_law(question: Question) -> tuple[Rejection, ...]:
    """The methods measured too little, the kinds of method not measured at all, and the lineages likewise."""
    laws = question.laws
    few = Counter(cell.method for cell in laws.table.cells if cell.method not in laws.methods)
    measured = set(map(kind_of, laws.table.methods))
    kinds = [kind.name for kind in (Full, Freeze, Bias, LoRA)]
    return (
        *(Rejection(method=name, reason=f"measured in {n} cells, too few for a law") for name, n in few.items()),
        *(Rejection(method=name, reason="not measured") for name in kinds if name not in measured),
        *(
            Rejection(model=f"members of {name}", method="by any method", reason="no run of their lineage was measured")
            for name in question.unmeasured
        ),
    )
