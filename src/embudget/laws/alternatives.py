"""The same cells and the same form under other objectives: how much of a law is the data's, how much the fitter's.

Chinchilla's form, E and the exponents shared by the methods, fitted by

    robust            what the surface is made of: Huber's loss at 1.345 noise levels with a weak prior (`levenberg`)
    huber, starts     Huber's loss at 1e-3, L-BFGS from a grid of starts (`lbfgs`), as usual for large tables
    huber, projected  the same objective by variable projection, reweighted (`varpro`)
    squares of logs   least squares of log residuals by variable projection
    squares           least squares of residuals in nats by variable projection
"""

import numpy as np
from pydantic import Field

from embudget.frozen import Frozen
from embudget.laws.base import Array
from embudget.laws.joint import fit_jointly
from embudget.laws.lbfgs import DELTA, search_from_starts
from embudget.laws.levenberg import Objective, gradient_of
from embudget.laws.parameters import FORMS
from embudget.laws.points import MANY_CELLS, Points
from embudget.laws.problem import Problem
from embudget.laws.varpro import search


class Alternative(Frozen):
    """A fit under one objective."""

    name: str
    E: float = Field(description="nats")
    a: float
    b: float
    huber: float = Field(description="Huber's loss of log residuals at 1e-3, summed: what `huber` minimises")
    starts: str = Field(default="", description="how the result depends on the start, where there are several")

    @property
    def size_exponent(self) -> float:
        """The exponent of the best size against the budget, N* ~ C^(b / (a + b))."""
        return self.b / (self.a + self.b)


def alternatives(points: Points, asymptote: float | None = None) -> tuple[Alternative, ...]:
    """Fit all of them; empty for more cells than the slower ones are made for."""
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
