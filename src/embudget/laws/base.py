"""What every law of the loss over model size, data and method offers, whatever its form."""

from abc import ABC, abstractmethod
from typing import final

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from embudget.frozen import Frozen
from embudget.laws.bootstrap import half_width
from embudget.laws.varpro import Array


class Law(Frozen, ABC):
    """A fitted function L(N, D) for each method, with bootstrap draws."""

    noise: NonNegativeFloat = Field(description="relative standard deviation of one run about the law")
    freedom: PositiveInt = Field(description="degrees of freedom: cells minus parameters")

    @property
    @abstractmethod
    def methods(self) -> tuple[str, ...]:
        """The methods it was fitted to."""

    @abstractmethod
    def predict(self, method: str, model_params: float, tokens: float) -> float:
        """The loss at (N, D), nats."""

    @abstractmethod
    def drawn(self, method: str, model_params: float, tokens: float) -> Array:
        """The loss at (N, D) by each bootstrap draw (draws,), nats; the draws of two calls belong together."""

    @abstractmethod
    def describe(self) -> list[str]:
        """The equation and its parameters, in lines of text."""

    @final
    def interval(self, method: str, model_params: float, tokens: float, level: float = 0.9) -> tuple[float, float]:
        """Where the measured loss of a new run is expected with probability ``level``, nats."""
        predicted = self.predict(method, model_params, tokens)
        log_draws = np.log(self.drawn(method, model_params, tokens))
        factor = float(np.exp(half_width(log_draws, self.noise, self.freedom, level)))
        return predicted / factor, predicted * factor
