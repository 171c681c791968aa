"""The fit that is usual for large tables: Huber's loss of log residuals by L-BFGS from a grid of starts.

Hoffmann et al. 2022 (approach 3) and its replication (Besiroglu et al. 2024, arXiv 2404.10102) minimise

    sum_i huber(log L_i - log f_i; delta = 1e-3)

summed, not averaged, with E, A and B as logarithms. At delta = 1e-3 nearly all residuals lie in the linear part: these
are least absolute residuals. The surface is another fit (`levenberg`); this one is there for comparison, and to see how
much the result depends on the start.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize

from embudget.laws.base import Array
from embudget.laws.levenberg import Objective, gradient_of
from embudget.laws.problem import Problem

DELTA = 1e-3
"""Relative residual at which Huber's loss becomes linear."""
SAME = 0.01
"""Starts within this of the lowest objective reached it."""


@dataclass(frozen=True)
class Search:
    """The best of all starts, and how the others ended."""

    vector: Array
    """(P,)"""
    objective: float
    starts: int
    reached: int
    """starts that ended within `SAME` of the best objective"""


def search_from_starts(problem: Problem, *, dense: bool = False, delta: float = DELTA) -> Search:
    """Fit from a grid of starts, all of them different.

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
        for start in _grid(problem, dense=dense)
    ]
    values = np.array([one.fun for one in found])
    best = int(values.argmin())
    return Search(found[best].x, float(values[best]), len(found), int((values <= (1 + SAME) * values[best]).sum()))


def _grid(problem: Problem, *, dense: bool) -> list[Array]:
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
