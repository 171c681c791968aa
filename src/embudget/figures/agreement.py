"""Do the laws say what was measured? Measured loss against predicted, of budgets that the laws did not see.

The laws are fitted again to the cells below the largest budgets, and asked for the cells that they did not see. A third
of the budgets, rounded down, is held out. Where a study has fewer than four budgets, or too few runs below the largest,
its own laws are drawn against the cells that they were fitted to. That says how well they describe, not how well they
forecast.

Where a study has several lineages, each is fitted again by itself: that is a harder test than its laws, which lean on
each other, would have.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from embudget.errors import FitError
from embudget.figures.labels import direct_handle
from embudget.figures.look import LOSS, legend_above, new_axes, printed
from embudget.laws import Laws, fit
from embudget.laws.repetition import unique_tokens_of
from embudget.methods import kind_of
from embudget.palette import GREY, KIND_STROKES
from embudget.runs import Cell, RunTable

CAPTION = (
    "Measured loss of each cell against what the laws predict for it, one marker for each kind of method. Filled "
    "points are of the largest budgets, which the laws were fitted without, and their bars hold the measured loss of a "
    "new run with 90 %. Small open points are of the budgets that the laws were fitted to. On the dashed line both "
    "losses are equal. Where no point is filled, the study has too few budgets or runs to hold any out."
)
FEWEST = 4
"""Least budgets of a study of which one is held out, so that three are left to fit."""
HELD_SHARE = 3
"""One of so many budgets is held out."""
DRAWS = 100
"""Bootstrap draws of the laws that are fitted again."""

Array = NDArray[np.float64]


class Forecasts(NamedTuple):
    """Cells beside what laws say of them."""

    cells: list[Cell]
    predicted: Array
    """nats (n,)"""
    low: Array
    high: Array
    """Ends of the interval of a new run's measured loss, nats (n,)."""
    held_out: NDArray[np.bool_]
    """Which cells the laws were fitted without (n,)."""

    @property
    def within(self) -> int:
        """Held-out cells whose loss lies in its interval."""
        losses = np.array([cell.loss for cell in self.cells])
        return int(((self.low <= losses) & (losses <= self.high) & self.held_out).sum())


@printed
def draw_agreement(laws: Laws, axes: Axes | None = None, *, level: float = 0.9, lineage: str | None = None) -> Axes:
    """Draw measured against predicted losses, those of held-out budgets with bars; fits the laws again, some seconds.

    Args:
        laws: of a study.
        axes: by default those of a new figure, as wide as a paper's column.
        level: probability with which the measured loss of a new run lies in a bar.
        lineage: of the models, where there are several.

    Raises:
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_agreement(embudget.find_laws("smollm2")).figure.savefig("agreement.pdf")
    """
    found = forecasts_of(laws.of(lineage), level)
    axes = new_axes(axes, height=3.3)
    losses = np.array([cell.loss for cell in found.cells])
    kinds = np.array([kind_of(cell.method) for cell in found.cells])
    bars = np.concatenate([found.low[found.held_out], found.high[found.held_out]])
    ends = _square(axes, [*losses, *found.predicted, *bars])
    axes.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1.5)
    for kind, stroke in KIND_STROKES.items():
        seen, held = (kinds == kind) & ~found.held_out, (kinds == kind) & found.held_out
        axes.plot(
            found.predicted[seen], losses[seen], stroke.marker, color=stroke.color, markerfacecolor="none",
            markersize=2.6, markeredgewidth=0.6, zorder=2,
        )  # fmt: skip
        sides = np.array([found.predicted - found.low, found.high - found.predicted])[:, held]
        axes.errorbar(
            found.predicted[held], losses[held], xerr=sides, fmt=stroke.marker, color=stroke.color, elinewidth=0.6,
            zorder=3,
        )  # fmt: skip
    present = [kind for kind in KIND_STROKES if kind in kinds]
    keys = {kind: direct_handle(KIND_STROKES[kind].color, KIND_STROKES[kind].marker, "none") for kind in present}
    count = int(found.held_out.sum())
    if count:
        keys[f"held out: {found.within} of {count} in their bars"] = direct_handle(GREY, "o")
    fitted = "fitted" if count else "fitted: too few budgets or runs to hold out"
    keys[fitted] = direct_handle(GREY, "o", "none", markerfacecolor="none", markersize=2.6, markeredgewidth=0.6)
    legend_above(axes, keys)
    return axes


def forecasts_of(laws: Laws, level: float = 0.9) -> Forecasts:
    """The cells beside the predictions of laws that did not see the largest budgets, where there are enough for that.

    Args:
        laws: of one lineage.
        level: probability of the intervals.
    """
    budgets = laws.table.budgets
    if len(budgets) >= FEWEST:
        largest = budgets[-max(1, len(budgets) // HELD_SHARE)]
        below = [row for row, cell in enumerate(laws.table.cells) if cell.budget < largest]
        try:
            again = fit(_with_rows(laws.table, below), draws=DRAWS)
        except FitError:
            return _held_against(laws, laws.cells, np.inf, level)
        return _held_against(again, [cell for cell in laws.cells if cell.method in again.methods], largest, level)
    return _held_against(laws, laws.cells, np.inf, level)


def _with_rows(table: RunTable, rows: Sequence[int]) -> RunTable:
    """The table with some of its cells."""
    values = {name: getattr(table, name) for name in RunTable.model_fields}
    groups = None if table.groups is None else table.groups.of_cells(rows)
    return RunTable.model_construct(
        **values | {"cells": tuple(table.cells[row] for row in rows), "groups": groups, "lineages": ()}
    )


def _held_against(laws: Laws, cells: Sequence[Cell], first_held: float, level: float) -> Forecasts:
    at = (
        [cell.method for cell in cells],
        np.array([cell.model_params for cell in cells]),
        np.array([cell.tokens for cell in cells]),
    )
    law = laws.on(unique_tokens_of(cells))
    predicted = np.exp(law.log_draws(*at).mean(axis=0))
    low, high = law.intervals(*at, level)
    return Forecasts(list(cells), predicted, low, high, np.array([cell.budget >= first_held for cell in cells]))


def _square(axes: Axes, losses: Sequence[float]) -> tuple[float, float]:
    """Give both axes the same logarithmic scale about the losses, equally long; its ends."""
    logs = np.log(losses)
    pad = max(0.05 * float(np.ptp(logs)), 0.01)
    ends = float(np.exp(logs.min() - pad)), float(np.exp(logs.max() + pad))
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel="predicted loss, nats", ylabel=f"measured {LOSS}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(8 if np.ptp(logs) > 1 else 5, steps=[1, 2, 5, 10]))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return ends
