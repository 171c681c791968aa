"""How should a larger budget be spent? Size, tokens and steps of the best choice against budget, a panel each.

Points are the best measured cells. The line is the laws': at each budget the lowest predicted loss over all methods and
over sizes between those measured,

    at a measured budget, or between two        n_1  to    n_2
    at f times the largest measured budget      n_1  to  f n_2

with n_1 and n_2 the smallest and the largest size of the method, whose FLOP per token follow a power law through the
measured ones. Steps are those of the recipe's batch sizes (`embudget.recipe.batch_size`). The band holds the best
choices of the draws, and so it shows how flat the optimum is: a wide one says that many sizes are about as good.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from embudget.choices import Candidate, Choices
from embudget.figures.cells import StudyPart, best_by_size, cells_of_kind, is_at_end, lowest_by_budget, part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import SIZE, band, budget_axis, legend_over_panels, log_axis, new_panels, printed
from embudget.laws import Laws
from embudget.laws.frontier import fit_line
from embudget.methods import kind_of, parse_method
from embudget.palette import GREY, KIND_STROKES
from embudget.recipe.batch_size import sourced_batch_rule
from embudget.runs import Cell, RunTable

CAPTION = (
    "Size, tokens and steps of the best choice at each budget. Points are the best measured cells, with the marker of "
    "their kind of method. The best size of an open point is the smallest or the largest measured at its budget. The "
    "line is the laws' best choice over all methods and the sizes between those measured, in the colour of its kind. "
    "The band holds the best choice of 90 % of the draws, and is wide where many choices are about as good. "
    "The line is pale and the ground grey where the budget is larger than any measured, up to four times; "
    "there sizes count that are larger than any measured, too."
)
BUDGETS, SIZES = 36, 72
"""Budgets of the line, and sizes at which each method is looked at."""
FURTHER = 4.0
"""Times the largest measured budget that the line reaches."""
BEYOND = "#f1f1f1"
"""Ground beyond the measured budgets."""

Array = NDArray[np.float64]


class _Line(NamedTuple):
    """The laws' best choice at rising budgets: its kind, and N, D and steps with the ends of their bands."""

    budgets: Array
    kinds: list[str]
    curves: dict[str, tuple[Array, Array, Array]]
    """Name of a panel -> value, low and high (b,) each; without steps where nobody says what a pair has of tokens."""


@printed
def draw_optimum(source: Laws | RunTable, *, level: float = 0.9, lineage: str | None = None) -> Figure:
    """Draw size, tokens and steps of the best choice against budget, a panel each; no steps where no run says them.

    Args:
        source: laws, or the table of a study that has too few runs for them: then the points alone.
        level: share of the draws whose best choice lies in the band.
        lineage: of the models, where there are several.

    Raises:
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_optimum(embudget.find_laws("smollm2")).savefig("optimum.pdf")
    """
    part = part_of(source, lineage)
    best = lowest_by_budget(part.cells)
    names = {"size": SIZE, "tokens": "D, tokens", "steps": "optimiser steps"}
    if any(cell.steps is None for cell in best):
        del names["steps"]
    figure, panels = new_panels(len(names), height=2.0)
    line = None if part.laws is None else _line_of(part.laws, level)
    is_open = {cell.budget: _is_open(part, cell) for cell in best}
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        values = _draw_line(axes, line, name, part.table.budgets[-1]) if line else []
        for cell in best:
            stroke, value = KIND_STROKES[kind_of(cell.method)], _measured(cell, name)
            face = "white" if is_open[cell.budget] else stroke.color
            axes.plot(cell.budget, value, stroke.marker, color=stroke.color, markerfacecolor=face, zorder=3)
            values.append(value)
        budget_axis(axes, [*part.table.budgets, *([line.budgets[-1]] if line else [])])
        log_axis(axes, "y", part.sizes if name == "size" and max(values) <= part.sizes[-1] else values, label)
    legend_over_panels(figure, _keys(best, line, any(is_open.values()), level))
    return figure


def _measured(cell: Cell, name: str) -> float:
    return float({"size": cell.model_params, "tokens": cell.tokens, "steps": cell.steps or np.nan}[name])


def _is_open(part: StudyPart, cell: Cell) -> bool:
    """Whether the best cell of a budget has a size at the end of those measured there by its kind."""
    return is_at_end(best_by_size(cells_of_kind(part, kind_of(cell.method)))[cell.budget], part.sizes)


def _line_of(laws: Laws, level: float) -> _Line | None:
    """The best choice by the laws; None where they saw one budget or no method on two sizes."""
    measured = laws.table.budgets
    budgets = np.geomspace(measured[0], FURTHER * measured[-1], BUDGETS)
    candidates = list(_candidates(laws, budgets))
    if len(measured) < 2 or not candidates:
        return None
    choices = Choices.of(laws.on_study, candidates, budgets)
    best, places = choices.best(), np.arange(len(budgets))
    drawn = choices.log_losses.argmin(axis=1)
    tails = (1 - level) / 2, (1 + level) / 2
    found = {}
    for name, values in (("size", np.repeat(choices.sizes[:, None], len(budgets), axis=1)), ("tokens", choices.tokens)):
        low, high = np.quantile(values[drawn, places], tails, axis=0, method="nearest")
        found[name] = values[best, places], low, high
    if laws.table.tokens_per_pair is not None:
        rule = sourced_batch_rule(laws.cells)
        step = laws.table.tokens_per_pair * np.array([rule(budget).size for budget in budgets.tolist()])
        tokens, low, high = found["tokens"]
        found["steps"] = tokens / step, low / step, high / step
    return _Line(budgets, [candidates[row].kind for row in best], found)


def _candidates(laws: Laws, budgets: Array) -> Iterator[Candidate]:
    """Every method on a fine grid of sizes, each at the budgets at which it may be chosen."""
    for method in laws.methods:
        cells = [cell for cell in laws.cells if cell.method == method]
        sizes = sorted({cell.model_params for cell in cells})
        if len(sizes) < 2:
            continue
        cost = fit_line([cell.model_params for cell in cells], [cell.flops_per_token for cell in cells])
        last = max(cell.budget for cell in cells)
        most = max(1.0, float(budgets[-1]) / last)
        for size in np.geomspace(sizes[0], sizes[-1] * most, SIZES).tolist():
            least = budgets[0] if size <= sizes[-1] else last * size / sizes[-1]
            within = float(least) / (1 + 1e-9), float(budgets[-1]) * (1 + 1e-9)
            yield Candidate(f"N={size:.4g}", parse_method(method), size, cost(size), budgets=within)


def _draw_line(axes: Axes, line: _Line, name: str, last: float) -> list[float]:
    """The line and its band, interrupted where its kind changes, pale beyond the last measured budget; its values."""
    if name not in line.curves:
        return []
    values, low, high = line.curves[name]
    axes.axvspan(last, line.budgets[-1] * 10, color=BEYOND, linewidth=0, zorder=0)
    band(axes, line.budgets, low, high, GREY)
    changes = [place for place in range(1, len(values)) if line.kinds[place] != line.kinds[place - 1]]
    beyond = int(np.searchsorted(line.budgets, last * (1 + 1e-9)))
    for start, end in pairwise(sorted({0, *changes, beyond, len(values)})):
        stroke = KIND_STROKES[line.kinds[start]]
        joined = slice(start, end + 1 if end == beyond and end not in changes else end)
        axes.plot(
            line.budgets[joined], values[joined], color=stroke.color, linestyle=stroke.dash, zorder=2.5,
            alpha=0.45 if start >= beyond else 1.0,
        )  # fmt: skip
    return [float(value) for value in (*low, *high)]


def _keys(best: list[Cell], line: _Line | None, any_open: bool, level: float) -> dict[str, Artist]:
    """The legend: the kinds that are best somewhere, measured or predicted, and what the marks mean."""
    measured, predicted = {kind_of(cell.method) for cell in best}, set(line.kinds) if line else set()
    keys: dict[str, Artist] = {}
    for kind, stroke in KIND_STROKES.items():
        if kind in measured | predicted:
            marker, dash = stroke.marker if kind in measured else "", stroke.dash if kind in predicted else "none"
            keys[kind] = direct_handle(stroke.color, marker, dash)
    if any_open:
        keys["best at an end"] = direct_handle(GREY, "o", "none", markerfacecolor="white")
    if line:
        keys[f"{100 * level:g} % of the draws"] = Patch(color=GREY, alpha=0.25, linewidth=0)
        keys["beyond the measured budgets"] = Patch(color=BEYOND, linewidth=0)
    return keys
