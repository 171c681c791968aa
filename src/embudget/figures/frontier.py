"""Which kind of method is best at which budget? The best loss of each kind against budget; the paper's figure 1.

Points are measured: the best cell of each kind over its sizes and its fractions or ranks. Lines are the laws': the
lowest loss predicted among the measured sizes. No line goes through the points themselves, because a point whose best
size is at the end of those measured is only a bound, and is drawn open.
"""

from math import inf, log
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from embudget.choices import Choices, budgets_between, crossovers_of, measured_candidates
from embudget.figures.cells import (
    StudyPart,
    best_by_size,
    cells_of_kind,
    is_at_end,
    lowest_by_budget,
    number_of,
    part_of,
)
from embudget.figures.labels import PointLabel, direct_handle, place_labels
from embudget.figures.look import HEIGHT, band, budget_axis, legend_above, loss_axis, new_axes, printed
from embudget.laws import Laws
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES, ink
from embudget.runs import Cell, RunTable

CAPTION = (
    "The best loss of each kind of method at each budget. Points are measured; member and number stand at the "
    "best of all. The best size of an open point is the smallest or the largest measured at its budget, so that a "
    "better one may be missing. Lines are the laws', the lowest loss predicted among the measured sizes. A band holds "
    "the expected loss with 90 %. The wide grey line is the frontier. At a dashed upright line the best kind changes, "
    "its 90 % interval shaded. Where there is none, no change is known."
)
POINTS = 60
"""Budgets of a line."""
FRONTIER = "#d0d0d0"
"""Colour of the wide line under the lowest of the lines."""

Array = NDArray[np.float64]


class _Curve(NamedTuple):
    """The lowest predicted loss of a kind, and the ends of its interval, at rising budgets (b,)."""

    budgets: Array
    losses: Array
    low: Array
    high: Array


@printed
def draw_frontier(
    source: Laws | RunTable, axes: Axes | None = None, *, level: float = 0.9, lineage: str | None = None
) -> Axes:
    """Draw the best loss of each kind of method against budget, its law with a band, the frontier and the crossovers.

    Args:
        source: laws, or the table of a study that has too few runs for them: then the points alone.
        axes: by default those of a new figure, as wide as a paper's column.
        level: probability with which the expected loss lies in a band.
        lineage: of the models, where there are several.

    Raises:
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_frontier(embudget.find_laws("smollm2")).figure.savefig("frontier.pdf")
    """
    part = part_of(source, lineage)
    axes = new_axes(axes, height=HEIGHT + 0.3)
    curves = {} if part.laws is None else _curves(part, part.laws, level)
    _draw_lowest(axes, list(curves.values()))
    keys = {}
    for kind in part.kinds:
        stroke = KIND_STROKES[kind]
        if curve := curves.get(kind):
            axes.plot(curve.budgets, curve.losses, color=stroke.color, linestyle=stroke.dash, zorder=2.5)
            band(axes, curve.budgets, curve.low, curve.high, stroke.color)
        keys[kind] = direct_handle(stroke.color, stroke.marker, stroke.dash if kind in curves else "none")
    best = {kind: _best(part, kind) for kind in part.kinds}
    for kind, rows in best.items():
        for cell, is_open in rows:
            stroke = KIND_STROKES[kind]
            axes.plot(
                cell.budget, cell.loss, stroke.marker, color=stroke.color, zorder=3,
                markerfacecolor="white" if is_open else stroke.color,
            )  # fmt: skip
    every = [cell for rows in best.values() for cell, _ in rows]
    budget_axis(axes, part.table.budgets)
    loss_axis(axes, [cell.loss for cell in every])
    if any(is_open for rows in best.values() for _, is_open in rows):
        keys["best at an end"] = direct_handle(GREY, "o", "none", markerfacecolor="white")
    if curves:
        keys["frontier"] = direct_handle(FRONTIER, "", "-", linewidth=4)
    legend_above(axes, keys)
    labels = [_label(part, cell) for cell in lowest_by_budget(every)]
    if part.laws is not None and len(curves) > 1:
        labels = [*_draw_crossovers(axes, part, part.laws), *labels]
    place_labels(axes, labels)
    return axes


def _best(part: StudyPart, kind: str) -> list[tuple[Cell, bool]]:
    """The best cell of a kind at each budget, and whether its size is at the end of those measured there."""
    rows = best_by_size(cells_of_kind(part, kind))
    return [(min(row.values(), key=lambda cell: cell.loss), is_at_end(row, part.sizes)) for row in rows.values()]


def _label(part: StudyPart, cell: Cell) -> PointLabel:
    """Member and number of a cell: `2 blocks, 32`."""
    number = number_of(cell)
    text = part.name_of(cell.model) + ("" if number is None else f", {number:g}")
    return PointLabel(cell.budget, cell.loss, text, ink(KIND_STROKES[kind_of(cell.method)].color))


def _curves(part: StudyPart, laws: Laws, level: float) -> dict[str, _Curve]:
    """The line of each kind that has a law, over the kind's own measured budgets."""
    found = {}
    for kind in part.kinds:
        cells = [cell for cell in laws.cells if kind_of(cell.method) == kind]
        budgets = sorted({cell.budget for cell in cells})
        if len(budgets) < 2:
            continue
        grid = np.unique([*np.geomspace(budgets[0], budgets[-1], POINTS)])
        choices = _choices(laws, cells, grid)
        best, places = choices.best(), np.arange(len(grid))
        at = [str(choices.candidates[row].method) for row in best], choices.sizes[best], choices.tokens[best, places]
        found[kind] = _Curve(grid, choices.predicted[best, places], *laws.on_study.intervals(*at, level, "law"))
    return found


def _choices(laws: Laws, cells: list[Cell], budgets: Array) -> Choices:
    """The measured sizes and methods at budgets, each at all of them: the laws say what it would cost there."""
    candidates = [one._replace(budgets=(0.0, inf)) for one in measured_candidates(cells, laws.surface.step)]
    return Choices.of(laws.on_study, candidates, budgets)


def _draw_lowest(axes: Axes, curves: list[_Curve]) -> None:
    """A wide pale line under the lowest of the lines, at the budgets that all of them have."""
    if not curves:
        return
    low, high = max(curve.budgets[0] for curve in curves), min(curve.budgets[-1] for curve in curves)
    if low >= high:
        return
    grid = np.geomspace(low, high, 4 * POINTS)
    logs = [np.interp(np.log(grid), np.log(curve.budgets), np.log(curve.losses)) for curve in curves]
    axes.plot(grid, np.exp(np.min(logs, axis=0)), color=FRONTIER, linewidth=4, solid_capstyle="round", zorder=0.9)


def _draw_crossovers(axes: Axes, part: StudyPart, laws: Laws) -> list[PointLabel]:
    """A thin line at each budget where the best kind is known to change, its interval shaded; what is written there."""
    low, high = part.table.budgets[0], part.table.budgets[-1]
    choices = _choices(laws, list(laws.cells), budgets_between(low, high))
    labels = []
    bottom, top = axes.get_ylim()
    for one in crossovers_of(choices, (low, high)):
        if one.budget is None or one.interval is None or not low <= one.budget <= high:
            continue
        axes.axvline(one.budget, color=GREY, linewidth=0.7, linestyle=(0, (2, 2)), zorder=0.8)
        axes.axvspan(max(one.interval[0], low), min(one.interval[1], high), color=GREY, alpha=0.08, linewidth=0)
        height = float(np.exp(log(top) - 0.08 * log(top / bottom)))
        labels.append(PointLabel(one.budget, height, f"{one.from_method} → {one.to_method}", GREY))
    return labels
