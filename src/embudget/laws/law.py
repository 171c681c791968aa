"""What every law of the loss over model size, data and method offers, whatever its form.

A law predicts by the mean of its bootstrap draws (bagging, Breiman 1996), not by the one fit of the data. In 480
simulated studies of four kinds the two had the same regret, error and coverage within sampling error; the mean is taken
so that prediction, interval and the comparison of choices over the draws belong together.
"""

from abc import ABC, abstractmethod
from typing import final

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.laws.bootstrap import half_width
from embudget.laws.varpro import Array


class OutlyingCell(Frozen):
    """A cell so far from the law that the fit and its noise were kept from following it."""

    model: str
    method: str
    budget: PositiveFloat = Field(description="FLOP")
    ratio: PositiveFloat = Field(description="measured loss / that of the law")


class Law(Frozen, ABC):
    """A fitted function L(N, D) for each method, with bootstrap draws."""

    noise: NonNegativeFloat = Field(description="relative standard deviation of one run about the law")
    freedom: PositiveInt = Field(description="degrees of freedom: cells minus parameters")
    outlying: tuple[OutlyingCell, ...] = ()

    @property
    @abstractmethod
    def methods(self) -> tuple[str, ...]:
        """The methods it was fitted to."""

    @abstractmethod
    def fitted(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D) by the fit of the data themselves, nats."""

    @abstractmethod
    def drawn(self, method: str, model_params: float, tokens: float) -> Array:
        """The loss at (N, D) by each bootstrap draw (draws,), nats; the draws of two calls belong together."""

    @abstractmethod
    def describe(self) -> list[str]:
        """The equation and its parameters, in lines of text."""

    @final
    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D), nats: the geometric mean of the draws."""
        return float(np.exp(np.log(self.drawn(method, model_params, tokens)).mean()))

    @final
    def interval(self, method: str, model_params: float, tokens: float, level: float = 0.9) -> tuple[float, float]:
        """Where the measured loss of a new run is expected with probability ``level``, nats."""
        predicted = self.predict(method, model_params, tokens)
        log_draws = np.log(self.drawn(method, model_params, tokens))
        log_fitted = float(np.log(self.fitted(method, model_params, tokens)))
        factor = float(np.exp(half_width(log_draws, log_fitted, self.noise, self.freedom, level)))
        return predicted / factor, predicted * factor
