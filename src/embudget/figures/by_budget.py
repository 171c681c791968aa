"""What do figures with a line for each budget share? Shades by budget, their legend, and a strip of what is missing."""

from collections.abc import Mapping, Sequence
from math import exp, log

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from embudget.choices import evenly
from embudget.figures.labels import direct_handle
from embudget.figures.look import mark_missing
from embudget.figures.ticks import tick_text
from embudget.palette import GREY, KIND_STROKES, shade

NAMED = 6
"""Most budgets in a legend. Of more, so many are named, evenly with both ends: the others' shades lie between."""
STRIP, ROW = 0.24, 0.042
"""Most of the height that missing cells may take, and what one budget's row takes, as shares."""


def budget_shades(kind: str, budgets: Sequence[float]) -> dict[float, str]:
    """The shade of the kind's colour for each budget, darker with the budget."""
    places = np.linspace(0.0, 1.0, len(budgets)) if len(budgets) > 1 else [0.5]
    color = KIND_STROKES[kind].color
    return {budget: shade(color, float(place)) for budget, place in zip(budgets, places, strict=True)}


def budget_keys(kind: str, shades: Mapping[float, str]) -> dict[str, Line2D]:
    """Keys of a legend by their text, `1e12 FLOP`."""
    marker = KIND_STROKES[kind].marker
    return {f"{tick_text(budget)} FLOP": direct_handle(shades[budget], marker) for budget in evenly(shades, NAMED)}


def missing_key() -> dict[str, Line2D]:
    """The key of cells that were not measured."""
    return {"not measured": direct_handle(GREY, "x", "none", markersize=2.8)}


def draw_strip(axes: Axes, missing: Mapping[float, Sequence[float]], shades: Mapping[float, str]) -> bool:
    """Make room below logarithmic y and put a cross there for each missing cell, a row for each budget; whether any.

    The largest budget, whose curve is the lowest in most studies, has the lowest row.

    Args:
        axes: with their final limits.
        missing: budget -> x of the cells that were not measured.
        shades: budget -> colour.
    """
    rows = [budget for budget in sorted(missing, reverse=True) if missing[budget]]
    if not rows:
        return False
    row = min(ROW, STRIP / len(rows))
    share = row * len(rows) + 0.02
    low, high = axes.get_ylim()
    axes.set_ylim(exp(log(low) - share / (1 - share) * log(high / low)), high)
    for place, budget in enumerate(rows):
        mark_missing(axes, missing[budget], 0.015 + row * (place + 0.5), shades[budget])
    return True
