"""The frontier: the best loss at each budget, and the power law that it follows, with and without an asymptote.

    L = K C^-g          a straight line in log-log (`PowerLine`), as the paper draws a method's best loss over compute
    L = E + K C^-g      the same with a floor, for budgets far enough apart to see the line bend

Both are fitted to the best measured loss of each budget, and need few of them. The minimum of several noisy losses lies
a little below the best true loss, the more so the more sizes were run. That is good enough for the figure, while
recipes come from L(N, D).
"""

from collections.abc import Iterable, Sequence
from math import exp, log, sqrt

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.optimize import minimize_scalar

from embudget.errors import FitError, TooFewRunsError
from embudget.frozen import Frozen
from embudget.runs.cells import Cell

MIN_BUDGETS = 4
"""Budgets that a law with an asymptote needs: its three parameters, and one point that they do not merely connect."""


class PowerLine(Frozen):
    """A power law of one variable, y = K x^slope, fitted by ordinary least squares of log y on log x."""

    level_at_centre: float = Field(description="log y at the centre")
    slope: float
    centre: float = Field(description="mean of log x")
    spread: PositiveFloat = Field(description="sum of squares of log x about the centre")
    residual_sd: float | None = Field(description="of log y about the line; None with only two points")
    points: PositiveInt

    def __call__(self, x: float) -> float:
        """The value on the line."""
        return exp(self.level_at_centre + self.slope * (log(x) - self.centre))


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
    lineage: str | None = Field(default=None, description="family and kind of start; None where nobody says it")


class BentLine(Frozen):
    """L = E + K C^-g, a power law with a floor."""

    asymptote: NonNegativeFloat = Field(description="E, nats")
    line: PowerLine = Field(description="the power law of the loss above E")
    residual_sd: NonNegativeFloat = Field(description="of log L about the law, on points - 3 degrees of freedom")


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
    return Frontier(points=points, line=fit_line(budgets, losses), bent=fit_bent_line(budgets, losses))


def fit_line(x: Sequence[float], y: Sequence[float]) -> PowerLine:
    """Fit log y to log x; refuse values that are not positive, and fewer than 2 different x."""
    if min((*x, *y), default=1.0) <= 0:
        raise FitError(f"a power law needs positive values, got {min((*x, *y)):g}")
    if len(set(x)) < 2:
        raise TooFewRunsError(f"a power law needs at least 2 different points, got {len(set(x))}")
    points = len(x)
    log_x, log_y = [log(value) for value in x], [log(value) for value in y]
    centre, level = sum(log_x) / points, sum(log_y) / points
    spread = sum((value - centre) ** 2 for value in log_x)
    slope = sum((a - centre) * (b - level) for a, b in zip(log_x, log_y, strict=True)) / spread
    squares = sum((b - level - slope * (a - centre)) ** 2 for a, b in zip(log_x, log_y, strict=True))
    return PowerLine(
        level_at_centre=level,
        slope=slope,
        centre=centre,
        spread=spread,
        residual_sd=sqrt(squares / (points - 2)) if points > 2 else None,
        points=points,
    )


def fit_bent_line(budgets: Sequence[float], losses: Sequence[float]) -> BentLine | None:
    """Fit E + K C^-g by least squares of log losses: E is searched, and the line is solved for each E.

    None with fewer than MIN_BUDGETS different budgets, and where all losses are equal.
    """
    if len(set(budgets)) < MIN_BUDGETS or min(losses) == max(losses):
        return None

    def line_above(asymptote: float) -> PowerLine:
        return fit_line(budgets, [loss - asymptote for loss in losses])

    def squares(share: float) -> float:
        asymptote = share * min(losses)
        line = line_above(asymptote)
        pairs = zip(budgets, losses, strict=True)
        return sum((log(loss) - log(asymptote + line(budget))) ** 2 for budget, loss in pairs)

    found = float(minimize_scalar(squares, bounds=(0.0, 0.999), method="bounded", options={"xatol": 1e-6}).x)
    share = min((0.0, found), key=squares)
    asymptote, residual_sd = share * min(losses), (squares(share) / (len(losses) - 3)) ** 0.5
    return BentLine(asymptote=asymptote, line=line_above(asymptote), residual_sd=residual_sd)


def frontier_points(cells: Iterable[Cell]) -> tuple[FrontierPoint, ...]:
    """The best cell of each budget, budgets rising."""
    best: dict[float, Cell] = {}
    for cell in cells:
        best[cell.budget] = min(best.get(cell.budget, cell), cell, key=lambda cell: cell.loss)
    return tuple(
        FrontierPoint(budget=budget, model=cell.model, method=cell.method, loss=cell.loss)
        for budget, cell in sorted(best.items())
    )
