"""L = E + A / (N^a D^b): more data help a large model as much as a small one, in proportion.

Source: Zhang et al. 2024 (arXiv 2402.17193), for fine-tuning.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.base import Array, Form, Values


@final
class Multiplicative(Form):
    """The product of a power of size and a power of data."""

    name: ClassVar[str] = "multiplicative"
    equation: ClassVar[str] = "L = E + A/(N^a D^b)"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A",)
    linear: ClassVar[bool] = True

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""
        (a, b), (A,) = exponents, coefficients
        return A * np.exp(-a * log_n - b * log_d)

    def derivatives(
        self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array
    ) -> tuple[Array, Values, Values]:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""
        (a, b), (A,) = exponents, coefficients
        by_A = np.exp(-a * log_n - b * log_d)
        g = A * by_A
        return g, (-a * log_n * g, -b * log_d * g), (by_A,)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""
        return (values["a"], values["b"]), (values["A"],)

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a and b for N and D as they are."""
        (a, b), (A,) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n + b * centre_d), "a": a, "b": b}
