"""The law of the best learning rate: what rate to train a new model size on a new number of tokens with.

    log rate* = log K_method + p (log N - mean log N) + q (log D - mean log D)

It is fitted to the best rates of the cells that had at least three rates tried with a minimum between them (their
*envelope*, `embudget.runs.envelope`); the slopes p and q are shared by the methods. A cell without a minimum between
its rates says only that the best one lies beyond an end, and is no part of the law.
"""

from collections.abc import Sequence
from math import exp, log
from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from embudget.errors import MethodError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.runs.cells import Cell
from embudget.runs.envelope import logs_of

FEWEST = 2
"""Envelopes with a minimum that a law needs: with a single one it could say no more than that cell's rate."""
RIDGE = 0.25
"""Ridge penalty on the slopes, (0.25 / 0.5)^2: see `fit_rate_law`."""
REACH = 3.0
"""Factor by which a rate for a new cell may lie beyond the best rates of its method. The step law (Li et al. 2025,
arXiv 2503.04715) takes so much off for a model 16 times as large on 16 times the tokens. Too high a rate diverges,
while too low a one only costs some loss."""


class RateLaw(Frozen):
    """The best rate of any model size and number of tokens, for the methods that had envelopes."""

    intercepts: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(
        min_length=1, description="method -> log rate at the centre"
    )
    model_params_slope: float = Field(ge=-100, le=100, description="p, of log N")
    tokens_slope: float = Field(ge=-100, le=100, description="q, of log D")
    centre: tuple[float, float] = Field(description="log N and log D of the centre")
    measured: dict[str, tuple[PositiveFloat, PositiveFloat]] = Field(description="method -> lowest and highest rate")
    envelopes: dict[str, PositiveInt] = Field(description="method -> cells that it was fitted to")
    residual_sd: NonNegativeFloat | None = Field(
        description="standard deviation of log rate about the law; None with no more cells than methods"
    )

    @model_validator(mode="after")
    def _of_the_same_methods(self) -> Self:
        for name, found in (("measured", set(self.measured)), ("envelopes", set(self.envelopes))):
            if found != set(self.intercepts):
                raise ValueError(
                    f"{name} must have the methods of intercepts {[*self.intercepts]}, got {sorted(found)}"
                )
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods it predicts for."""
        return tuple(self.intercepts)

    def __str__(self) -> str:
        """What it rests on, such as: the rate law of 12 envelopes, spread x1.20."""
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
    """Fit the law of the best rate to the envelopes of n cells: their methods, N, D and best rates.

    The slopes are shrunk towards 0 by RIDGE: they are the posterior mean where a cell's log rate is known to 0.25 and
    slopes are about 0.5 in size. The first number, because an envelope from rates 4 times apart is off by a factor 1.2
    (root mean square over the step law's cells, thinned out; 1.4 with the best at an end). The second, because
    published slopes are -0.713 in N and 0.307 in D (step law), or about -0.3 in D (Bjorck et al. 2024, arXiv
    2409.19913), of either sign.
    So a few cells within a factor 2 of each other keep nearly one rate per method, a study over a decade follows its
    own slopes, and where N and D did not vary apart the ridge shares the trend out between them.

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
    """A rate to 2 significant digits, such as 1e-3 or 2.1e-3."""
    mantissa, exponent = f"{rate:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def at_end(cell: Cell) -> str | None:
    """What is wrong with a cell's best rate, in words; None where it is a minimum, or no envelope was measured."""
    if cell.rate_inside is not False:
        return None
    if cell.learning_rate == cell.lowest_rate:
        return "the lowest tried"
    return "the highest tried" if cell.learning_rate == cell.highest_rate else "no clear minimum"
