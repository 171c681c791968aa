"""Variable projection: a law that is linear in its coefficients needs a search over its exponents only.

For given exponents, E and the coefficients solve a non-negative least-squares problem (Golub and Pereyra 1973; for
scaling laws arXiv 2603.22339), which leaves a well-conditioned search in two or three dimensions. Log residuals are
reached by Gauss-Newton steps around the last fit, each of them one such problem; Huber's weights are updated in the
same rounds. Used in two ways: projected at a coarse grid of exponents it gives the starts that `levenberg` refines,
and `search` is a fit of its own, which also knows plain residuals in nats.
"""

from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls

from embudget.laws.base import Array
from embudget.laws.levenberg import Objective
from embudget.laws.problem import EXPONENT_BOUNDS, START_BOUNDS, Problem

COARSE = {"a": (0.1, 0.3, 0.7), "b": (0.1, 0.3, 0.7), "D0": (0.01, 0.3)}
FINE = {"a": tuple(np.geomspace(0.05, 1.5, 9)), "b": tuple(np.geomspace(0.05, 1.5, 9)), "D0": (1e-3, 0.03, 0.3)}
_ROUNDS = 8  # of Gauss-Newton; small studies need 3 to 5


def projected_starts(problem: Problem) -> Array:
    """The best parameter vectors at a coarse grid of exponents (R, P); for a form that is not linear, a rough guess."""
    rough = _rough if not problem.form.linear else project
    grid = product(*(COARSE[name] for name in problem.form.exponents))
    return np.array([rough(problem, np.array(exponents), Objective()) for exponents in grid])


def search(problem: Problem, objective: Objective, *, in_nats: bool = False) -> Array:
    """Fit by variable projection alone: a grid of exponents, then Nelder and Mead's simplex from its best point.

    Args:
        problem: with a form that is linear in its coefficients.
        objective: its noise and prior are not used.
        in_nats: whether residuals are those of the loss instead of the log loss.

    Returns:
        The parameter vector (P,).
    """
    names = problem.form.exponents
    low, high = np.log([START_BOUNDS if name == "D0" else EXPONENT_BOUNDS for name in names]).T

    def value(log_exponents: Array) -> float:
        inside = np.clip(log_exponents, low, high)
        vector = project(problem, np.exp(inside), objective, in_nats=in_nats)
        return _value(problem, vector, objective, in_nats=in_nats) * (1 + float(((log_exponents - inside) ** 2).sum()))

    grid = [np.log(exponents) for exponents in product(*(FINE[name] for name in names))]
    best = min(grid, key=value)
    simplex = best + np.vstack([np.zeros(len(names)), 0.15 * np.eye(len(names))])
    options: Any = {"xatol": 1e-6, "fatol": 1e-14, "initial_simplex": simplex, "maxiter": 2000}
    found = minimize(value, best, method="Nelder-Mead", options=options)
    return project(problem, np.exp(np.clip(found.x, low, high)), objective, in_nats=in_nats)


def project(problem: Problem, exponents: Array, objective: Objective, *, in_nats: bool = False) -> Array:
    """The best E and coefficients for given exponents (k,), as a parameter vector (P,)."""
    columns = _columns(problem, exponents)
    given = 0.0 if problem.asymptote is None else problem.asymptote
    loss = np.exp(problem.log_loss)
    fit, huber = loss, np.ones_like(loss)
    for _ in range(_ROUNDS):
        root = np.sqrt(problem.weights * huber) / (1.0 if in_nats else fit)
        target = loss if in_nats else fit * (1 + problem.log_loss - np.log(fit))  # log L = log f + (f' - f) / f
        solved = _nnls(columns * root[:, None], (target - given) * root)
        last, fit = fit, np.maximum(columns @ solved + given, 1e-300)
        residuals = np.abs(_residuals(problem, fit, in_nats=in_nats))
        huber = np.minimum(1.0, objective.delta / np.maximum(residuals, 1e-300))
        if np.abs(fit / last - 1).max() < 1e-9:
            break
    asymptote = float(solved[0]) if problem.free else given
    return problem.join(asymptote, exponents, solved[problem.free :])


def _columns(problem: Problem, exponents: Array) -> Array:
    """1 where E is fitted, and what each coefficient is multiplied with (n, p)."""
    held = tuple(np.array([[value]]) for value in exponents)
    ones = tuple(np.ones((1, len(problem.log_n))) for _ in problem.form.coefficients)
    _, _, by_coefficients = problem.form.derivatives(held, ones, problem.log_n, problem.log_d)
    columns = [problem.basis * derivative[0][:, None] for derivative in by_coefficients]
    return np.hstack([np.ones((len(problem.log_n), problem.free)), *columns])


def _nnls(columns: Array, target: Array) -> Array:
    """Non-negative least squares; a tall problem is first turned into a small one with the same solution."""
    if len(columns) > 4 * columns.shape[1]:  # R alone: forming Q is 100 times slower where BLAS has several threads
        both: Array = np.asarray(np.linalg.qr(np.column_stack([columns, target]), mode="r"))
        columns, target = both[:, :-1], both[:, -1]
    solved: Array = nnls(columns, target, maxiter=100 * columns.shape[1])[0]
    return solved


def _residuals(problem: Problem, fit: Array, *, in_nats: bool) -> Array:
    residuals: Array = np.exp(problem.log_loss) - fit if in_nats else problem.log_loss - np.log(fit)
    return residuals


def _value(problem: Problem, vector: Array, objective: Objective, *, in_nats: bool) -> float:
    residuals = np.abs(_residuals(problem, np.exp(problem.predict(vector[None])[0]), in_nats=in_nats))
    quadratic = np.minimum(residuals, objective.delta)
    return float((problem.weights * quadratic * (residuals - 0.5 * quadratic)).sum())


def _rough(problem: Problem, exponents: Array, objective: Objective) -> Array:
    """Half of the lowest loss for E, the rest spread evenly over the coefficients."""
    typical, asymptote = float(np.exp(problem.log_loss.mean())), 0.5 * float(np.exp(problem.log_loss.min()))
    count = len(problem.form.coefficients) * problem.basis.shape[1]
    return problem.join(asymptote, exponents, np.full(count, (typical - asymptote) / len(problem.form.coefficients)))
