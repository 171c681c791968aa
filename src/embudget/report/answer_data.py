"""What the page needs to answer by itself: the laws and all that a recipe depends on, as plain data.

The page's script evaluates them (`templates/answer_*.js`), so that a budget or a wish that changes has its recipe at
once, offline. What depends on neither is worked out here: FLOP and memory of each choice, sentences of the warnings,
quantiles of distributions. Draws and residuals travel as base64 of little-endian float64: to the last bit, and a third
as large as their digits. The data of the built-in laws take about 0.3 MB.
"""

from collections.abc import Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
from scipy.stats import norm

from embudget.choices import Candidate, base_of
from embudget.errors import ConfigError
from embudget.flops import DEFAULT_MFU, DEVICES
from embudget.laws import Laws
from embudget.laws.diagnostics import uneven_tuning
from embudget.laws.rates import at_end
from embudget.limits import MOST_COUNT, MOST_EPOCHS, MOST_FLOPS
from embudget.memory import training_bytes
from embudget.recipe.answer import LEVEL
from embudget.recipe.batch_size import sourced_batch_rule
from embudget.recipe.clock import Clock
from embudget.recipe.hyperparameters import taken_over
from embudget.recipe.options import Question
from embudget.recipe.starts import questions
from embudget.recipe.support import of_another_family, of_measured_family
from embudget.recipe.warnings import of_fit, unmeasured, unscored_start, without_law
from embudget.report.answer_law import law_data
from embudget.runs import Cell
from embudget.runs.lineages import is_of_retrievers
from embudget.speed import Step
from embudget.suite import known_shape

MOST_TOGETHER = 6
"""Lineages of which every selection has its sentence on uneven tuning; of more, only all together have."""


def answer_data(laws: Laws, source: str, suite: str | None = None) -> dict[str, Any]:
    """All that the page's script asks of the laws, as data for JSON.

    Args:
        laws: fitted to a study, or built-in ones.
        source: a file or the name of built-in laws, as the command on the page names them.
        suite: whose members are considered, as for `recommend`.

    Raises:
        ConfigError, ModelError, UnsupportedError: as `recommend`, where no budget has a recipe: as where the measured
            models are no known members, and no suite is given.

    Example:
        >>> import embudget as eb
        >>> data = answer_data(eb.find_laws("smollm2"), "smollm2")
        >>> [one["lineage"] for one in data["lineages"]], len(data["lineages"][0]["candidates"])
        ([None], 81)
    """
    asked, others = _questions(laws, suite)
    clock = _clock(laws)
    return {
        "source": source,
        "suite": suite,
        "level": LEVEL,
        "normal": float(norm.ppf((1 + LEVEL) / 2)),
        "several": bool(laws.others),
        "lineages": [_of_lineage(one, clock) for one in asked],
        "unmeasured": list(others),
        "uneven": _uneven(asked),
        "devices": {
            name: {"flops": one.peak_flops, "dollars": one.dollars_per_hour, "memory": one.memory_bytes}
            for name, one in DEVICES.items()
        },
        "mfu": DEFAULT_MFU,
        "most": {"flops": MOST_FLOPS, "count": float(MOST_COUNT), "epochs": float(MOST_EPOCHS)},
        "clock": None
        if clock is None
        else {"flopsPerSecond": clock.flops_per_second, "coefficients": clock.speeds.coefficients.tolist()},
    }


def _questions(laws: Laws, suite: str | None) -> tuple[list[Question], tuple[str, ...]]:
    if not laws.others:
        return [Question.of(laws, {}, suite)], ()
    asked, others = questions(laws, suite, {})
    return list(asked.values()), others


def _clock(laws: Laws) -> Clock | None:
    try:
        return Clock.of(laws)
    except ConfigError:  # no run was timed on a known model
        return None


def _uneven(asked: Sequence[Question]) -> dict[str, str]:
    """What to say of lineages tuned unevenly, by the places of those that are compared, as 0,1."""
    places = range(len(asked))
    few = len(asked) <= MOST_TOGETHER
    every = chain.from_iterable(combinations(places, count) for count in places[1:] if few)
    found = {}
    for mine in (*every, tuple(places)):
        text = uneven_tuning({str(asked[place].laws.lineage): asked[place].laws.cells for place in mine})
        if text is not None:
            found[",".join(map(str, mine))] = text
    return found


def _of_lineage(question: Question, clock: Clock | None) -> dict[str, Any]:
    laws, practice, rule = question.laws, question.practice, sourced_batch_rule(question.laws.cells)
    settings: list[dict[str, Any]] = []
    cells = [_cell(question, cell, settings) for cell in laws.cells]
    return {
        "lineage": laws.lineage,
        "retrievers": is_of_retrievers(str(laws.lineage)),
        "law": law_data(laws),
        "domain": {name: one.model_dump(include={"model_params", "budgets"}) for name, one in laws.domain.items()},
        "budgets": [laws.table.budgets[0], laws.table.budgets[-1]],
        "rates": _rates(laws),
        "practice": {
            "tokensPerPair": practice.tokens_per_pair,
            "negatives": practice.negatives,
            "fewestSteps": practice.fewest_steps,
            "smallestBudget": practice.smallest_budget,
            "varied": practice.varied,
        },
        "batch": {
            "low": rule.low,
            "high": rule.high,
            "mean": rule.mean,
            "named": rule.named,
            "measured": [[at, size] for at, size in rule.measured.items()],
            "line": None if rule.line is None else rule.line.model_dump(include={"level_at_centre", "slope", "centre"}),
        },
        "pairs": question.pairs,
        "measuredOn": laws.table.pairs,
        "settings": settings,
        "cells": cells,
        "candidates": [_candidate(question, one, clock) for one in question.candidates],
        "anotherFamily": None if of_measured_family(question) else of_another_family(question),
        "withoutLaw": [one.model_dump() for one in without_law(question)],
        "doubts": {
            "unmeasured": {
                base: [one.text for one in unmeasured(question, base)]
                for base in {base_of(one.model) for one in question.candidates}
            },
            "fit": [one.text for one in of_fit(laws)],
            "noTokens": laws.table.tokens_per_pair is None,
            "noBatch": all(cell.batch_size is None for cell in laws.cells),
        },
    }


def _candidate(question: Question, one: Candidate, clock: Clock | None) -> dict[str, Any]:
    """A member with a method; its memory without what grows with the batch, and what the rule of the speeds asks."""
    assert one.shape is not None, "a recipe is for models that can be trained"
    shape, method, zero_shot = one.shape, one.method, question.laws.surface.zero_shot
    found: dict[str, Any] = {
        "model": one.model,
        "base": base_of(one.model),
        "method": str(method),
        "kind": method.name,
        "modelParams": one.model_params,
        "flopsPerToken": one.flops_per_token,
        "refusal": one.refusal,
        "start": shape.start,
        "zeroShot": None
        if zero_shot is None
        else [float(value[0]) for value in zero_shot.at(np.log([one.model_params]))],
        "unscored": [caution.text for caution in unscored_start(question, one)],
    }
    if one.refusal is not None:
        return found
    found |= {
        "memory": training_bytes(method, shape, 0, question.practice.max_length),
        "hidden": shape.hidden,
        "defaultRate": method.default_learning_rate(shape),
    }
    if clock is not None:
        found["speed"] = {
            "passed": shape.layers + 2 * method.backward_layers(shape),
            "trained": method.trained_params(shape),
            "factor": float(np.exp(clock.speeds.unexplained(Step(shape, method, 1.0)))),
        }
    return found


def _cell(question: Question, cell: Cell, settings: list[dict[str, Any]]) -> dict[str, Any]:
    """A measured cell: where it lies, and the place in ``settings`` of what a recipe beside it takes over."""
    values, unsaid = taken_over(question.laws, cell)
    taken = {"max_epochs": values["max_epochs"], "warmup": values["warmup"], "unsaid": unsaid}
    if taken not in settings:
        settings.append(taken)
    shape, members = known_shape(cell.model), {one.model for one in question.candidates}
    return {
        "model": cell.model,
        "method": cell.method,
        "modelParams": cell.model_params,
        "budget": cell.budget,
        "trainFlops": cell.train_flops,
        "tokens": cell.tokens,
        "pairsSeen": cell.pairs_seen,
        "seconds": cell.seconds,
        "rate": cell.learning_rate,
        "rates": cell.rates,
        "ratesCompared": cell.lowest_rate is not None,
        "rateEnd": at_end(cell),
        "batchSize": cell.batch_size,
        "baseLoss": cell.base_loss,
        "lineage": cell.lineage,
        "epochs": cell.max_epochs,
        "usable": question.suite is None or (shape.name if shape else cell.model) in members,
        "settings": settings.index(taken),
    }


def _rates(laws: Laws) -> dict[str, Any] | None:
    law = laws.rate_law
    if law is None:
        return None
    return {
        "text": str(law),
        "centre": law.centre,
        "intercepts": law.intercepts,
        "measured": law.measured,
        "curvatures": law.curvatures,
        "lines": {name: line.model_dump() for name, line in law.lines.items()},
        "members": {
            name: {model: line.model_dump() for model, line in mine.items()} for name, mine in law.members.items()
        },
    }
