"""L = E + A / N^a + B / D^b: size and data fall short independently of each other.

Source: Hoffmann et al. 2022 (arXiv 2203.15556), approach 3.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.base import Array, Form, Values


@final
class Chinchilla(Form):
    """The sum of a power of size and a power of data."""

    name: ClassVar[str] = "chinchilla"
    equation: ClassVar[str] = "L = E + A/N^a + B/D^b"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")
    linear: ClassVar[bool] = True

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""
        (a, b), (A, B) = exponents, coefficients
        return A * np.exp(-a * log_n) + B * np.exp(-b * log_d)

    def derivatives(
        self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array
    ) -> tuple[Array, Values, Values]:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""
        (a, b), (A, B) = exponents, coefficients
        by_A, by_B = np.exp(-a * log_n), np.exp(-b * log_d)
        size, data = A * by_A, B * by_B
        return size + data, (-a * log_n * size, -b * log_d * data), (by_A, by_B)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""
        return (values["a"], values["b"]), (values["A"], values["B"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B and b for N and D as they are."""
        (a, b), (A, B) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(b * centre_d), "b": b}
