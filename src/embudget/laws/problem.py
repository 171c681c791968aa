"""A form of law over measured cells: its log loss and derivatives for many parameter vectors at once.

A parameter vector holds logarithms: of E (unless the asymptote is given), of the exponents, then of each coefficient of
the form for every column of the basis. The basis says which mixture of coefficients a cell's method has: one column a
method, or a few columns for methods that differ by a number (`embudget.laws.basis`).

Shapes: R vectors, n cells, p columns of the basis, P parameters.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from embudget.laws.base import Array, Form, Values

EXPONENT_BOUNDS = (0.03, 2.0)
"""Of a and b."""
START_BOUNDS = (1e-15, 1e2)
"""Of D0, in units of the mean tokens; at the lower one D0^b is next to nothing for small b too."""
_FLOOR, _CEILING = 1e-7, 1e4  # of coefficients, in units of the mean loss; below the floor a term is as good as absent


@dataclass(frozen=True)
class Problem:
    """One form, the cells it is fitted to, and how much each counts."""

    form: Form
    log_n: Array
    """log N minus its mean (n,)"""
    log_d: Array
    """log D minus its mean (n,)"""
    basis: Array
    """(n, p), non-negative"""
    log_loss: Array
    """(n,)"""
    weights: Array
    """(n,), mean 1"""
    asymptote: float | None = None
    """E where it is given, nats"""

    def where(self, rows: NDArray[np.bool_]) -> "Problem":
        """The same form over some of the cells, centred as before."""
        return replace(
            self, log_n=self.log_n[rows], log_d=self.log_d[rows], basis=self.basis[rows],
            log_loss=self.log_loss[rows], weights=self.weights[rows],
        )  # fmt: skip

    @property
    def free(self) -> int:
        """1 if E is fitted, else 0."""
        return int(self.asymptote is None)

    @property
    def searched(self) -> slice:
        """Where the exponents stand in a parameter vector."""
        return slice(self.free, self.free + len(self.form.exponents))

    @property
    def parameters(self) -> int:
        """P, the length of a parameter vector."""
        return self.free + len(self.form.exponents) + len(self.form.coefficients) * int(self.basis.shape[1])

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The smallest and the largest parameter vector."""
        typical, least = float(np.exp(self.log_loss.mean())), float(np.exp(self.log_loss.min()))
        spans = [(1e-4 * least, least)] * self.free
        spans += [START_BOUNDS if name == "D0" else EXPONENT_BOUNDS for name in self.form.exponents]
        spans += [(_FLOOR * typical, _CEILING * typical)] * (self.parameters - len(spans))
        low, high = np.log(np.array(spans)).T
        return low, high

    def join(self, asymptote: float, exponents: Array, coefficients: Array) -> Array:
        """One parameter vector (P,), brought within the bounds."""
        values = np.concatenate([np.full(self.free, asymptote), exponents, coefficients])
        joined: Array = np.clip(np.log(np.maximum(values, 1e-300)), *self.bounds)
        return joined

    def predict(self, vectors: Array) -> Array:
        """The log loss of every cell (R, n)."""
        return log_loss_of(self.form, vectors, self.basis, self.log_n, self.log_d, self.asymptote)

    def linearise(self, vectors: Array) -> tuple[Array, Array]:
        """The log loss of every cell (R, n), and its derivatives by the parameters (R, P, n)."""
        asymptote, exponents, coefficients = split(self.form, vectors, self.asymptote)
        mixed = tuple(c @ self.basis.T for c in coefficients)
        g, by_exponents, by_coefficients = self.form.derivatives(exponents, mixed, self.log_n, self.log_d)
        loss = asymptote + g
        jacobian = np.empty((len(vectors), self.parameters, len(self.log_n)))
        if self.free:
            jacobian[:, 0] = asymptote
        for i, derivative in enumerate(by_exponents, self.free):
            jacobian[:, i] = derivative
        first, count = self.searched.stop, self.basis.shape[1]
        for i, (own, derivative) in enumerate(zip(coefficients, by_coefficients, strict=True)):
            rows = slice(first + i * count, first + (i + 1) * count)
            jacobian[:, rows] = own[:, :, None] * self.basis.T * derivative[:, None, :]
        jacobian /= loss[:, None, :]
        return np.log(loss), jacobian


def split(form: Form, vectors: Array, asymptote: float | None) -> tuple[Array, Values, Values]:
    """E (R, 1), the exponents (R, 1) each, and the coefficients of the basis (R, p) each."""
    values = np.exp(vectors)
    free = int(asymptote is None)
    first = free + len(form.exponents)
    count = (values.shape[1] - first) // len(form.coefficients)
    base = values[:, :1] if asymptote is None else np.full((len(values), 1), asymptote)
    exponents = tuple(values[:, i : i + 1] for i in range(free, first))
    starts = range(first, first + count * len(form.coefficients), count)
    return base, exponents, tuple(values[:, start : start + count] for start in starts)


def log_loss_of(form: Form, vectors: Array, basis: Array, log_n: Array, log_d: Array, asymptote: float | None) -> Array:
    """The log loss (R, m) by R parameter vectors at m points with their rows of the basis (m, p)."""
    base, exponents, coefficients = split(form, vectors, asymptote)
    mixed = tuple(own @ basis.T for own in coefficients)
    predicted: Array = np.log(base + form.reducible(exponents, mixed, log_n, log_d))
    return predicted
