"""How much does the learning rate matter, and where is it best? The loss of each cell by its rates, a panel a method.

Each curve is the envelope of a cell (`embudget.runs.envelope`): its runs that differ in nothing but learning rate and
seed, with the mean log loss of the seeds, and the parabola whose vertex is the cell's loss. Of a cell with several
envelopes, at several batch sizes say, the one with the lowest loss is drawn.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from embudget.choices import evenly, methods_in_order
from embudget.errors import FigureError
from embudget.figures.by_budget import NAMED, budget_shades
from embudget.figures.cells import StudyPart, part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import legend_over_panels, log_axis, new_panels, printed
from embudget.figures.ticks import tick_text
from embudget.laws import Laws
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES, ink, shade
from embudget.records import RunConfig, RunRecord
from embudget.runs import RunTable
from embudget.runs.envelope import Vertex, fit_rate_curve

CAPTION = (
    "Loss of each cell against the learning rate, relative to the lowest, a panel for each method with three rates or "
    "more. A darker shade is a larger budget; each size has a curve of its own. A solid line is the parabola through "
    "the best rate and those beside it, with + at its lowest point. Dots join the rates where a side is too steep for "
    "one, or it has no lowest point between them. "
    "The best rate of an open point is the first or the last that was tried, so that a better one may lie beyond. "
    "A cross at the top is a run that diverged or gained nothing, and a caret a loss above the frame."
)
FEWEST = 3
"""Rates that an envelope needs."""
PANELS = 12
"""Most methods that get a panel; of more, those with the most envelopes."""
TOP = 25.0
"""Excess in % that a panel shows at most."""
CARET = "$\\wedge$"
"""Marker of a loss above the frame."""
PARABOLA = (60, 0.5)
"""Points of a parabola, and how far it goes on at either side of its rates, in natural logarithms."""


class RateCurve(NamedTuple):
    """The runs of one cell that differ in nothing but learning rate and seed."""

    config: RunConfig
    """of one of them"""
    excess: dict[float, float]
    """Rate -> mean loss of its seeds above the lowest of the curve, %, rates rising."""
    vertex: Vertex
    lost: tuple[float, ...]
    """Rates of runs that diverged or gained nothing."""


@printed
def draw_rates(source: Laws | RunTable, records: Sequence[RunRecord], *, lineage: str | None = None) -> Figure:
    """Draw the loss of each cell against the learning rate, relative to its lowest, a panel for each method.

    Args:
        source: laws or table of the study.
        records: its runs.
        lineage: of the models, where there are several.

    Raises:
        FigureError: no cell was run at three rates.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> records = Store("study.db").records()
        >>> draw_rates(RunTable.of(records), records).savefig("rates.pdf")
    """
    part = part_of(source, lineage)
    by_method: dict[str, list[RateCurve]] = defaultdict(list)
    for curve in rate_curves_of(part, records):
        by_method[curve.config.method].append(curve)
    if not by_method:
        raise FigureError(f"curves over the learning rate need a cell with {FEWEST} rates, and the study has none")
    most = sorted(by_method, key=lambda method: -len(by_method[method]))[:PANELS]
    methods = methods_in_order(most)
    figure, panels = new_panels(len(methods), sharex=True, sharey=True, height=1.5)
    shown = [curve for method in methods for curve in by_method[method]]
    top = min(TOP, max(1.0, 1.15 * max(value for curve in shown for value in curve.excess.values())))
    budgets = list(part.table.budgets)
    for axes, method in zip(panels, methods, strict=True):
        shades = budget_shades(kind_of(method), budgets)
        for curve in sorted(by_method[method], key=lambda one: one.config.train_flops):
            _draw_curve(axes, curve, shades[curve.config.train_flops], top)
        axes.set_title(method, pad=3)
        log_axis(axes, "x", {rate for curve in shown for rate in (*curve.excess, *curve.lost)}, "")
    panels[0].set_ylim(-0.06 * top, top)
    panels[0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    _name_axes(panels)
    if len(methods) < len(by_method):
        figure.text(1.0, 0.0, f"{len(methods)} of {len(by_method)} methods", ha="right", va="bottom", fontsize=6)
    legend_over_panels(figure, _keys(shown, budgets, top))
    return figure


def rate_curves_of(part: StudyPart, records: Sequence[RunRecord]) -> list[RateCurve]:
    """The best envelope of each cell that has one."""
    cells = {(cell.model, cell.method, cell.budget) for cell in part.cells}
    groups: dict[RunConfig, list[RunRecord]] = defaultdict(list)
    for record in records:
        if _cell_of(record.config) in cells and record.status != "failed":
            groups[record.config.model_copy(update={"seed": 0, "learning_rate": 1.0})].append(record)
    best: dict[tuple[str, str, float], RateCurve] = {}
    lowest: dict[tuple[str, str, float], float] = {}
    for group in groups.values():
        curve, cell = _curve_of(group), _cell_of(group[0].config)
        if curve is not None and curve.vertex.log_loss < lowest.get(cell, np.inf):
            best[cell], lowest[cell] = curve, curve.vertex.log_loss
    return list(best.values())


def _cell_of(config: RunConfig) -> tuple[str, str, float]:
    return config.model, config.method, config.train_flops


def _curve_of(records: Sequence[RunRecord]) -> RateCurve | None:
    """The envelope of runs that differ in nothing but rate and seed; None with fewer than three rates."""
    losses: dict[float, list[float]] = defaultdict(list)
    lost = []
    for record in records:
        if record.status == "done" and record.loss:
            losses[record.config.learning_rate].append(log(record.loss))
        else:
            lost.append(record.config.learning_rate)
    if len(losses) < FEWEST:
        return None
    means = {rate: float(np.mean(losses[rate])) for rate in sorted(losses)}
    vertex = fit_rate_curve(list(means), list(means.values()))
    excess = {rate: 100 * (exp(mean - vertex.log_loss) - 1) for rate, mean in means.items()}
    return RateCurve(records[0].config, excess, vertex, tuple(sorted(lost)))


def _draw_curve(axes: Axes, curve: RateCurve, color: str, top: float) -> None:
    """The points of a cell, and its parabola with the vertex, or dots between them."""
    rates, excess, vertex = list(curve.excess), list(curve.excess.values()), curve.vertex
    marker = KIND_STROKES[kind_of(curve.config.method)].marker
    if vertex.inside and vertex.curvature is not None:
        count, more = PARABOLA
        grid = np.geomspace(rates[0] * exp(-more), rates[-1] * exp(more), count)
        axes.plot(grid, 100 * np.expm1(vertex.curvature * np.log(grid / vertex.learning_rate) ** 2), color=color,
                  linewidth=0.8, zorder=2.2)  # fmt: skip
    else:
        axes.plot(rates, excess, color=color, linestyle=(0, (1, 1.6)), linewidth=0.8, zorder=2)
    if vertex.inside:
        axes.plot(vertex.learning_rate, 0.0, "+", color=ink(color), markersize=5, zorder=3.2)
    for rate, value in zip(rates, excess, strict=True):
        if value > top:
            axes.plot(rate, 0.97 * top, marker=CARET, color=color, markersize=4, zorder=3.3)
            continue
        is_end = not vertex.inside and value == min(excess)
        axes.plot(rate, value, marker, color=color, markersize=2.8, markerfacecolor="white" if is_end else color,
                  zorder=3.1 if is_end else 3)  # fmt: skip
    axes.plot(curve.lost, [0.93 * top] * len(curve.lost), "x", color=color, markersize=3, label="_lost", zorder=3)


def _name_axes(panels: Sequence[Axes]) -> None:
    """Name the axes at the left and at the bottom alone, and keep the ticks of x where nothing stands below."""
    grid = panels[0].get_subplotspec()
    assert grid is not None
    columns = grid.get_gridspec().ncols
    for place, axes in enumerate(panels):
        axes.set_ylabel("above the lowest, %" if place % columns == 0 else "")
        if place + columns >= len(panels):
            axes.set_xlabel("learning rate")
            axes.tick_params(axis="x", labelbottom=True)


def _keys(curves: Sequence[RateCurve], budgets: Sequence[float], top: float) -> dict[str, Line2D]:
    """The legend: shades of budgets, in grey since each kind has its own colour, and the marks that occur."""
    places = dict(zip(budgets, np.linspace(0.0, 1.0, len(budgets)) if len(budgets) > 1 else [0.5], strict=True))
    drawn = {curve.config.train_flops for curve in curves}
    keys = {
        f"{tick_text(budget)} FLOP": direct_handle(shade(GREY, float(places[budget])))
        for budget in evenly(drawn, NAMED)
    }
    if any(curve.vertex.inside for curve in curves):
        keys["lowest point"] = direct_handle(GREY, "+", "none", markersize=5)
    if any(not curve.vertex.inside for curve in curves):
        keys["best at an end"] = direct_handle(GREY, "o", "none", markerfacecolor="white", markersize=2.8)
    if any(curve.lost for curve in curves):
        keys["diverged or gained nothing"] = direct_handle(GREY, "x", "none", markersize=3)
    if any(value > top for curve in curves for value in curve.excess.values()):
        keys["above the frame"] = direct_handle(GREY, CARET, "none", markersize=4)
    return keys
