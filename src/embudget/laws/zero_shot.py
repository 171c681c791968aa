"""Laws that begin at each member's own zero-shot loss: training closes the way from there to the member's floor.

    zero_shot         L(N, D) = F + (L0 - F) / (1 + (D / D0)^b)        F = E + A / N^a
    zero_shot_level   L(N, D) = F + B / (B / (L0 - F) + D^b)

L0 is the loss of the member before any training, which is measured and not fitted; F is what endless data would leave.
Both are the rectified law of Lin et al. 2024 (arXiv 2402.02314), B / (D0^b + D^b) above the floor, with B or D0 such
that the loss of 0 tokens is L0:

    zero_shot         one D0 for all members: after D0 tokens half of the way is gone, however long it was
    zero_shot_level   one B for all members: after many tokens all are B / D^b above their floors, wherever they began

So a law can serve members whose zero-shot losses differ by anything, as those of a retriever that was cut do: none in N
alone can know that all-MiniLM-L6-v2 with 4 of its 6 blocks starts from 5.14 nats instead of 3.07. Measured retrievers
lie between the two (docs/log.md, 2026-11-29), so that both are fitted, and have a say by their weights.

Where L0 lies below F, training makes the member worse. The loss is not linear in D0 or B. The fitted coefficient of
zero_shot is D0^b, as it weighs the tokens.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, final

import numpy as np

from embudget.laws.form import Array, Form, FormName, Gradient, Values


class FromZeroShot(Form):
    """A form L = F + (L0 - F) / (1 + u) with F = E + A/N^a, where u grows from 0 with D."""

    begins: ClassVar[bool] = True
    by_member: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    exponents: ClassVar[tuple[str, ...]] = ("a", "b")

    @abstractmethod
    def _weight(self, way: Array) -> Array:
        """What D^b over the coefficient is multiplied with to be u, given L0 - F."""

    @abstractmethod
    def _pull(self, left: Array) -> Array:
        """By how much the loss rises with the floor, given 1 / (1 + u)."""

    def loss(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Array:  # fmt: skip
        """See `Form.loss`."""
        return self.gradient(asymptote, exponents, coefficients, log_n, log_d, log_base)[0]

    def gradient(
        self, asymptote: Array, exponents: Values, coefficients: Values, log_n: Array, log_d: Array,
        log_base: Array | None = None,
    ) -> Gradient:  # fmt: skip
        """See `Form.gradient`."""
        assert log_base is not None, "a form that begins at zero-shot losses needs them"
        (a, b), (A, slow) = exponents, coefficients
        by_A = np.exp(-a * log_n)
        size = A * by_A
        floor = asymptote + size
        way = np.exp(log_base) - floor
        left = 1 / (1 + self._weight(way) * np.exp(b * log_d) / slow)
        pull, steep = self._pull(left), way * left * (1 - left)
        with_zero = np.where(left < 1, log_d, 0.0)  # D^b log D is 0 at D = 0
        by_exponents = (-a * log_n * size * pull, -b * with_zero * steep)
        return floor + way * left, pull, by_exponents, (by_A * pull, steep / slow)


@final
class ZeroShot(FromZeroShot):
    """L = F + (L0 - F) / (1 + (D/D0)^b) with F = E + A/N^a. D may be 0."""

    name: ClassVar[FormName] = "zero_shot"
    equation: ClassVar[str] = "L = F + (L0 - F)/(1 + (D/D0)^b), F = E + A/N^a, L0 the zero-shot loss"
    coefficients: ClassVar[tuple[str, ...]] = ("A", "D0")

    def _weight(self, way: Array) -> Array:
        return np.ones_like(way)

    def _pull(self, left: Array) -> Array:
        return 1 - left

    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """See `Form.from_raw`."""
        return (values["a"], values["b"]), (values["A"], values["D0"] ** values["b"])

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, b and D0 (tokens)."""
        (a, b), (A, slow) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "b": b, "D0": slow ** (1 / b) * np.exp(centre_d)}


@final
class ZeroShotLevel(FromZeroShot):
    """L = F + B / (B / (L0 - F) + D^b) with F = E + A/N^a. D may be 0; where L0 < F, the sign of the way is kept."""

    name: ClassVar[FormName] = "zero_shot_level"
    equation: ClassVar[str] = "L = F + B/(B/(L0 - F) + D^b), F = E + A/N^a, L0 the zero-shot loss"
    coefficients: ClassVar[tuple[str, ...]] = ("A", "B")

    def _weight(self, way: Array) -> Array:
        return np.abs(way)

    def _pull(self, left: Array) -> Array:
        return 1 - left**2

    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """A, a, B and b."""
        (a, b), (A, B) = exponents, coefficients
        return {"A": A * np.exp(a * centre_n), "a": a, "B": B * np.exp(b * centre_d), "b": b}
