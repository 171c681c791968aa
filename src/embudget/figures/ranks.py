"""Which rank is best for LoRA? Loss against rank, a panel for each size, at equal FLOP and, dashed, at equal tokens.

The paper's figure 5. Part of what a high rank loses at equal FLOP is accounting: its adapters cost FLOP in each token,
so that a budget buys fewer tokens. The dashed line takes that part out. It moves each measured loss to the tokens that
the lowest rank of the line gets, by the ratio of the laws' predictions:

    loss at D0 = measured loss at D * predicted(N, D0) / predicted(N, D)
"""

from matplotlib.figure import Figure

from embudget.figures.by_number import Panel, finish_panels, limits, losses_of, numbered_panels
from embudget.figures.cells import neighbours, part_of
from embudget.figures.labels import direct_handle
from embudget.figures.look import log_axis, printed
from embudget.laws import Laws
from embudget.palette import GREY
from embudget.runs import Cell, RunTable

EQUAL_TOKENS = (0, (3, 1.5))
"""Dash of the lines at equal tokens."""

CAPTION = (
    "Loss against the rank of LoRA, a panel for each size with two ranks or more, a shade for each budget. Solid lines "
    "are measured, at equal FLOP. Dashed lines are at equal tokens: the laws move each loss to those of the lowest "
    "rank. What lies between the two is accounting, since the adapters of a high rank cost FLOP in each token. Each "
    "panel has a loss axis of its own."
)


@printed
def draw_ranks(source: Laws | RunTable, *, lineage: str | None = None) -> Figure:
    """Draw loss against the rank of LoRA, a panel for each size and a line for each budget.

    Args:
        source: laws, or the table of a study that has too few runs for them: then without lines at equal tokens.
        lineage: of the models, where there are several.

    Raises:
        FigureError: no size was measured at two ranks.
        ConfigError: the lineage is none of the study's.

    Example:
        >>> draw_ranks(embudget.find_laws("smollm2")).savefig("ranks.pdf")
    """
    part = part_of(source, lineage)
    numbered = numbered_panels(part, "lora", "rank")
    for panel in numbered.panels:
        moved = {} if part.laws is None else _at_equal_tokens(part.laws, panel)
        limits(panel, [*losses_of(panel), *(loss for row in moved.values() for loss in row.values())])
        log_axis(panel.axes, "x", numbered.numbers, "")
        for budget, row in moved.items():
            for group in neighbours(row, numbered.numbers):
                losses = [row[rank] for rank in group]
                panel.axes.plot(group, losses, color=panel.shades[budget], linestyle=EQUAL_TOKENS, linewidth=0.9)
    keys = {"equal FLOP": direct_handle(GREY)}
    if part.laws is not None:
        keys["equal tokens"] = direct_handle(GREY, linestyle=EQUAL_TOKENS, linewidth=0.9)
    return finish_panels(numbered, "lora", keys, "LoRA rank")


def _at_equal_tokens(laws: Laws, panel: Panel) -> dict[float, dict[float, float]]:
    """Budget -> rank -> the loss at the tokens of the budget's lowest rank, for ranks that have a law."""
    found: dict[float, dict[float, float]] = {}
    for budget, row in panel.cells.items():
        cells = {rank: cell for rank, cell in sorted(row.items()) if cell.method in laws.methods}
        if len(cells) > 1:
            tokens = next(iter(cells.values())).tokens
            found[budget] = {rank: _moved(laws, cell, tokens) for rank, cell in cells.items()}
    return found


def _moved(laws: Laws, cell: Cell, tokens: float) -> float:
    """A cell's loss with so many tokens instead of its own, nats."""
    law = laws.on(cell.unique_tokens)
    there, here = (law.predict(cell.method, cell.model_params, count) for count in (tokens, cell.tokens))
    return cell.loss * there / here
