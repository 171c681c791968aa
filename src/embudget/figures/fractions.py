"""How much of a model should train? Loss against active fraction, a panel for each size; the paper's figure 3.

Full fine-tuning is the fraction 1 and has its own marker. Lines join neighbouring fractions of a budget alone.
"""

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from embudget.figures.by_number import Panel, finish_panels, limits, numbered_panels
from embudget.figures.cells import StudyPart, part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import printed
from embudget.laws import Laws
from embudget.palette import GREY, KIND_STROKES
from embudget.runs import Cell, RunTable

CAPTION = (
    "Loss against the share of the model that block freezing trains, a panel for each size with two fractions or more, "
    "a shade for each budget. Round points at 1 are full fine-tuning. A line stops where a fraction was not measured, "
    "and a cross at the bottom says so. Each panel has a loss axis of its own."
)


@printed
def draw_fractions(source: Laws | RunTable, *, lineage: str | None = None) -> Figure:
    """Draw loss against the active fraction of block freezing, a panel for each size and a line for each budget.

    Args:
        source: laws, or the table of a study.
        lineage: of the models, where there are several.

    Raises:
        FigureError: no size was measured at two fractions.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_fractions(embudget.find_laws("smollm2")).savefig("fractions.pdf")
    """
    part = part_of(source, lineage)
    numbered = numbered_panels(part, "freeze", "active fraction")
    any_full = False
    for panel in numbered.panels:
        full = _full_cells(part, panel)
        any_full |= bool(full)
        limits(panel, [cell.loss for cell in full])
        _draw_full(panel, full, numbered.numbers[-1])
        ticks = [*numbered.numbers, *([1.0] if full else [])]
        panel.axes.set_xlim(max(ticks[0] - 0.1, 0.0), 1.06)
        panel.axes.xaxis.set_major_locator(FixedLocator(_apart(ticks)))
        panel.axes.xaxis.set_minor_locator(NullLocator())
        panel.axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    key = {"full": direct_handle(GREY, KIND_STROKES["full"].marker, "none")} if any_full else {}
    return finish_panels(numbered, "freeze", key, "active fraction")


def _full_cells(part: StudyPart, panel: Panel) -> list[Cell]:
    """The cells of full fine-tuning at the size and the budgets of a panel."""
    sizes = {cell.model_params for row in panel.cells.values() for cell in row.values()}
    return [c for c in part.cells if c.method == "full" and c.model_params in sizes and c.budget in panel.cells]


def _draw_full(panel: Panel, full: list[Cell], last: float) -> None:
    """Full fine-tuning at fraction 1, joined to the largest fraction where that was measured."""
    for cell in full:
        color, row = panel.shades[cell.budget], panel.cells[cell.budget]
        if last in row:
            panel.axes.plot([last, 1.0], [row[last].loss, cell.loss], color=color, zorder=2.5)
        panel.axes.plot(1.0, cell.loss, KIND_STROKES["full"].marker, color=color, zorder=3)


def _apart(ticks: list[float], least: float = 0.12) -> list[float]:
    """Those of the ticks that leave room for their texts, the first and each that follows far enough."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or tick - kept[-1] >= least:
            kept.append(tick)
    return kept
