"""One form of law for several methods at once: exponents and asymptote shared between them or not, and the bootstrap.

    shared      one fit; every method has its own linear coefficients: one with few cells leans on the others
    separate    a fit for each method, for curves that bend differently, if there are the cells to show it

Methods lean on each other only where budgets that both were measured at, or a chain of them, tie them together.

The data choose by Akaike's criterion for small samples, n log(RSS / n) + 2(k + 1) n / (n - k - 2) over n cells and k
parameters (Burnham and Anderson 2002, section 2.4). In simulated studies of 27 cells this left the regret of recipes in
worlds with shared exponents unchanged, and cut it to a third in worlds without, at 1 % noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embudget.errors import FitError, TooFewRunsError
from embudget.laws.bootstrap import deal_residuals, noise_of_run, winsorised
from embudget.laws.table import Cell
from embudget.laws.varpro import PRIOR_CENTRE, PRIOR_SD, Array, Separable, Solution

Parameters = tuple[float, ...]
"""All parameters of one method's law, in the order that the form names them."""
_DRAW_TOLERANCE = 3e-3  # of a draw's log exponents: far below their spread


@dataclass(frozen=True)
class Grid:
    """Where a group of methods was measured: n cells, M methods; sizes and tokens are centred for a stable fit."""

    methods: tuple[str, ...]
    log_n: Array
    """log N minus its mean (n,)"""
    log_d: Array
    """log D minus its mean (n,)"""
    of_method: Array
    """1 where the cell is of the method, else 0 (n, M)"""
    centre_n: float
    centre_d: float


class Form(Protocol):
    """A separable form of law."""

    exponents: int
    """How many of its parameters are searched."""

    def columns(self, theta: Array, grid: Grid) -> Array:
        """The columns (n, p) that the linear coefficients weigh."""

    def parameters(self, theta: Array, coefficients: Array, grid: Grid) -> dict[str, Parameters]:
        """Undo the centring: the parameters of each method."""


@dataclass(frozen=True)
class JointFit:
    """A form fitted to cells."""

    shared: bool
    parameters: dict[str, Parameters]
    draws: dict[str, tuple[Parameters, ...]]
    noise: float
    """relative standard deviation of one run about the law"""
    freedom: int
    """cells minus parameters"""
    outlying: tuple[tuple[Cell, float], ...]
    """Cells whose residual was cut, and measured loss / that of the law."""


def fit_jointly(form: Form, cells: Sequence[Cell], share: bool | None, seed: int, draws: int) -> JointFit:
    """Fit a form to the cells of one or several methods; ``share`` None lets the data choose.

    Raises:
        TooFewRunsError: fewer than 2 sizes or budgets, or no more cells than parameters.
        FitError: all losses are equal, or methods without a common budget cannot be fitted apart.
    """
    log_loss = np.array([cell.log_loss for cell in cells])
    if len(cells) > 1 and np.ptp(log_loss) < 1e-9:
        raise FitError(f"all {len(cells)} losses are equal ({cells[0].loss:g}): there is nothing to fit")
    fitted = _choose(form, cells, log_loss, share)
    rng = np.random.default_rng(seed)
    drawn = [fitted.draw(rng) for _ in range(draws)]
    return JointFit(
        shared=len(fitted.groups) == 1,
        parameters=fitted.parameters,
        draws={method: tuple(draw[method] for draw in drawn) for method in fitted.parameters},
        noise=noise_of_run(cells, fitted.residuals, fitted.weights, fitted.freedom),
        freedom=fitted.freedom,
        outlying=tuple((cells[row], float(np.exp(fitted.residuals[row]))) for row in fitted.outlying),
    )


def _choose(form: Form, cells: Sequence[Cell], log_loss: Array, share: bool | None) -> "_Fitted":
    alone = [{method} for method in sorted({cell.method for cell in cells})]
    linked = _linked(cells)
    together = None if share is False else _fit_linked(form, cells, log_loss, linked)
    if together is not None and (share or linked == alone):
        return together
    try:
        apart = _Fitted(form, cells, log_loss, alone)
    except TooFewRunsError:
        if together is None:
            raise
        return together
    return apart if together is None or apart.criterion < together.criterion else together


def _linked(cells: Sequence[Cell]) -> list[set[str]]:
    """The methods, parted into groups that common budgets tie together."""
    budgets: dict[str, set[float]] = {}
    for cell in cells:
        budgets.setdefault(cell.method, set()).add(cell.budget)
    groups: list[set[str]] = []
    for method in sorted(budgets):
        tied = [group for group in groups if any(budgets[method] & budgets[other] for other in group)]
        groups = [group for group in groups if group not in tied] + [{method}.union(*tied)]
    return sorted(groups, key=min)


def _fit_linked(form: Form, cells: Sequence[Cell], log_loss: Array, linked: list[set[str]]) -> "_Fitted":
    try:
        return _Fitted(form, cells, log_loss, linked)
    except TooFewRunsError as error:
        if len(linked) == 1:
            raise
        names = " and ".join(", ".join(sorted(group)) for group in linked)
        raise FitError(
            f"{names} have no budget in common, so that neither can lean on the other: measure them at a common "
            f"budget, or fit them separately ({error})"
        ) from None


class _Group:
    """The cells of the methods that share exponents and asymptote, fitted."""

    def __init__(self, form: Form, cells: Sequence[Cell], rows: list[int], log_loss: Array, weights: Array) -> None:
        mine = [cells[row] for row in rows]
        methods = tuple(sorted({cell.method for cell in mine}))
        log_n, log_d = np.log([c.model_params for c in mine]), np.log([c.tokens for c in mine])
        self.rows, self.form = rows, form
        self.grid = Grid(
            methods=methods,
            log_n=log_n - log_n.mean(),
            log_d=log_d - log_d.mean(),
            of_method=np.array([[cell.method == method for method in methods] for cell in mine], dtype=float),
            centre_n=float(log_n.mean()),
            centre_d=float(log_d.mean()),
        )
        linear = form.columns(np.ones(form.exponents), self.grid).shape[1]
        _check(mine, linear + form.exponents)
        self.problem = Separable(
            lambda theta: form.columns(theta, self.grid), form.exponents, weights[rows], linear + form.exponents
        )
        self.solution = self.problem.fit(log_loss[rows])

    def parameters(self, solution: Solution) -> dict[str, Parameters]:
        """The parameters of each method."""
        return self.form.parameters(solution.exponents, solution.coefficients, self.grid)


class _Fitted:
    """One choice of sharing, fitted: a group for each set of methods that share."""

    def __init__(self, form: Form, cells: Sequence[Cell], log_loss: Array, sharing: list[set[str]]) -> None:
        groups = [[row for row, cell in enumerate(cells) if cell.method in methods] for methods in sharing]
        seeds = np.array([cell.seeds for cell in cells], dtype=float)
        self.weights = seeds / seeds.mean()
        self.groups = [_Group(form, cells, rows, log_loss, self.weights) for rows in groups]
        self.log_fit = np.empty_like(log_loss)
        for group in self.groups:
            self.log_fit[group.rows] = group.solution.log_fit
        self.residuals = log_loss - self.log_fit
        self.count = sum(group.problem.parameters for group in self.groups)
        self.freedom = len(cells) - self.count
        self.cut = winsorised(self.residuals, self.weights)

    @property
    def outlying(self) -> list[int]:
        """The rows whose residuals were cut."""
        return [int(row) for row in np.flatnonzero(self.cut != self.residuals)]

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The parameters of each method."""
        return {name: values for group in self.groups for name, values in group.parameters(group.solution).items()}

    @property
    def criterion(self) -> float:
        """Akaike's, for small samples; the smaller the better. Exact fits count as residuals of 1e-6."""
        n, k = len(self.residuals), self.count
        if n <= k + 2:
            return float("inf")
        squares = float((self.weights * self.residuals**2).mean()) + 1e-12
        return n * float(np.log(squares)) + 2 * (k + 1) * n / (n - k - 2)

    def draw(self, rng: np.random.Generator) -> dict[str, Parameters]:
        """The parameters of one bootstrap resample."""
        resampled = deal_residuals(self.cut, self.log_fit, self.weights, self.freedom, rng)
        drawn: dict[str, Parameters] = {}
        for group in self.groups:
            best = group.solution
            centre = PRIOR_CENTRE + PRIOR_SD * rng.standard_normal(len(best.log_exponents))
            start, mine = best.log_exponents, resampled[group.rows]
            drawn |= group.parameters(group.problem.refit(mine, best.scale, start, centre, _DRAW_TOLERANCE))
        return drawn


def _check(cells: Sequence[Cell], parameters: int) -> None:
    name = ", ".join(sorted({cell.method for cell in cells}))
    for what, found in (
        ("sizes", {cell.model_params for cell in cells}),
        ("budgets", {cell.budget for cell in cells}),
    ):
        if len(found) < 2:
            raise TooFewRunsError(f"the law of {name} needs at least 2 {what}, got {len(found)}")
    if len(cells) <= parameters:
        raise TooFewRunsError(
            f"the law of {name} has {parameters} parameters and needs at least {parameters + 1} cells "
            f"(model, method, budget), got {len(cells)}"
        )
