"""A power law of one variable, y = K x^slope: a straight line in log-log, by ordinary least squares.

With n points, s the residual standard deviation on n - 2 degrees of freedom and c the mean of log x, a new log y at x
lies with probability `level` within

    t(n - 2) s sqrt(1 + 1/n + (log x - c)^2 / sum((log x_i - c)^2))

of the line: the classical prediction interval (Draper and Smith, Applied Regression Analysis, section 1.4). It is exact
for normal noise however few the points, which is why no bootstrap is used here; two points determine a line but no
interval.
"""

from collections.abc import Sequence
from math import exp, log, sqrt

from pydantic import Field, PositiveFloat, PositiveInt
from scipy.stats import t as student

from embudget.errors import FitError, TooFewRunsError
from embudget.frozen import Frozen


class PowerLine(Frozen):
    """A fitted power law of one variable."""

    level_at_centre: float = Field(description="log y at the centre")
    slope: float
    centre: float = Field(description="mean of log x")
    spread: PositiveFloat = Field(description="sum of squares of log x about the centre")
    residual_sd: float | None = Field(description="of log y about the line; None with only two points")
    points: PositiveInt

    def __call__(self, x: float) -> float:
        """The value on the line."""
        return exp(self.level_at_centre + self.slope * (log(x) - self.centre))

    def interval(self, x: float, level: float = 0.9) -> tuple[float, float]:
        """Where a new measurement at ``x`` is expected with probability ``level``.

        Raises:
            TooFewRunsError: the line has two points.
        """
        if self.residual_sd is None:
            raise TooFewRunsError(f"an interval of a power law needs at least 3 points, got {self.points}")
        leverage = 1 + 1 / self.points + (log(x) - self.centre) ** 2 / self.spread
        quantile = float(student.ppf((1 + level) / 2, self.points - 2))
        factor = exp(min(quantile * self.residual_sd * sqrt(leverage), 700.0))
        return self(x) / factor, self(x) * factor


def fit_line(x: Sequence[float], y: Sequence[float]) -> PowerLine:
    """Fit log y to log x.

    Raises:
        TooFewRunsError: fewer than 2 different x.
        FitError: a value is not positive.
    """
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
