"""The same cells and the same form under other objectives: how much of a law is the data's, how much the fitter's.

    .venv/bin/python -m benchmarks.objectives results/micro/laws.json      # any file of laws, or a built-in name

Chinchilla's form, E and the exponents shared by the methods, fitted by

    robust            what the laws are made of: Huber's loss at 1.345 noise levels with a weak prior
                      (`embudget.laws.solve`)
    huber, starts     Huber's loss at 1e-3 by L-BFGS from a grid of starts, as usual for large tables
    huber, projected  the same objective by variable projection, reweighted (`search`)
    squares of logs   least squares of log residuals by variable projection
    squares           least squares of residuals in nats by variable projection

Hoffmann et al. 2022 (approach 3) and its replication (Besiroglu et al. 2024, arXiv 2404.10102) minimise

    sum_i huber(log L_i - log f_i; delta = 1e-3)

summed, not averaged, with E, A and B as logarithms. At delta = 1e-3 nearly all residuals lie in the linear part: these
are least absolute residuals.

Variable projection (Golub and Pereyra 1973; for scaling laws arXiv 2603.22339): for given exponents, E and the
coefficients solve a non-negative least-squares problem, which leaves a well-conditioned search in two or three
dimensions. Log residuals are reached by Gauss-Newton steps around the last fit, each of them one such problem; Huber's
weights are updated in the same rounds.
"""

import argparse
import sys
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from embudget.laws import FORMS, find_laws
from embudget.laws.forms import Array
from embudget.laws.problem import EXPONENT_BOUNDS, MANY_CELLS, START_BOUNDS, Points, Problem
from embudget.laws.sharing import fit_jointly
from embudget.laws.solve import Objective, columns_of, exponent_grid, gradient_of, non_negative

DELTA = 1e-3
"""Relative residual at which the usual Huber's loss becomes linear."""
SAME = 0.01
"""Starts that end within this of the lowest objective, relatively, reached it."""
FINE = {"a": tuple(np.geomspace(0.05, 1.5, 9)), "b": tuple(np.geomspace(0.05, 1.5, 9)), "D0": (1e-3, 0.03, 0.3)}
"""Exponents that the search by variable projection starts from."""
_ROUNDS = 8  # steps of Gauss-Newton; small studies need 3 to 5


@dataclass(frozen=True)
class Alternative:
    """A fit under one objective."""

    name: str
    E: float
    """nats"""
    a: float
    b: float
    huber: float
    """Huber's loss of log residuals at 1e-3, summed: what the two fits called huber minimise"""
    starts: str = ""
    """how the result depends on the start, where there are several"""

    @property
    def size_exponent(self) -> float:
        """The exponent of the best size against the budget, N* ~ C^(b / (a + b))."""
        return self.b / (self.a + self.b)


@dataclass(frozen=True)
class Search:
    """The best of all starts, and how the others ended."""

    vector: Array
    """(P,)"""
    objective: float
    starts: int
    reached: int
    """starts that ended within `SAME` of the best objective"""


def main() -> None:
    """Print the table of one file of laws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laws", help="a file that `embudget fit` wrote, or the name of built-in laws")
    laws = find_laws(parser.parse_args().laws)
    found = alternatives(Points.of(laws.cells), laws.surface.asymptote)
    sys.stdout.write("\n".join(lines(found)) + "\n")


def alternatives(points: Points, asymptote: float | None = None) -> tuple[Alternative, ...]:
    """Fit all of them; empty with more cells than the slower ones are made for."""
    if len(points) > MANY_CELLS:
        return ()
    fit = fit_jointly(FORMS["chinchilla"], points, "shared", asymptote)
    problem = fit.groups[0].problem
    starts = search_from_starts(problem)
    huber = Objective(delta=DELTA)
    told = f"{starts.reached} of {starts.starts} starts reach it within 1 %"
    return (
        _alternative("robust", problem, fit.vectors[0]),
        _alternative("huber, starts", problem, starts.vector, told),
        _alternative("huber, projected", problem, search(problem, huber)),
        _alternative("squares of logs", problem, search(problem, Objective())),
        _alternative("squares", problem, search(problem, Objective(), in_nats=True)),
    )


def _alternative(name: str, problem: Problem, vector: Array, starts: str = "") -> Alternative:
    value, _ = gradient_of(problem, vector, Objective(delta=DELTA))
    E = float(np.exp(vector[0])) if problem.asymptote is None else problem.asymptote
    a, b = (float(number) for number in np.exp(vector[problem.searched]))
    return Alternative(name=name, E=E, a=a, b=b, huber=value, starts=starts)


def lines(found: tuple[Alternative, ...]) -> list[str]:
    """The fits as a table."""
    table = [
        "L = E + A/N^a + B/D^b, shared by the methods, under other objectives (b/(a+b): N* ~ C^it):",
        f"  {'objective':<17} {'E':>7} {'a':>7} {'b':>7} {'b/(a+b)':>8} {'Huber 1e-3':>11}",
    ]
    for one in found:
        numbers = f"{one.E:7.3f} {one.a:7.3f} {one.b:7.3f} {one.size_exponent:8.3f} {one.huber:11.3g}"
        table.append(f"  {one.name:<17} {numbers}   {one.starts}".rstrip())
    return table


def search_from_starts(problem: Problem, *, dense: bool = False, delta: float = DELTA, same: float = SAME) -> Search:
    """Fit by L-BFGS from a grid of starts, all of them different.

    They are combinations of 2 values of a and 2 of b, of 2 of E where it is not given, and of 3 ways to part the rest
    between A and B where the form has both: 24 for Chinchilla's form, 12 with E given; 8 and 4 for a product. Where
    ``dense`` 5, 5 and 4 values and the same 3 ways: 300 and 75, 100 and 25.
    """
    objective = Objective(delta=delta)
    low, high = problem.bounds

    def value(vector: Array) -> tuple[float, Array]:
        return gradient_of(problem, vector, objective)

    options: Any = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-15, "gtol": 1e-10, "maxls": 50}
    found = [
        minimize(value, start, jac=True, method="L-BFGS-B", bounds=Bounds(low, high), options=options)
        for start in starts_of(problem, dense=dense)
    ]
    values = np.array([one.fun for one in found])
    best = int(values.argmin())
    return Search(found[best].x, float(values[best]), len(found), int((values <= (1 + same) * values[best]).sum()))


def starts_of(problem: Problem, *, dense: bool) -> list[Array]:
    """The grid of `search_from_starts`, as parameter vectors (P,)."""
    exponents = (0.1, 0.2, 0.35, 0.6, 1.0) if dense else (0.2, 0.7)
    asymptotes = (0.05, 0.3, 0.6, 0.9) if dense else (0.3, 0.8)
    two = len(problem.form.coefficients) == 2
    splits = tuple((share, 1 - share) for share in (0.2, 0.5, 0.8)) if two else ((1.0,),)
    typical, least = float(np.exp(problem.log_loss.mean())), float(np.exp(problem.log_loss.min()))
    bases = [share * least for share in asymptotes] if problem.asymptote is None else [problem.asymptote]
    names, columns = problem.form.exponents, problem.basis.shape[1]
    starts = []
    for values in product(*((0.1,) if name == "D0" else exponents for name in names)):
        for base, split in product(bases, splits):
            coefficients = np.concatenate([np.full(columns, (typical - base) * part) for part in split])
            starts.append(problem.join(base, np.array(values), coefficients))
    return starts


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

    best = min((np.log(exponents) for exponents in exponent_grid(problem, FINE)), key=value)
    simplex = best + np.vstack([np.zeros(len(names)), 0.15 * np.eye(len(names))])
    options: Any = {"xatol": 1e-6, "fatol": 1e-14, "initial_simplex": simplex, "maxiter": 2000}
    found = minimize(value, best, method="Nelder-Mead", options=options)
    return project(problem, np.exp(np.clip(found.x, low, high)), objective, in_nats=in_nats)


def project(problem: Problem, exponents: Array, objective: Objective, *, in_nats: bool = False) -> Array:
    """The best E and coefficients for given exponents (k,), as a parameter vector (P,)."""
    columns = columns_of(problem, exponents)
    given = 0.0 if problem.asymptote is None else problem.asymptote
    loss = np.exp(problem.log_loss)
    fit, huber = loss, np.ones_like(loss)
    for _ in range(_ROUNDS):
        root = np.sqrt(problem.weights * huber) / (1.0 if in_nats else fit)
        target = loss if in_nats else fit * (1 + problem.log_loss - np.log(fit))  # log L = log f + (f' - f) / f
        solved = non_negative(columns * root[:, None], (target - given) * root)
        last, fit = fit, np.maximum(columns @ solved + given, 1e-300)
        residuals = np.abs(_residuals(problem, fit, in_nats=in_nats))
        huber = np.minimum(1.0, objective.delta / np.maximum(residuals, 1e-300))
        if np.abs(fit / last - 1).max() < 1e-9:
            break
    asymptote = float(solved[0]) if problem.free else given
    return problem.join(asymptote, exponents, solved[problem.free :])


def _residuals(problem: Problem, fit: Array, *, in_nats: bool) -> Array:
    residuals: Array = np.exp(problem.log_loss) - fit if in_nats else problem.log_loss - np.log(fit)
    return residuals


def _value(problem: Problem, vector: Array, objective: Objective, *, in_nats: bool) -> float:
    residuals = np.abs(_residuals(problem, np.exp(problem.predict(vector[None])[0]), in_nats=in_nats))
    quadratic = np.minimum(residuals, objective.delta)
    return float((problem.weights * quadratic * (residuals - 0.5 * quadratic)).sum())


if __name__ == "__main__":
    main()
