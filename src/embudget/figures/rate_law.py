"""How does the best learning rate move with size and data? Best rates against N and D, with the law of the rate.

The law (`embudget.laws.rates`) is one of N and D together, so that each panel holds one of them at the centre of the
cells. A measured best rate is moved there along the law's slope:

    rate at D0 = measured best rate * (D0 / D)^q          against N, likewise with N0 and p against D

What a point then misses the line by is what the law misses its cell by.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import exp

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import norm

from embudget.choices import methods_in_order
from embudget.errors import FigureError
from embudget.figures.labels import direct_handle
from embudget.figures.look import SIZE, band, legend_over_panels, log_axis, new_panels, printed
from embudget.figures.ticks import tick_text
from embudget.laws import Laws
from embudget.laws.rate_points import end_of
from embudget.laws.rates import FEWEST, RateLaw
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES, Stroke, strokes
from embudget.runs import Cell

CAPTION = (
    "The best learning rate against size at the left and against tokens at the right, a row for each kind of method. "
    "Points are cells with two rates or more, moved along the law to the tokens or the size that the axis names. "
    "Lines are the law of the best rate, a shade for each method, and six methods of a kind at most. A band holds the "
    "best rate of a cell with 90 %, and is drawn for the method with the most cells. The best rate of an open point is "
    "the first or the last that was tried, and its arrow points to where a better one may lie."
)
METHODS = 6
"""Most methods of a kind; of more, those with the most cells."""
ARROW = 9.0
"""Length of an arrow at a bound, points of 1/72 inch."""
ROOM = 1.4
"""Factor by which the axis goes on beyond a bound, so that its arrow stays in the frame."""
POINTS = 40


@printed
def draw_rate_law(laws: Laws, *, level: float = 0.9, lineage: str | None = None) -> Figure:
    """Draw the best rates and their law against N and against D, a row for each kind of method.

    Args:
        laws: of a study.
        level: probability with which the best rate of a cell lies in the band.
        lineage: of the models, where there are several.

    Raises:
        FigureError: the study has no law of the best rate.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_rate_law(embudget.find_laws("smollm2")).savefig("rate-law.pdf")
    """
    mine = laws.of(lineage)
    law = mine.rate_law
    if law is None:
        inside = sum(bool(cell.rate_inside) for cell in mine.cells)
        raise FigureError(
            f"the law of the best rate needs {FEWEST} cells with a minimum between three rates, and there are {inside}"
        )
    by_kind = _methods_by_kind(law, mine.cells)
    looks = strokes(method for methods in by_kind.values() for method in methods)
    figure, panels = new_panels(2 * len(by_kind), across=2, height=1.7)
    rows = zip(panels[::2], panels[1::2], strict=True)
    for (kind, methods), (left, right) in zip(by_kind.items(), rows, strict=True):
        _draw_row((left, right), law, methods, _rated(mine.cells, methods), looks, level)
        left.set_title(kind, pad=3, loc="left")
    size, tokens = (exp(value) for value in law.centre)
    panels[-2].set_xlabel(SIZE)
    panels[-1].set_xlabel("D, tokens")
    for left, right in zip(panels[::2], panels[1::2], strict=True):
        left.set_ylabel(f"best rate at D = {tick_text(tokens)}")
        right.set_ylabel(f"best rate at N = {tick_text(size)}")
    keys: dict[str, Line2D] = {
        method: direct_handle(look.color, look.marker, look.dash) for method, look in looks.items()
    }
    if any(end_of(cell) for cell in _rated(mine.cells, looks)):
        keys["best at an end"] = direct_handle(GREY, "o", "none", markerfacecolor="white")
    legend_over_panels(figure, keys)
    return figure


def _rated(cells: Sequence[Cell], methods: Sequence[str] | dict[str, Stroke]) -> list[Cell]:
    """The cells of some methods that tell their law a rate or a bound of it."""
    return [c for c in cells if c.method in methods and c.lowest_rate is not None and c.learning_rate is not None]


def _methods_by_kind(law: RateLaw, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """The methods to draw by kind, both in the paper's order; those with the most cells where there are many."""
    counts = {method: len(_rated(cells, [method])) for method in law.methods}
    found: dict[str, list[str]] = defaultdict(list)
    for method in sorted(counts, key=lambda name: -counts[name]):
        if len(found[kind_of(method)]) < METHODS:
            found[kind_of(method)].append(method)
    return {kind: methods_in_order(found[kind]) for kind in KIND_STROKES if kind in found}


def _draw_row(
    panels: tuple[Axes, Axes], law: RateLaw, methods: Sequence[str], cells: Sequence[Cell], looks: dict[str, Stroke],
    level: float,
) -> None:  # fmt: skip
    """One kind: lines, one band and points against N and against D, with the same rates at both."""
    centre = [exp(value) for value in law.centre]
    most = max(methods, key=lambda method: len(_rated(cells, [method])))
    drawn: list[float] = []
    for side, axes in enumerate(panels):
        for method in methods:
            mine, look = _rated(cells, [method]), looks[method]
            if not mine:
                continue
            values = [(cell.model_params, cell.tokens)[side] for cell in mine]
            span, banded = (min(values), max(values)), method == most
            drawn += _draw_law(axes, law, method, side, span, look, level if banded else 0.0)
            for cell, value in zip(mine, values, strict=True):
                other = (cell.tokens, cell.model_params)[side]
                slope = law.slopes(method)[1 - side]
                moved = (cell.learning_rate or 0.0) * (centre[1 - side] / other) ** slope
                _draw_point(axes, value, moved, end_of(cell), look)
                drawn.append(moved * ROOM ** end_of(cell))
        log_axis(axes, "x", {(cell.model_params, cell.tokens)[side] for cell in cells}, "")
    for axes in panels:
        log_axis(axes, "y", drawn, "")


def _draw_law(
    axes: Axes, law: RateLaw, method: str, side: int, span: tuple[float, float], look: Stroke, level: float
) -> list[float]:
    """The law of a method between the measured sizes or tokens, and its band unless the level is 0; its rates."""
    grid, other = np.geomspace(*span, POINTS), np.full(POINTS, exp(law.centre[1 - side]))
    at = (grid, other) if side == 0 else (other, grid)
    rates = np.array([law.predict(method, size, tokens) for size, tokens in zip(*at, strict=True)])
    axes.plot(grid, rates, color=look.color, linestyle=look.dash, zorder=2.5)
    if not level:
        return [float(rate) for rate in rates]
    off = np.exp(norm.ppf((1 + level) / 2) * law.error(method, *at))
    band(axes, grid, rates / off, rates * off, look.color)
    return [float(rate) for rate in (*(rates / off), *(rates * off))]


def _draw_point(axes: Axes, x: float, rate: float, end: int, look: Stroke) -> None:
    """A best rate; one at an end of those tried is open, with an arrow to where a better one may lie."""
    axes.plot(x, rate, look.marker, color=look.color, markerfacecolor="white" if end else look.color, zorder=3)
    if end:
        axes.annotate(
            "", (x, rate), (0, end * ARROW), textcoords="offset points", annotation_clip=False, zorder=2.9,
            arrowprops={"arrowstyle": "<-", "linewidth": 0.7, "color": look.color, "shrinkA": 0, "shrinkB": 2},
        )  # fmt: skip
