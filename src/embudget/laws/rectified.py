"""L = E + A / N^a + B / (D0^b + D^b): pre-training counts as D0 tokens of fine-tuning, the first ones help little.

Source: Lin et al. 2024 (arXiv 2402.02314), L(D) = B / (D_l + D^b) + E for one model. Here with the size's own term as
in the law of Hoffmann et al., and the pre-learned data size as a number of tokens, D_l = D0^b. D may be 0.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.base import Array, Form, Values


@final
class Rectified(Form):
    """The sum of a power of size and a power of data that sets in after D0 tokens."""

    name: ClassVar[str] = "rectified"
    equation: ClassVar[str] = "L = E + A/N^a + B/(D0^b + D^b)"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b", "D0")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")
    linear: ClassVar[bool] = True

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""
        (a, b, start), (A, B) = exponents, coefficients
        return A * np.exp(-a * log_n) + B / (start**b + np.exp(b * log_d))

    def derivatives(
        self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array
    ) -> tuple[Array, Values, Values]:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""
        (a, b, start), (A, B) = exponents, coefficients
        log_start = np.log(start)
        learned, seen = np.exp(b * log_start), np.exp(b * log_d)
        by_A, by_B = np.exp(-a * log_n), 1 / (learned + seen)
        size, data = A * by_A, B * by_B
        with_zero = np.where(seen > 0, log_d, 0.0)  # D^b log D is 0 at D = 0
        by_log_b = -b * data * by_B * (learned * log_start + seen * with_zero)
        by_log_start = -b * data * by_B * learned
        return size + data, (-a * log_n * size, by_log_b, by_log_start), (by_A, by_B)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""
        return (values["a"], values["b"], values["D0"]), (values["A"], values["B"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B, b and D0 (tokens) for N and D as they are."""
        (a, b, start), (A, B) = exponents, coefficients
        tokens = start * np.exp(centre_d)
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(b * centre_d), "b": b, "D0": tokens}
