"""The flat set: the choices that a study cannot tell from the best, and which of them is preferred.

The optimum in N is flat, so that several sizes and methods are often predicted as good: within one run's noise of the
lowest loss, or better than it in a tenth of the bootstrap draws. Among them a secondary aim decides.
"""

from collections.abc import Sequence
from math import log

import numpy as np

from embudget.laws import Laws
from embudget.recipe.losses import Array, predicted
from embudget.recipe.options import Option
from embudget.recipe.values import Rejection
from embudget.recipe.wishes import Prefer
from embudget.runs.cells import Cell

FLAT_DRAWS = 0.1
"""Share of the draws in which a choice must beat the best one to count as no worse."""


def tell_apart(laws: Laws, options: Sequence[Option], losses: Array) -> tuple[list[int], list[Rejection]]:
    """Part the options into those within the noise of the best and those worse, the lowest predicted loss first.

    Args:
        laws: that predicted.
        options: at one budget.
        losses: of the options by each draw (draws, options), nats.

    Returns:
        The positions of the flat set, the best among them, and the others with the reason.
    """
    means = predicted(losses)
    order = np.argsort(means, kind="stable")
    best = order[0]
    excess = means / means[best] - 1
    wins = (losses < losses[:, [best]]).mean(axis=0)
    as_good = (excess <= laws.noise) | (wins >= FLAT_DRAWS)
    worse = [
        Rejection(
            model=options[place].candidate.shape.name,
            method=options[place].candidate.name,
            reason=f"predicted loss {means[place]:.3f}, {100 * excess[place]:.1f} % worse",
        )
        for place in order
        if not as_good[place]
    ]
    return [int(place) for place in order if as_good[place]], worse


def preferred(laws: Laws, flat: Sequence[Option], prefer: Prefer) -> tuple[int, str]:
    """The position of the option to take among those as good, which come with the lowest predicted loss first.

    Also why it is taken, in words; nothing where the loss decides.
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
    candidate = option.candidate
    timed = [cell for cell in laws.cells if cell.method == candidate.name and cell.seconds]
    if not timed:
        return None

    def distance(cell: Cell) -> float:
        size, budget = cell.model_params / candidate.model_params, cell.train_flops / option.train_flops
        return log(size) ** 2 + log(budget) ** 2

    nearest = min(timed, key=distance)
    assert nearest.seconds is not None
    return option.train_flops * nearest.seconds / nearest.train_flops
