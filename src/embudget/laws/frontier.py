"""The frontier: the best measured loss at each budget, as a power law L = K C^-g.

A straight line in log-log, without an asymptote, is how the paper draws a method's best loss against compute; it
describes the measured budgets well and needs few of them. The minimum of several noisy losses lies a little below the
best true loss, the more so the more sizes were run: good for the figure, while recipes come from L(N, D).
"""

from collections.abc import Iterable

from embudget.frozen import Frozen
from embudget.laws.line import PowerLine, fit_line
from embudget.laws.table import Cell


class FrontierPoint(Frozen):
    """The best cell of one budget."""

    budget: float
    model: str
    method: str
    loss: float


class Frontier(Frozen):
    """The best loss of one method, or over all methods, against the budget."""

    points: tuple[FrontierPoint, ...]
    line: PowerLine


def fit_frontier(cells: Iterable[Cell]) -> Frontier:
    """Take the best cell of each budget and fit the power law.

    Raises:
        TooFewRunsError: fewer than 2 budgets.
    """
    points = frontier_points(cells)
    return Frontier(points=points, line=fit_line([p.budget for p in points], [p.loss for p in points]))


def frontier_points(cells: Iterable[Cell]) -> tuple[FrontierPoint, ...]:
    """The best cell of each budget, budgets rising."""
    best: dict[float, Cell] = {}
    for cell in cells:
        budget = cell.budget
        if budget not in best or cell.loss < best[budget].loss:
            best[budget] = cell
    return tuple(
        FrontierPoint(budget=budget, model=cell.model, method=cell.method, loss=cell.loss)
        for budget, cell in sorted(best.items())
    )
