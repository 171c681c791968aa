"""What every form of the law of the loss states about itself, evaluated for many parameter vectors at once.

    L(N, D) = E + g(N, D)

E is the asymptote. g has *coefficients* (A and B, which weigh size and data; every method has its own) and *exponents*
(a, b, ..., shared by the methods that are fitted together). All of them are positive. N and D are centred, that is
divided by their geometric means over the measurements, so that a coefficient is a loss in nats at the centre; `to_raw`
undoes this. How a form is fitted is the business of `embudget.laws.joint`.

Shapes: R parameter vectors (starts or bootstrap draws) and n points. Exponents are (R, 1), coefficients (R, n),
log N and log D (n,), what comes out (R, n).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Values = tuple[Array, ...]


class Form(ABC):
    """One equation of the loss over model size and data."""

    name: ClassVar[str]
    equation: ClassVar[str]
    exponents: ClassVar[tuple[str, ...]]
    coefficients: ClassVar[tuple[str, ...]]
    linear: ClassVar[bool]
    """Whether g is linear in its coefficients, so that only the exponents need to be searched."""

    @abstractmethod
    def reducible(self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
        """g, the loss above the asymptote, nats."""

    @abstractmethod
    def derivatives(
        self, exponents: Values, coefficients: Values, log_n: Array, log_d: Array
    ) -> tuple[Array, Values, Values]:
        """g, its derivatives by the logarithm of each exponent, and those by each coefficient."""

    @abstractmethod
    def from_raw(self, values: Mapping[str, Array]) -> tuple[Values, Values]:
        """Exponents and coefficients for N and D as they are, from the parameters of the equation."""

    @abstractmethod
    def to_raw(self, exponents: Values, coefficients: Values, centre_n: float, centre_d: float) -> dict[str, Array]:
        """The parameters of the equation for N and D as they are; ``centre_n`` and ``centre_d`` are log means."""
