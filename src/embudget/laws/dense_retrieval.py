"""L = E + ((A/N)^(a/b) + B/D)^b: the shortage of size and that of data add up before the power, the larger one decides.

With P = (A/N)^a and Q = (B/D)^b, the two terms of the law of Hoffmann et al., this is their norm of order 1/b:

    L = E + (P^(1/b) + Q^(1/b))^b

Source: the form of Kaplan et al. 2020 (arXiv 2001.08361, equation 1.5) with an asymptote, as Fang et al. 2024 (arXiv
2403.18684) fit it to dense retrieval. P^(1/b) overflows for small b, hence the logarithms.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.base import Array, Form, Values


@final
class DenseRetrieval(Form):
    """A norm of a power of size and a power of data."""

    name: ClassVar[str] = "dense_retrieval"
    equation: ClassVar[str] = "L = E + ((A/N)^(a/b) + B/D)^b"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")
    linear: ClassVar[bool] = False

    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""
        (a, b), (A, B) = exponents, coefficients
        return np.exp(b * np.logaddexp((np.log(A) - a * log_n) / b, (np.log(B) - b * log_d) / b))

    def derivatives(
        self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array
    ) -> tuple[Array, Values, Values]:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""
        (a, b), (A, B) = exponents, coefficients
        log_p, log_q = np.log(A) - a * log_n, np.log(B) - b * log_d
        log_g = b * np.logaddexp(log_p / b, log_q / b)
        g, of_p, of_q = (
            np.exp(log_g),
            np.exp((log_p - log_g) / b),
            np.exp((log_q - log_g) / b),
        )  # shares: of_p + of_q = 1
        by_order = log_g - of_p * log_p - of_q * log_q
        return g, (-g * of_p * a * log_n, g * (by_order - of_q * b * log_d)), (g * of_p / A, g * of_q / B)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""
        return (values["a"], values["b"]), (values["A"] ** values["a"], values["B"] ** values["b"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A (parameters), a, B (tokens) and b for N and D as they are."""
        (a, b), (A, B) = exponents, coefficients
        return {"A": A ** (1 / a) * np.exp(centre_n), "a": a, "B": B ** (1 / b) * np.exp(centre_d), "b": b}
