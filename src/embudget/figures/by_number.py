"""How much does the number of a method matter? Panels of loss against active fraction or rank, one for each size.

What `fractions` and `ranks` share: which panels there are, a line for each budget through the numbers that were
measured, interrupted where one is missing, and the strip of missing cells.
"""

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from embudget.choices import evenly
from embudget.errors import FigureError
from embudget.figures.by_budget import budget_keys, budget_shades, draw_strip, missing_key
from embudget.figures.cells import StudyPart, cells_of_kind, is_plain, neighbours, number_of
from embudget.figures.look import LOSS, legend_over_panels, loss_axis, new_panels
from embudget.palette import KIND_STROKES
from embudget.runs import Cell

PANELS = 12
"""Most sizes that get a panel. Of more, so many are shown, evenly with both ends, and the figure says so."""


class Panel(NamedTuple):
    """One size: its axes and its cells by budget and number."""

    axes: Axes
    cells: dict[float, dict[float, Cell]]
    shades: dict[float, str]


class Numbered(NamedTuple):
    """The figure of a kind of method whose methods have numbers."""

    figure: Figure
    panels: list[Panel]
    numbers: list[float]
    """all that were measured, rising"""


def numbered_panels(part: StudyPart, kind: str, what: str) -> Numbered:
    """The panels of the sizes at which at least two numbers of a kind were measured, their points and lines drawn.

    Args:
        part: of the study.
        kind: freeze or lora.
        what: the number is, for the message: active fraction, rank.

    Raises:
        FigureError: no size was measured at two numbers.
    """
    cells = [cell for cell in cells_of_kind(part, kind) if is_plain(cell)]
    numbers = sorted({number for cell in cells if (number := number_of(cell)) is not None})
    by_size = {size: _by_number(cells, size) for size in part.sizes}
    shown = [size for size, rows in by_size.items() if len({n for row in rows.values() for n in row}) > 1]
    if not shown:
        raise FigureError(f"loss against {what} needs a size with two of them, and the study has {len(numbers)}")
    sizes = evenly(shown, PANELS)
    figure, every = new_panels(len(sizes), across=4 if len(sizes) > 3 else 3)
    shades = budget_shades(kind, part.table.budgets)
    panels = []
    for size, axes in zip(sizes, every, strict=True):
        panel = Panel(axes, by_size[size], shades)
        models = sorted({cell.model for row in panel.cells.values() for cell in row.values()})
        axes.set_title(part.name_of(models[0]), pad=3)
        _draw_lines(panel, numbers, kind)
        panels.append(panel)
    if len(sizes) < len(shown):
        figure.supxlabel(f"{len(sizes)} of {len(shown)} sizes", fontsize=6)
    return Numbered(figure, panels, numbers)


def _by_number(cells: list[Cell], size: float) -> dict[float, dict[float, Cell]]:
    """Budget -> number -> cell of one size; of two members of a size the better."""
    found: dict[float, dict[float, Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.budget, -cell.loss)):
        number = number_of(cell)
        if cell.model_params == size and number is not None:
            found.setdefault(cell.budget, {})[number] = cell
    return found


def _draw_lines(panel: Panel, numbers: list[float], kind: str) -> None:
    for budget, row in panel.cells.items():
        for group in neighbours(row, numbers):
            line = [row[number].loss for number in group]
            panel.axes.plot(group, line, KIND_STROKES[kind].marker, linestyle="-", color=panel.shades[budget], zorder=3)


def losses_of(panel: Panel) -> Iterator[float]:
    """The measured losses of a panel."""
    return (cell.loss for row in panel.cells.values() for cell in row.values())


def finish_panels(numbered: Numbered, kind: str, more: dict[str, Line2D], outer: str) -> Figure:
    """Mark what is missing, name the axes at the left and at the bottom alone, and put one legend above all panels.

    Args:
        numbered: the panels, with final limits.
        kind: of their methods.
        more: keys of the legend besides those of budgets.
        outer: the name of x.
    """
    missing = False
    for panel in numbered.panels:
        lacking = {b: [n for n in numbered.numbers if n not in row] for b, row in panel.cells.items()}
        missing |= draw_strip(panel.axes, lacking, panel.shades)
    columns = max(panel.axes.get_subplotspec().get_gridspec().ncols for panel in numbered.panels)  # type: ignore[union-attr]
    last = len(numbered.panels) - columns
    for place, panel in enumerate(numbered.panels):
        panel.axes.set_ylabel(LOSS if place % columns == 0 else "")
        panel.axes.set_xlabel(outer if place >= last else "")
    keys = budget_keys(kind, numbered.panels[0].shades) | more | (missing_key() if missing else {})
    legend_over_panels(numbered.figure, keys)
    return numbered.figure


def limits(panel: Panel, more: list[float]) -> None:
    """Fit y to the measured losses of a panel and to some more."""
    loss_axis(panel.axes, [*losses_of(panel), *more], label="")
