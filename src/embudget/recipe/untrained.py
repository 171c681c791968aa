"""Does training pay at all? A start as it is, beside the best that a budget can train.

An embedding model that exists already has a loss before any training. Where that is below what every trained choice is
expected to reach at a budget, the answer is to use it as it is: so where the budget buys too few steps of the whole
model, and only its cuts, or a base model, can be trained. The budget from which on training pays is that at which the
best trained choice overtakes the untrained start; it has an interval over the draws of the laws as a crossover has
(`embudget.choices.crossovers`). Its distance from the measured budgets widens it by the whole discrepancy, since the
loss of the untrained start is measured and shares no error of the laws.
"""

from collections.abc import Sequence

import numpy as np

from embudget.choices import budgets_between, crossovers_by
from embudget.choices.table import Array, Mask
from embudget.laws.uncertainty import with_error
from embudget.recipe.choice import Untrained
from embudget.recipe.lowest import Lowest, span_near
from embudget.recipe.options import Question
from embudget.runs import Cell
from embudget.suite import known_shape

KINDS = ("untrained", "trained")


def untrained_start(
    asked: Sequence[Question], budget: float, expected_loss: float, rate_cost: float
) -> Untrained | None:
    """The start whose loss before training is below all trained choices; None where training pays at this budget.

    Args:
        asked: of each lineage, which models may be used.
        budget: FLOP.
        expected_loss: the lowest of the trained choices, nats, with what an uncertain learning rate costs.
        rate_cost: the share of that loss which the rate costs.
    """
    known = [cell for question in asked for cell in question.laws.cells if _may_be_used(question, cell, budget)]
    best = min(known, key=lambda cell: (cell.base_loss or np.inf, cell.model_params), default=None)
    if best is None or best.base_loss is None or best.base_loss >= expected_loss:
        return None
    low, high = span_near(asked, budget)
    budget_found, interval, share = _pays(asked, budgets_between(low, high), float(np.log(best.base_loss)), rate_cost)
    return Untrained(
        model=best.model,
        lineage=best.lineage,
        loss=best.base_loss,
        trained_loss=expected_loss,
        pays_from=budget_found,
        interval=interval,
        share=share,
        searched=high,
        flops_per_hour=None if (clock := asked[0].clock) is None else clock.flops(1),
    )


def _may_be_used(question: Question, cell: Cell, budget: float) -> bool:
    """Whether a measured model keeps to the wishes as it is: its size, its suite, and what serving it costs."""
    limits, shape = question.limits, known_shape(cell.model)
    if cell.base_loss is None or (limits.max_params is not None and cell.model_params > limits.max_params):
        return False
    if question.suite is not None and (shape.name if shape else cell.model) not in {
        one.model for one in question.candidates
    }:
        return False
    return not limits.serve_tokens or 2.0 * cell.model_params * limits.serve_tokens <= budget


def _pays(
    asked: Sequence[Question], budgets: Array, log_base: float, rate_cost: float
) -> tuple[float | None, tuple[float, float] | None, float]:
    """From which budget on training pays: the first by the predictions, its interval, and the share of draws."""
    means, draws, beyond = Lowest.of(asked, budgets)
    extra = np.log1p(rate_cost)
    best, by_draws = means.min(axis=0) + extra, draws.min(axis=1) + extra
    error = np.sqrt(beyond[means.argmin(axis=0), np.arange(len(budgets))])

    def widen(gaps: Array, mean: Array, there: Mask) -> Array:
        return with_error(gaps, mean, asked[0].laws.surface.freedom, error[there])

    level = np.full(len(budgets), log_base)
    found = crossovers_by(
        KINDS,
        budgets,
        np.stack([level, best]),
        np.stack([np.broadcast_to(level, by_draws.shape), by_draws], axis=1),
        widen,
    )
    for one in found:
        if one.from_method == KINDS[0] and one.budget is not None:
            return one.budget, one.interval, one.share
    return None, None, found[0].share if found else 0.0
