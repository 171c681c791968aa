"""The learning rates of a study: the law of the best one, and what to say of the cells that it was sought in.

A cell without a minimum between its rates says only that the best one lies beyond an end: it is no part of the law.
"""

from collections import Counter
from collections.abc import Sequence
from math import exp, log

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.errors import MethodError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.runs.cells import Cell
from embudget.runs.envelope import logs_of

FEWEST = 2
"""Envelopes with a minimum below which there is no law: a single rate is no more than the nearest cell's."""
MAX_LISTED = 5
"""Cells that are warned of one by one."""
RIDGE = 0.25
"""Of the slopes of the law of the rate, (0.25 / 0.5)^2: see `fit_rate_law`."""
REACH = 3.0
"""Factor by which a rate for a new cell may lie beyond the best rates of its method: what the step law takes off for a
model 16 times as large on 16 times the tokens. Too high a rate diverges, too low a one only costs some loss."""


class RateLaw(Frozen):
    """The best rate of any model size and number of tokens, for the methods that had envelopes."""

    intercepts: dict[str, float] = Field(min_length=1, description="by method: log rate at the centre")
    model_params_slope: float = Field(description="p, of log N")
    tokens_slope: float = Field(description="q, of log D")
    centre: tuple[float, float] = Field(description="log N and log D of the centre")
    measured: dict[str, tuple[PositiveFloat, PositiveFloat]] = Field(description="by method: lowest and highest rate")
    envelopes: dict[str, PositiveInt] = Field(description="by method: cells that it was fitted to")
    residual_sd: NonNegativeFloat | None = Field(
        description="of log rate about the law; None with no more cells than methods"
    )

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it predicts for."""
        return tuple(self.intercepts)

    def __str__(self) -> str:
        """What it rests on, in a few words."""
        count = sum(self.envelopes.values())
        spread = "" if self.residual_sd is None else f", spread x{exp(self.residual_sd):.2f}"
        return f"the rate law of {count} envelopes{spread}"

    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The best rate at (N, D), within REACH of the measured ones of the method.

        Raises:
            MethodError: no envelope of the method was measured.
        """
        low, high = self._reach(method)
        return exp(min(max(self._log_rate(method, model_params, tokens), low), high))

    def within_reach(self, method: str, model_params: float, tokens: float) -> bool:
        """Whether the law itself stays within REACH at (N, D), so that `predict` is its rate; errors as there."""
        low, high = self._reach(method)
        return low <= self._log_rate(method, model_params, tokens) <= high

    def _reach(self, method: str) -> tuple[float, float]:
        if method not in self.intercepts:
            raise MethodError(f"{method} has no measured learning rates, only {', '.join(self.methods)}")
        low, high = self.measured[method]
        return log(low / REACH), log(high * REACH)

    def _log_rate(self, method: str, model_params: float, tokens: float) -> float:
        return (
            self.intercepts[method]
            + self.model_params_slope * (log(model_params) - self.centre[0])
            + self.tokens_slope * (log(tokens) - self.centre[1])
        )


def fit_rate_law(
    methods: Sequence[str], model_params: ArrayLike, tokens: ArrayLike, learning_rates: ArrayLike
) -> RateLaw:
    """Fit the law of the best rate to the envelopes of cells.

    The slopes are shared by the methods and shrunk towards 0 by RIDGE: the posterior mean where a cell's log rate is
    known to 0.25 and slopes are about 0.5 in size. An envelope from rates 4 times apart is off by a factor 1.2 (root
    mean square over the step law's cells, thinned out; 1.4 with the best at an end), and published slopes are -0.713
    and 0.307 (step law) or about -0.3 in D (Bjorck et al. 2024, arXiv 2409.19913), of either sign. A few cells within a
    factor 2 of each other thus keep nearly one rate per method, a study over a decade follows its own slopes, and where
    N and D did not vary apart the ridge shares the trend out between them.

    Args:
        methods: of each cell, (n,).
        model_params: N of each cell, (n,).
        tokens: D of each cell, (n,).
        learning_rates: the best rate of each cell, (n,).

    Raises:
        TooFewRunsError: no cell.
        FitError: a value is not positive and finite.
    """
    if not methods:
        raise TooFewRunsError("a law of the learning rate needs the best rate of at least 1 cell, got 0")
    sizes = np.stack([logs_of("model_params", model_params), logs_of("tokens", tokens)], axis=1)
    log_rates = logs_of("learning rate", learning_rates)
    rows = {name: np.array([method == name for method in methods]) for name in dict.fromkeys(methods)}
    x, y = sizes.copy(), log_rates.copy()
    for of_method in rows.values():  # the intercepts bear no ridge: centred within each method, they drop out
        x[of_method] -= x[of_method].mean(axis=0)
        y[of_method] -= y[of_method].mean()
    shrunk = np.linalg.solve(x.T @ x + RIDGE * np.eye(2), x.T)
    slopes = shrunk @ y
    freedom = len(y) - len(rows) - float(np.trace(shrunk @ x))
    centre = sizes.mean(axis=0)
    at_centre = log_rates - (sizes - centre) @ slopes
    return RateLaw(
        intercepts={name: float(at_centre[of_method].mean()) for name, of_method in rows.items()},
        model_params_slope=float(slopes[0]),
        tokens_slope=float(slopes[1]),
        centre=(float(centre[0]), float(centre[1])),
        measured={name: (exp(log_rates[of].min()), exp(log_rates[of].max())) for name, of in rows.items()},
        envelopes={name: int(of.sum()) for name, of in rows.items()},
        residual_sd=float(np.sqrt(((y - x @ slopes) ** 2).sum() / freedom)) if len(y) > len(rows) else None,
    )


def rate_law_of(cells: Sequence[Cell]) -> RateLaw | None:
    """The law of the best rate over the cells that know it; None with fewer than FEWEST."""
    known = [(cell, cell.learning_rate) for cell in cells if cell.rate_inside and cell.learning_rate is not None]
    if len(known) < FEWEST:
        return None
    return fit_rate_law(
        [cell.method for cell, _ in known],
        [cell.model_params for cell, _ in known],
        [cell.tokens for cell, _ in known],
        [rate for _, rate in known],
    )


def rate_text(rate: float) -> str:
    """To 2 significant digits: 1e-3, 2.1e-3."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def describe_rates(cells: Sequence[Cell], law: RateLaw | None) -> list[str]:
    """The envelopes and the law of the best rate, in lines that end in an empty one; nothing without envelopes."""
    envelopes = sum(cell.rate_inside is not None for cell in cells)
    if not envelopes:
        return []
    lines = [f"the laws describe tuned runs: {envelopes} of {len(cells)} cells at the best of 3 or more learning rates"]
    if law is None:
        return [*lines, f"  no law of the best rate: it needs {FEWEST} cells with a minimum between their rates", ""]
    n, d = (exp(centre) for centre in law.centre)
    slopes = f"~ N^{law.model_params_slope:.2f} D^{law.tokens_slope:.2f}"
    lines.append(f"  best rate {slopes}, by {law}; at N = {n:.3g}, D = {d:.3g}:")
    for method, intercept in law.intercepts.items():
        count = law.envelopes[method]
        low, high = (rate_text(rate) for rate in law.measured[method])
        measured = f"{count} envelopes, best rates {low} to {high}" if count > 1 else "1 envelope"
        lines.append(f"  {method:<12} {rate_text(exp(intercept)):<7} {measured}")
    return [*lines, ""]


def rate_warnings(cells: Sequence[Cell]) -> list[str]:
    """Cells whose best rate may lie beyond those tried, and cells without an envelope beside others with one."""
    ends = [_named(cell, problem) for cell in cells if (problem := at_end(cell))]
    lines = ends[:MAX_LISTED]
    if len(ends) > MAX_LISTED:
        lines.append(f"and {len(ends) - MAX_LISTED} more cells without a minimum between the rates tried")
    untuned = Counter(cell.method for cell in cells if cell.rate_inside is None)
    if 0 < untuned.total() < len(cells):
        counts = ", ".join(f"{method} {count}" for method, count in untuned.items())
        lines.append(
            f"fewer than 3 rates were tried in {untuned.total()} of {len(cells)} cells ({counts}): beside tuned cells "
            "they may look worse than they are"
        )
    return lines


def at_end(cell: Cell) -> str | None:
    """What is wrong with a cell's best rate, in words; None where it is a minimum, or no envelope was measured."""
    if cell.rate_inside is not False:
        return None
    if cell.learning_rate == cell.lowest_rate:
        return "the lowest tried"
    return "the highest tried" if cell.learning_rate == cell.highest_rate else "no clear minimum"


def _named(cell: Cell, problem: str) -> str:
    assert cell.learning_rate is not None
    name = f"{cell.model} {cell.method} at {cell.budget:.3g} FLOP"
    return f"{name}: best rate {rate_text(cell.learning_rate)} is {problem}"
