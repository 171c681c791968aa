"""What do all figures for print share? Sizes, fonts, axes with ticks that people read, bands, marks of what is missing.

A figure is as wide as a paper's column or its two columns, so that its text has the size of the paper's captions. Text
stays text in PDF and SVG: it can be searched, and edited. Colours, markers and dashes are those of `embudget.palette`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from math import ceil
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from embudget.figures.ticks import budget_ticks, tick_text
from embudget.palette import GREY

COLUMN, PAGE = 3.3, 6.9
"""Width of a paper's column and of both, inches."""
HEIGHT = 2.5
"""Height of a figure of one column, inches."""
BUDGET, LOSS = "budget, training FLOP", "held-out loss, nats"
SIZE = "N, parameters without embeddings"
PRINT: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same on every machine
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "figure.dpi": 150,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "embudget",
}
"""matplotlib's settings of a figure for print."""

COLUMN_GAP = 1.2
"""Between two columns of a legend, in sizes of its font."""
KEY, KEY_GAP = 0.28, 0.11
"""Width of a legend's key with the gap behind it, and of the gap between two columns, inches."""

P = ParamSpec("P")
T = TypeVar("T")


def printed(draw: Callable[P, T]) -> Callable[P, T]:
    """Have a function draw with the settings of `PRINT`, whatever the reader's own are, which stay as they were.

    Example:
        >>> @printed
        ... def losses(laws: Laws, axes: Axes | None = None) -> Axes: ...
    """

    @wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context(PRINT):
            return draw(*args, **kwargs)

    return drawing


def new_axes(axes: Axes | None, width: float = COLUMN, height: float = HEIGHT) -> Axes:
    """The axes to draw on: those given, else those of a new figure so many inches wide and high."""
    return plt.figure(figsize=(width, height), layout="constrained").add_subplot() if axes is None else axes


def new_panels(count: int, across: int = 3, height: float = 1.9, **shared: Any) -> tuple[Figure, list[Axes]]:  # noqa: ANN401 - what plt.subplots knows
    """A figure of panels, rows of at most ``across`` of them, as wide as one column for one and as both for more.

    Args:
        count: panels, at least 1.
        across: panels in a row.
        height: of a row, inches.
        shared: sharex, sharey as of matplotlib's subplots.
    """
    columns = min(count, across)
    rows = -(-count // columns)
    width = COLUMN if columns == 1 else PAGE
    figure, grid = plt.subplots(
        rows, columns, figsize=(width, height * rows + 0.5), layout="constrained", squeeze=False, **shared
    )
    panels = list(grid.flat)
    for unused in panels[count:]:
        unused.remove()
    return figure, panels[:count]


def budget_axis(axes: Axes, budgets: Iterable[float], label: str = BUDGET) -> None:
    """Make x logarithmic, with ticks at the measured budgets, or at 1-2-5 where those are too many for the width."""
    log_axis(axes, "x", budgets, label)


def log_axis(axes: Axes, which: str, values: Iterable[float], label: str, also: Iterable[float] = ()) -> None:
    """Make x or y logarithmic with room about the values, ticks at them where they fit, and text as 4e12 or 30M.

    There is room about the values of ``also``, too, which get no ticks; where they are alone, those are at 1-2-5.
    """
    at = sorted({float(value) for value in values})
    ends = np.array(sorted({*at, *also}), dtype=float)
    pad = max(0.05 * np.log(ends[-1] / ends[0]), 0.15)
    low, high = ends[0] * np.exp(-pad), ends[-1] * np.exp(pad)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log", f"{which}label": label, f"{which}lim": (low, high)})
    room = _inches(axes, which)
    ticks = budget_ticks(at, float(low), float(high), room, across=which == "x")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def loss_axis(axes: Axes, losses: Iterable[float], label: str = LOSS, which: str = "y") -> None:
    """Make y, or x, logarithmic about losses in nats, with ticks at even steps of plain numbers."""
    found = [loss for loss in losses if np.isfinite(loss)]
    low, high = min(found), max(found)
    pad = max(0.07 * np.log(high / low), 0.01)
    limits = (low * np.exp(-pad), high * np.exp(pad))
    axes.set(**{f"{which}scale": "log", f"{which}lim": limits, f"{which}label": label})
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _inches(axes: Axes, which: str) -> float:
    """Length of an axis, inches, from the place that a grid without layout gives it: the layout makes it no shorter."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box, size = axes.get_position(), figure.get_size_inches()
    return float(box.width * size[0] if which == "x" else box.height * size[1])


def band(axes: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> None:
    """Shade an interval: pale enough that lines and the bands of other methods are seen through it."""
    axes.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=color, alpha=0.13, linewidth=0, zorder=1)


def mark_missing(axes: Axes, x: Sequence[float], height: float = 0.03, color: str = GREY) -> None:
    """Put a small cross for each cell that was not measured, at x and at a share of the height of the axes."""
    axes.plot(
        x, [height] * len(x), "x", color=color, transform=axes.get_xaxis_transform(), markersize=2.8,
        markeredgewidth=0.7, zorder=2, label="_missing",
    )  # fmt: skip


def legend_above(axes: Axes, keys: Mapping[str, Artist]) -> None:
    """Put the legend above the axes, where it covers nothing, in as many columns as the figure's width holds."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    axes.legend(
        list(keys.values()), list(keys), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, borderpad=0,
        ncols=_columns(list(keys), 1.12 * _inches(axes, "x")), columnspacing=COLUMN_GAP, handletextpad=0.5,
    )  # fmt: skip


def legend_over_panels(figure: Figure, keys: Mapping[str, Artist]) -> None:
    """Put one legend above all panels of a figure, in as many columns as its width holds."""
    figure.legend(
        list(keys.values()), list(keys), loc="outside upper left", columnspacing=COLUMN_GAP, handletextpad=0.5,
        ncols=_columns(list(keys), figure.get_size_inches()[0]),
    )  # fmt: skip


def _columns(names: Sequence[str], inches: float) -> int:
    """The most columns of a legend, filled one after the other, that are together no wider."""
    font = FontProperties(family=PRINT["font.family"], size=PRINT["legend.fontsize"])
    widths = [TextPath((0, 0), name, prop=font).get_extents().width / 72 for name in names]
    for count in range(len(names), 1, -1):
        rows = ceil(len(names) / count)
        widest = [max(widths[start : start + rows]) for start in range(0, len(names), rows)]
        if sum(KEY + width + KEY_GAP for width in widest) - KEY_GAP <= inches:
            return len(widest)
    return 1
