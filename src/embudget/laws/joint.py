"""One form of law for several methods at once: exponents and asymptote shared between them or not, and the bootstrap.

    shared      one fit; every method has its own linear coefficients: one with few cells leans on the others
    separate    a fit for each method, for curves that bend differently, if there are the cells to show it

The data choose by Akaike's criterion for small samples, n log(RSS / n) + 2(k + 1) n / (n - k - 2) over n cells and k
parameters (Burnham and Anderson 2002, section 2.4). In simulated studies of 27 cells this left the regret of recipes in
worlds with shared exponents unchanged, and cut it to a third in worlds without, at 1 % noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embudget.errors import FitError, TooFewRunsError
from embudget.laws.bootstrap import deal_residuals, noise_of_run
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


def fit_jointly(form: Form, cells: Sequence[Cell], share: bool | None, seed: int, draws: int) -> JointFit:
    """Fit a form to the cells of one or several methods; ``share`` None lets the data choose.

    Raises:
        TooFewRunsError: fewer than 2 sizes or budgets, or no more cells than parameters.
        FitError: all losses are equal.
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
        noise=noise_of_run(cells, log_loss - fitted.log_fit, fitted.weights, fitted.freedom),
        freedom=fitted.freedom,
    )


def _choose(form: Form, cells: Sequence[Cell], log_loss: Array, share: bool | None) -> "_Fitted":
    together = None if share is False else _Fitted(form, cells, log_loss, share=True)
    if together is not None and (share or len(together.parameters) == 1):
        return together
    try:
        apart = _Fitted(form, cells, log_loss, share=False)
    except TooFewRunsError:
        if together is None:
            raise
        return together
    return apart if together is None or apart.criterion < together.criterion else together


class _Group:
    """The cells of the methods that share exponents and asymptote, fitted."""

    def __init__(self, form: Form, cells: Sequence[Cell], rows: list[int], log_loss: Array) -> None:
        mine = [cells[row] for row in rows]
        methods = tuple(sorted({cell.run.method for cell in mine}))
        log_n, log_d = np.log([c.run.model_params for c in mine]), np.log([c.tokens for c in mine])
        self.rows, self.form = rows, form
        self.grid = Grid(
            methods=methods,
            log_n=log_n - log_n.mean(),
            log_d=log_d - log_d.mean(),
            of_method=np.array([[cell.run.method == method for method in methods] for cell in mine], dtype=float),
            centre_n=float(log_n.mean()),
            centre_d=float(log_d.mean()),
        )
        seeds = np.array([len(cell.runs) for cell in mine], dtype=float)
        linear = form.columns(np.ones(form.exponents), self.grid).shape[1]
        _check(mine, linear + form.exponents)
        self.problem = Separable(
            lambda theta: form.columns(theta, self.grid), form.exponents, seeds / seeds.mean(), linear + form.exponents
        )
        self.solution = self.problem.fit(log_loss[rows])

    def parameters(self, solution: Solution) -> dict[str, Parameters]:
        """The parameters of each method."""
        return self.form.parameters(solution.exponents, solution.coefficients, self.grid)


class _Fitted:
    """One choice of sharing, fitted."""

    def __init__(self, form: Form, cells: Sequence[Cell], log_loss: Array, share: bool) -> None:
        methods = [cell.run.method for cell in cells]
        members = [set(methods)] if share else [{method} for method in sorted(set(methods))]
        groups = [[row for row, method in enumerate(methods) if method in group] for group in members]
        self.groups = [_Group(form, cells, rows, log_loss) for rows in groups]
        self.log_loss, self.log_fit, self.weights = log_loss, np.empty_like(log_loss), np.empty_like(log_loss)
        for group in self.groups:
            self.log_fit[group.rows], self.weights[group.rows] = group.solution.log_fit, group.problem.weights
        self.count = sum(group.problem.parameters for group in self.groups)
        self.freedom = len(cells) - self.count

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The parameters of each method."""
        return {name: values for group in self.groups for name, values in group.parameters(group.solution).items()}

    @property
    def criterion(self) -> float:
        """Akaike's, for small samples; the smaller the better. Exact fits count as residuals of 1e-6."""
        n, k = len(self.log_loss), self.count
        if n <= k + 2:
            return float("inf")
        squares = float((self.weights * (self.log_loss - self.log_fit) ** 2).mean()) + 1e-12
        return n * float(np.log(squares)) + 2 * (k + 1) * n / (n - k - 2)

    def draw(self, rng: np.random.Generator) -> dict[str, Parameters]:
        """The parameters of one bootstrap resample."""
        resampled = deal_residuals(self.log_loss, self.log_fit, self.weights, self.freedom, rng)
        drawn: dict[str, Parameters] = {}
        for group in self.groups:
            best = group.solution
            centre = PRIOR_CENTRE + PRIOR_SD * rng.standard_normal(len(best.log_exponents))
            start, mine = best.log_exponents, resampled[group.rows]
            drawn |= group.parameters(group.problem.refit(mine, best.scale, start, centre, _DRAW_TOLERANCE))
        return drawn


def _check(cells: Sequence[Cell], parameters: int) -> None:
    name = ", ".join(sorted({cell.run.method for cell in cells}))
    for what, found in (
        ("sizes", {cell.run.model_params for cell in cells}),
        ("budgets", {cell.run.budget for cell in cells}),
    ):
        if len(found) < 2:
            raise TooFewRunsError(f"the law of {name} needs at least 2 {what}, got {len(found)}")
    if len(cells) <= parameters:
        raise TooFewRunsError(
            f"the law of {name} has {parameters} parameters and needs at least {parameters + 1} cells "
            f"(model, method, budget), got {len(cells)}"
        )
