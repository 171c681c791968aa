"""A law that begins at each member's own zero-shot loss: training closes the way from there to the member's floor.

    L(N, D) = F + (L0 - F) / (1 + (D / D0)^b),    F = E + A / N^a

L0 is the loss of the member before any training, which is measured and not fitted; F is what endless data would leave.
At D0 tokens half of the way is gone; D0 is a method's own. It is the rectified law of Lin et al. 2024 (arXiv
2402.02314), B / (D0^b + D^b) above the floor, with the B of each member at which the loss of 0 tokens is L0. So one D0
serves members whose zero-shot losses differ by anything, as those of a retriever that was cut do: a law in N alone
cannot know that all-MiniLM-L6-v2 with 4 of its 6 blocks starts from 5.14 nats instead of 3.07.

The other way to put it, one B for all members and a D0 of each, D0^b = B / (L0 - F), fits as well but forecasts members
that were left out less well (docs/log.md, 2026-11-29). Where L0 lies below F, training makes the member worse.

The loss is linear in E and A, but not in D0. Its fitted coefficient is D0^b, as it weighs the tokens.
"""

from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.form import Array, Form, FormName, Gradient, Values


@final
class ZeroShot(Form):
    """L = F + (L0 - F) / (1 + (D/D0)^b) with F = E + A/N^a. D may be 0."""

    name: ClassVar[FormName] = "zero_shot"
    begins: ClassVar[bool] = True
    by_member: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    equation: ClassVar[str] = "L = F + (L0 - F)/(1 + (D/D0)^b), F = E + A/N^a, L0 the zero-shot loss"
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")
    coefficients: ClassVar[tuple[str, ...]] = ("A", "D0")

    def loss(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """See `Form.loss`."""
        assert log_base is not None, "the zero-shot form needs zero-shot losses"
        (a, b), (A, half) = exponents, coefficients
        floor = asymptote + A * np.exp(-a * log_n)
        return floor + (np.exp(log_base) - floor) / (1 + np.exp(b * log_d) / half)

    def gradient(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Gradient:  # fmt: skip
        """See `Form.gradient`."""
        assert log_base is not None, "the zero-shot form needs zero-shot losses"
        (a, b), (A, half) = exponents, coefficients
        by_A = np.exp(-a * log_n)
        size = A * by_A
        floor = asymptote + size
        left = 1 / (1 + np.exp(b * log_d) / half)
        gone, way = 1 - left, np.exp(log_base) - floor
        steep = way * left * gone
        with_zero = np.where(gone > 0, log_d, 0.0)  # D^b log D is 0 at D = 0
        by_exponents = (-a * log_n * size * gone, -b * with_zero * steep)
        return floor + way * left, gone, by_exponents, (by_A * gone, steep / half)

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """See `Form.from_raw`."""
        return (values["a"], values["b"]), (values["A"], values["D0"] ** values["b"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, b and D0 (tokens)."""
        (a, b), (A, half) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "b": b, "D0": half ** (1 / b) * np.exp(centre_d)}
