"""What every form of law offers, whichever its equation: `embudget.laws.forms` has them all, and the shapes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

FormName = Literal[
    "tied", "chinchilla", "multiplicative", "rectified", "dense_retrieval", "zero_shot", "zero_shot_level"
]
Array = NDArray[np.float64]
Values = tuple[Array, ...]
Derivatives = tuple[Array, Values, Values]
Gradient = tuple[Array, Array, Values, Values]


class Form(ABC):
    """One equation of the loss over model size and data."""

    name: ClassVar[FormName]
    equation: ClassVar[str]
    exponents: ClassVar[tuple[str, ...]]
    coefficients: ClassVar[tuple[str, ...]]
    linear: ClassVar[bool] = True
    """Whether the loss is linear in the coefficients, so that only the exponents need to be searched."""
    begins: ClassVar[bool] = False
    """Whether the loss is finite at D = 0, as that of a start which is good before any training."""
    by_member: ClassVar[bool] = False
    """Whether it begins at each member's own zero-shot loss, which then must be known."""

    @abstractmethod
    def loss(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """L, nats; ``log_base`` is the log zero-shot loss, where the form begins at it."""

    @abstractmethod
    def gradient(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Gradient:  # fmt: skip
        """L, its derivatives by E, by the logarithm of each exponent, and by each coefficient."""

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""
        return tuple(values[name] for name in self.exponents), tuple(values[name] for name in self.coefficients)

    @abstractmethod
    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """The parameters of the equation for N and D as they are; ``centre_n`` and ``centre_d`` are log means."""


class Additive(Form):
    """A form whose loss is the asymptote and a part g that is reducible by size and data: L = E + g(N, D)."""

    @abstractmethod
    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""

    @abstractmethod
    def derivatives(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Derivatives:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""

    def loss(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """E + g."""
        return asymptote + self.reducible(exponents, coefficients, log_n, log_d)

    def gradient(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Gradient:  # fmt: skip
        """See `Form.gradient`; that by E is 1."""
        g, by_exponents, by_coefficients = self.derivatives(exponents, coefficients, log_n, log_d)
        return asymptote + g, np.ones((1, 1)), by_exponents, by_coefficients
