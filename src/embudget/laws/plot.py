"""What do the laws look like beside the runs? Loss against budget by method, as matplotlib draws it: `Laws.plot`.

A method's curve is the lowest loss predicted for any of its measured models, so that it is what `Laws.frontier` answers
where nothing was measured. It is for a look in a notebook: `embudget.figures` has those for print, of which `frontier`
shows a line for each kind of method, and the page of `embudget.report` those to explore. All use `embudget.palette`.
"""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from embudget.choices import Candidate, Choices, measured_candidates, methods_in_order
from embudget.errors import ConfigError
from embudget.laws.forms import Array
from embudget.laws.frontier import frontier_points
from embudget.laws.on_pairs import OnPairs
from embudget.laws.surface import Surface
from embudget.methods import kind_of
from embudget.palette import Stroke, strokes
from embudget.runs.cells import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 80
"""Budgets of a curve."""
FURTHER = 4.0
"""Times the largest measured budget that the curves reach by default."""


def draw_laws(
    law: Surface | OnPairs,
    surface: Surface,
    cells: Sequence[Cell],
    methods: Sequence[str],
    up_to: float | None,
    level: float,
    axes: "Axes | None",
) -> "Axes":
    """Draw the cells and the curves of some methods on axes, by default on those of a new figure.

    ``law`` predicts, on the study's own pairs where they are known; ``surface`` is what it rests on.
    """
    if not methods:
        raise ConfigError(f"methods must name at least one method, one of {surface.methods}")
    axes = _new_axes() if axes is None else axes
    last = FURTHER * max(cell.budget for cell in cells) if up_to is None else up_to
    looks = strokes(methods)
    for method in methods:
        mine = [cell for cell in cells if cell.method == method]
        candidates = [one._replace(budgets=(0.0, inf)) for one in measured_candidates(mine, surface.step)]
        low, high = min(cell.budget for cell in mine), max(cell.budget for cell in mine)
        budgets = np.unique([*np.geomspace(low, max(last, high), POINTS), high])
        curve = _curve(law, candidates, budgets, level)
        _draw_method(axes, mine, budgets, curve, looks[method])
    _finish(axes, level)
    return axes


def best_of_kinds(cells: Sequence[Cell]) -> list[str]:
    """The method of each kind with the lowest loss at the kind's largest budget."""
    best: dict[str, Cell] = {}
    for cell in cells:
        kind = kind_of(cell.method)
        best[kind] = min(best.get(kind, cell), cell, key=lambda one: (-one.budget, one.loss))
    return methods_in_order(cell.method for cell in best.values())


def _new_axes() -> "Axes":
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError:
        raise ConfigError("a plot needs the package matplotlib: pip install 'embudget[plot]'") from None
    return pyplot.subplots(layout="constrained")[1]


def _curve(law: Surface | OnPairs, candidates: Sequence[Candidate], budgets: Array, level: float) -> tuple[Array, ...]:
    """The lowest predicted loss at each of the budgets, and the ends of a new run's interval there, (b,) each."""
    choices = Choices.of(law, candidates, budgets)
    best, places = choices.best(), np.arange(len(budgets))
    at = [str(candidates[row].method) for row in best], choices.sizes[best], choices.tokens[best, places]
    return choices.predicted[best, places], *law.intervals(*at, level)


def _draw_method(axes: "Axes", cells: Sequence[Cell], budgets: Array, curve: tuple[Array, ...], stroke: Stroke) -> None:
    """The cells, the best of each budget large, and the curve in its band, dashed beyond the measured budgets."""
    losses, low, high = curve
    last = max(cell.budget for cell in cells)
    inside, beyond = budgets <= last, budgets >= last
    look: dict[str, Any] = {"color": stroke.color}
    axes.plot(budgets[inside], losses[inside], label=cells[0].method, **look)
    axes.plot(budgets[beyond], losses[beyond], linestyle="--", **look)
    axes.fill_between(budgets, low, high, alpha=0.12, linewidth=0, **look)
    look["marker"] = stroke.marker
    axes.scatter([cell.budget for cell in cells], [cell.loss for cell in cells], s=8, alpha=0.35, linewidth=0, **look)
    best = frontier_points(cells)
    axes.scatter([point.budget for point in best], [point.loss for point in best], s=28, zorder=3, **look)


def _finish(axes: "Axes", level: float) -> None:
    """Logarithmic axes with plain numbers, their names and units, and a legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

    axes.set(xscale="log", yscale="log", xlabel="budget, training FLOP", ylabel="held-out loss, nats")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    lines, names = axes.get_legend_handles_labels()
    keys = {
        "beyond what was measured": Line2D([], [], color="grey", linestyle="--"),
        f"{100 * level:g} % of new runs": Patch(color="grey", alpha=0.25, linewidth=0),
    }
    axes.legend([*lines, *keys.values()], [*names, *keys], frameon=False)
