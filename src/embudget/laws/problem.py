"""What is fitted: the measured cells as arrays (`Points`), and one form of law over them (`Problem`).

A parameter vector holds logarithms: of E (unless the asymptote is given), of the exponents, then of each coefficient of
the form for every column of the basis. The basis says which mixture of coefficients a cell's method has: one column a
method, or a few columns for methods that differ by a number (`embudget.laws.sharing`). A `Problem` gives the log losses
and their derivatives for many parameter vectors at once, since a thousand bootstrap draws are a thousand of them.

Shapes: R vectors, n cells, p columns of the basis, P parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from embudget.laws.forms import Array, Form, Values
from embudget.laws.repetition import Repetition
from embudget.methods import kind_of
from embudget.runs.cells import Cell
from embudget.runs.lineages import is_of_retrievers

MANY_CELLS = 2000
"""Above so many cells the best start is sought on a random sample of this size, and only refined on all cells."""
NEAR = 2.0
"""Zero-shot loss of a start, in mean losses of its lineage's cells, up to which it is taken for a point of the law."""
MAX_LEVELS = 12
"""Budgets that are told apart; where there are more they are grouped, as many cells to each group."""
EXPONENT_BOUNDS = (0.03, 2.0)
"""Smallest and largest a and b that are searched."""
START_BOUNDS = (1e-15, 1e2)
"""Smallest and largest D0, in units of the mean tokens. At the lower one D0^b is next to nothing even for small b."""
_FLOOR, _CEILING = 1e-7, 1e4  # coefficients in units of the mean loss; below the floor a term is as good as absent


@dataclass(frozen=True)
class Points:
    """n cells as arrays."""

    method: NDArray[np.str_]
    budget: Array
    """FLOP"""
    log_n: Array
    log_d: Array
    """of the effective tokens, those that are repeated counting less: see `embudget.laws.repetition`"""
    log_loss: Array
    """mean over the seeds"""
    precision: Array
    """each cell's weight times its number of seeds"""
    seeds: Array
    """number of runs behind each cell"""
    seed_squares: Array
    """sum of squared deviations of the seeds' log losses"""
    series: NDArray[np.int_]
    """number of the series of cells that err together: those of one model and method, as the branches of a trunk, and
    of these the checkpoints of one run by themselves, where the table names its runs"""
    lineage: NDArray[np.str_]
    """family and kind of start of each cell's model (n,); empty where nobody says it"""
    base: Array
    """log held-out loss of each cell's start before any training (n,); NaN where unknown"""

    @classmethod
    def of(cls, cells: Sequence[Cell], repetition: Repetition | None = None) -> Self:
        """The cells as arrays; without a ``repetition`` all tokens count as new."""
        seeds = np.array([cell.seeds for cell in cells], dtype=float)
        _, series = np.unique([_series_of(cell) for cell in cells], return_inverse=True)
        return cls(
            method=np.array([cell.method for cell in cells]),
            budget=np.array([cell.budget for cell in cells]),
            log_n=np.log([cell.model_params for cell in cells]),
            log_d=np.log([cell.tokens for cell in cells] if repetition is None else repetition.of_cells(cells)),
            log_loss=np.log([cell.loss for cell in cells]),
            precision=seeds * np.array([cell.weight for cell in cells]),
            seeds=seeds,
            seed_squares=np.array([cell.seed_squares for cell in cells]),
            series=series,
            lineage=np.array([cell.lineage or "" for cell in cells]),
            base=np.log([cell.base_loss or np.nan for cell in cells]),
        )

    def __len__(self) -> int:
        return len(self.log_loss)

    def where(self, rows: NDArray[np.bool_]) -> Self:
        """The cells that ``rows`` (n,) marks."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def thinned(self, most: int) -> Self:
        """At most ``most`` cells, drawn at random but the same ones at each call."""
        return self.where(self.sampled(most))

    def sampled(self, most: int) -> NDArray[np.bool_]:
        """Which cells `thinned` keeps (n,)."""
        return np.ones(len(self), dtype=bool) if len(self) <= most else sample(len(self), most)

    @cached_property
    def weights(self) -> Array:
        """Relative precision of each log loss (n,), 1 on average."""
        weights: Array = self.precision / self.precision.mean()
        return weights

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """The methods of the cells, sorted."""
        return tuple(sorted(set(self.method.tolist())))

    @cached_property
    def lineages(self) -> tuple[str, ...]:
        """The lineages of the cells, sorted; one of them empty where nobody says it."""
        return tuple(sorted(set(self.lineage.tolist())))

    @cached_property
    def near_start(self) -> NDArray[np.bool_]:
        """The cells of retrievers that are known to be good before any training: their law begins at that loss (n,)."""
        near = np.isfinite(self.base)
        for lineage in self.lineages:
            mine = self.lineage == lineage
            near[mine] &= is_of_retrievers(lineage)
            near[mine] &= self.base[mine] < self.log_loss[mine].mean() + np.log(NEAR)
        return near

    @cached_property
    def begins(self) -> tuple[str, ...]:
        """The lineages whose law can begin at each member's own zero-shot loss: known of all cells, near for some."""
        found = [(name, self.lineage == name) for name in self.lineages]
        return tuple(name for name, mine in found if np.isfinite(self.base[mine]).all() and self.near_start[mine].any())

    @cached_property
    def lines(self) -> NDArray[np.str_]:
        """Lineage and method of each cell (n,), which have coefficients of their own."""
        return np.array([f"{one}\n{method}" for one, method in zip(self.lineage, self.method, strict=True)])

    @cached_property
    def kinds(self) -> dict[str, NDArray[np.bool_]]:
        """For each kind of method, which cells are of it (n,)."""
        kind = np.array([kind_of(method) for method in self.method.tolist()])
        return {name: kind == name for name in sorted(set(kind.tolist()))}

    @cached_property
    def levels(self) -> Array:
        """Each cell's place among the budgets, counted from 0 (n,)."""
        distinct, level = np.unique(self.budget, return_inverse=True)
        if len(distinct) > MAX_LEVELS:
            edges = np.quantile(self.budget, np.linspace(0, 1, MAX_LEVELS + 1)[1:-1])
            together = np.searchsorted(edges, self.budget, side="right")
            level = together if np.ptp(together) > 0 else np.minimum(level, 1)  # nearly all at the smallest budget
        return np.asarray(level, dtype=float)


def _series_of(cell: Cell) -> str:
    named = f"{cell.model}\n{cell.method}\n{cell.run or ''}"
    return named if cell.lineage is None else f"{named}\n{cell.lineage}"


def sample(count: int, most: int) -> NDArray[np.bool_]:
    """Which of ``count`` rows are in a random sample of ``most`` (count,); the same ones at each call."""
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(0).choice(count, most, replace=False)] = True
    return chosen


@dataclass(frozen=True)
class Problem:
    """One form, the cells that it is fitted to, and how much each of them counts."""

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
    log_base: Array | None = None
    """log zero-shot loss of each cell's start (n,), for a form that begins at it"""

    def where(self, rows: NDArray[np.bool_]) -> "Problem":
        """The same form over the cells that ``rows`` (n,) marks, centred as before."""
        return replace(
            self, log_n=self.log_n[rows], log_d=self.log_d[rows], basis=self.basis[rows],
            log_loss=self.log_loss[rows], weights=self.weights[rows],
            log_base=None if self.log_base is None else self.log_base[rows],
        )  # fmt: skip

    @property
    def free(self) -> int:
        """1 if E is fitted, else 0."""
        return int(self.asymptote is None)

    @property
    def searched(self) -> slice:
        """The slice of a parameter vector that holds the exponents."""
        return slice(self.free, self.free + len(self.form.exponents))

    @property
    def parameters(self) -> int:
        """P, the length of a parameter vector."""
        return self.free + len(self.form.exponents) + len(self.form.coefficients) * int(self.basis.shape[1])

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The smallest and the largest value of each parameter, (P,) and (P,)."""
        typical, least = float(np.exp(self.log_loss.mean())), float(np.exp(self.log_loss.min()))
        spans = [(1e-4 * least, least)] * self.free
        spans += [START_BOUNDS if name == "D0" else EXPONENT_BOUNDS for name in self.form.exponents]
        spans += [(_FLOOR * typical, _CEILING * typical)] * (self.parameters - len(spans))
        low, high = np.log(np.array(spans)).T
        return low, high

    def join(self, asymptote: float, exponents: Array, coefficients: Array) -> Array:
        """One parameter vector (P,) of these values, clipped to the bounds."""
        values = np.concatenate([np.full(self.free, asymptote), exponents, coefficients])
        joined: Array = np.clip(np.log(np.maximum(values, 1e-300)), *self.bounds)
        return joined

    def predict(self, vectors: Array) -> Array:
        """The log loss of every cell (R, n)."""
        at = self.log_n, self.log_d, self.asymptote, self.log_base
        return log_loss_of(self.form, vectors, self.basis, *at)

    def linearise(self, vectors: Array) -> tuple[Array, Array]:
        """The log loss of every cell (R, n), and its derivatives by each parameter (R, P, n)."""
        asymptote, exponents, coefficients = split(self.form, vectors, self.asymptote)
        mixed = tuple(c @ self.basis.T for c in coefficients)
        at = self.log_n, self.log_d, self.log_base
        loss, by_asymptote, by_exponents, by_coefficients = self.form.gradient(asymptote, exponents, mixed, *at)
        jacobian = np.empty((len(vectors), self.parameters, len(self.log_n)))
        if self.free:
            jacobian[:, 0] = asymptote * by_asymptote
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


def log_loss_of(
    form: Form, vectors: Array, basis: Array, log_n: Array, log_d: Array, asymptote: float | None,
    log_base: Array | None = None,
) -> Array:  # fmt: skip
    """The log loss (R, m) by R parameter vectors at m points with their rows of the basis (m, p).

    ``log_base`` (m,) or (R, m) are the log zero-shot losses, for a form that begins at them.
    """
    base, exponents, coefficients = split(form, vectors, asymptote)
    mixed = tuple(own @ basis.T for own in coefficients)
    return np.log(form.loss(base, exponents, mixed, log_n, log_d, log_base))
