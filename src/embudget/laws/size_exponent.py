"""How does the best size grow with the budget, by the laws' own surface? The exponent s of N*(C) ~ C^s.

A budget of C FLOP buys D = C / c(N) tokens, where c(N), a method's FLOP per token, is the power of N through its
measured cells: 6N with full fine-tuning. Every draw of the laws thus has a size N*(C) with the lowest loss, and

    s = log(N*(C2) / N*(C1)) / log(C2 / C1)

from the smallest to the largest measured budget of the method. For L = E + A/N^a + B/D^b and c = 6N it is b / (a + b)
at every budget (Hoffmann et al. 2022, arXiv 2203.15556, equation 4).

All runs of all methods say something of it, where a parabola (`embudget.laws.isoflop`) uses those of one budget. In 48
simulated isoFLOP tables it is off by 0.022 in the mean (root mean square 0.031), and the slope through the parabolas'
vertices by 0.033 (0.057); in the median, 0.017 and 0.011, the parabolas are nearer (`benchmarks/size_exponent.py`,
`results/simulation/size_exponent.json`).
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from pydantic import Field, PositiveFloat

from embudget.errors import FitError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.components import log_losses_of
from embudget.laws.forms import Array
from embudget.laws.frontier import fit_line
from embudget.laws.surface import Surface
from embudget.laws.uncertainty import half_width
from embudget.runs.cells import Cell

BEYOND = 10.0
"""Assumption: the factor beyond the measured sizes up to which a best size is sought."""
STEP = 0.07
"""Between two sizes of the grid, in log N; a parabola through the lowest three makes the minimum exact to 0.001."""
DECIDED = 0.9
"""Share of the draws that must have a best size; with fewer, the exponent of the others would pass for that of all."""


class SizeExponent(Frozen):
    """The exponent s of N*(C) ~ C^s for one method."""

    value: float
    interval: tuple[float, float] = Field(description="where it lies with the probability asked for")
    budgets: tuple[PositiveFloat, PositiveFloat] = Field(description="FLOP, between which it holds")


def exponents_of(surface: Surface, cells: Sequence[Cell], level: float = 0.9) -> dict[str, SizeExponent]:
    """By method, those of the methods that have one."""
    found = {}
    for method in surface.methods:
        with suppress(FitError):
            found[method] = exponent_of(surface, method, cells, level)
    return found


def exponent_of(surface: Surface, method: str, cells: Sequence[Cell], level: float) -> SizeExponent:
    """The exponent of a method, with an interval that is widened as that of a loss is.

    Raises:
        TooFewRunsError: the method was measured at one budget, or at one size.
        FitError: in more than a tenth of the draws the best size is more than ten times outside the measured sizes.
    """
    mine = [cell for cell in cells if cell.method == method]
    budgets, sizes = [cell.budget for cell in mine], [cell.model_params for cell in mine]
    if len(set(budgets)) < 2 or len(set(sizes)) < 2:
        raise TooFewRunsError(f"{method} was measured at one budget or one size, and its best size needs two of each")
    cost = fit_line(sizes, [cell.flops_per_token for cell in mine])
    log_budgets = np.log([min(budgets), max(budgets)])
    log_n = np.arange(np.log(min(sizes) / BEYOND), np.log(max(sizes) * BEYOND) + STEP, STEP)
    log_cost = cost.level_at_centre + cost.slope * (log_n - cost.centre)
    log_d = log_budgets[:, None] - log_cost
    at = [method] * log_d.size, np.tile(log_n, 2), log_d.ravel()
    fitted, drawn = log_losses_of(surface.components, *at, surface.asymptote, surface.zero_shot)
    curves = np.concatenate([fitted[None], drawn.mean(axis=0)[None], drawn]).reshape(-1, *log_d.shape)
    exponents = np.diff(lowest(log_n, curves))[:, 0] / np.diff(log_budgets)
    of_fit, value, *_ = exponents
    of_draws = exponents[2:][np.isfinite(exponents[2:])]
    if len(of_draws) < DECIDED * len(drawn) or not np.isfinite([of_fit, value]).all():
        raise FitError(
            f"{method} has no best size within a factor of {BEYOND:g} of the measured ones, "
            f"{min(sizes):.3g} to {max(sizes):.3g} parameters, by {1 - len(of_draws) / len(drawn):.0%} of the draws"
        )
    half = float(half_width(of_draws[:, None], surface.freedom, level, (value - of_fit) ** 2)[0])
    return SizeExponent(value=value, interval=(value - half, value + half), budgets=tuple(np.exp(log_budgets).tolist()))


def lowest(x: Array, curves: Array) -> Array:
    """Where each of the curves (..., n) over an even grid x (n,) is lowest (...); NaN where that is at an end."""
    place = curves.argmin(axis=-1)
    inside = (place > 0) & (place < len(x) - 1)
    middle = np.where(inside, place, 1)[..., None]
    left, low, right = (np.take_along_axis(curves, middle + by, axis=-1)[..., 0] for by in (-1, 0, 1))
    bend = left - 2 * low + right
    vertex = x[middle[..., 0]] + 0.5 * (x[1] - x[0]) * (left - right) / np.where(inside, bend, 1.0)
    return np.where(inside, vertex, np.nan)
