"""The frontier: the best loss at each budget, and the power law that it follows, with and without an asymptote.

    L = K C^-g          a straight line in log-log: how the paper draws a method's best loss against compute
    L = E + K C^-g      the same with a floor, for budgets far enough apart to see the line bend

Both are fitted to the best measured loss of each budget, and need few of them. The minimum of several noisy losses lies
a little below the best true loss, the more so the more sizes were run. That is good enough for the figure, while
recipes come from L(N, D).
"""

from collections.abc import Iterable, Sequence
from math import log

from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.optimize import minimize_scalar

from embudget.errors import TooFewRunsError
from embudget.frozen import Frozen
from embudget.laws.line import PowerLine, fit_line
from embudget.runs.cells import Cell

MIN_BUDGETS = 4
"""Budgets that a law with an asymptote needs: its three parameters, and one point that they do not merely connect."""


class FrontierPoint(Frozen):
    """The best cell of one budget."""

    budget: float
    model: str
    method: str
    loss: float


class FrontierRow(Frozen):
    """The best choice at one budget, measured or predicted."""

    budget: float = Field(description="FLOP")
    method: str
    model: str
    measured_loss: float | None = Field(description="nats; None where the budget was not measured")
    predicted_loss: float = Field(description="nats")
    interval: tuple[float, float] = Field(description="where the measured loss of a new run is expected")
    extrapolation: float = Field(ge=1, description="budget / the nearest one measured of the method; 1 inside")


class BentLine(Frozen):
    """L = E + K C^-g, a power law with a floor."""

    asymptote: NonNegativeFloat = Field(description="E, nats")
    line: PowerLine = Field(description="the power law of the loss above E")
    residual_sd: NonNegativeFloat = Field(description="of log L about the law, on points - 3 degrees of freedom")

    def __call__(self, budget: float) -> PositiveFloat:
        """The loss at a budget in FLOP, nats."""
        return self.asymptote + self.line(budget)


class Frontier(Frozen):
    """The best loss of one method, or over all methods, against the budget."""

    points: tuple[FrontierPoint, ...]
    line: PowerLine = Field(description="with E = 0")
    bent: BentLine | None = Field(default=None, description="with E fitted; None with fewer than 4 budgets")


def fit_frontier(cells: Iterable[Cell]) -> Frontier:
    """Take the best cell of each budget and fit the power laws.

    Raises:
        TooFewRunsError: fewer than 2 budgets.
    """
    points = frontier_points(cells)
    budgets, losses = [p.budget for p in points], [p.loss for p in points]
    enough = len(set(budgets)) >= MIN_BUDGETS and min(losses) < max(losses)
    return Frontier(
        points=points, line=fit_line(budgets, losses), bent=fit_bent_line(budgets, losses) if enough else None
    )


def fit_bent_line(budgets: Sequence[float], losses: Sequence[float]) -> BentLine:
    """Fit E + K C^-g by least squares of log losses: E is searched, and the line is solved for each E.

    Raises:
        TooFewRunsError: fewer than 4 different budgets.
        FitError: a value is not positive.
    """
    if len(set(budgets)) < MIN_BUDGETS:
        raise TooFewRunsError(
            f"a frontier with an asymptote needs at least {MIN_BUDGETS} budgets, got {len(set(budgets))}"
        )

    def line_above(asymptote: float) -> PowerLine:
        return fit_line(budgets, [loss - asymptote for loss in losses])

    def squares(share: float) -> float:
        asymptote = share * min(losses)
        line = line_above(asymptote)
        pairs = zip(budgets, losses, strict=True)
        return sum((log(loss) - log(asymptote + line(budget))) ** 2 for budget, loss in pairs)

    found = float(minimize_scalar(squares, bounds=(0.0, 0.999), method="bounded", options={"xatol": 1e-6}).x)
    share = min((0.0, found), key=squares)
    freedom = len(losses) - 3
    return BentLine(
        asymptote=share * min(losses),
        line=line_above(share * min(losses)),
        residual_sd=(squares(share) / freedom) ** 0.5,
    )


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
