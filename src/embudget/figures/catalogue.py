"""Which figures are there? What each needs, which of the paper's it is, and how to read it.

The paper is "Repurposing Language Models into Embedding Models" (NeurIPS 2024). Each figure has a file of its own, with
its caption.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embudget.figures import (
    agreement,
    cost,
    curves,
    fractions,
    frontier,
    isoflop,
    optimum,
    ranks,
    rate_law,
    rates,
    scores,
    spent,
    ties,
)

Need = Literal["cells", "laws", "records", "decisions"]
"""What a figure is drawn from.

    cells        `Laws`, or the `RunTable` of a study that has too few runs for them
    laws         `Laws`
    records      a sequence of `RunRecord`
    decisions    a sequence of `embudget.spending.rounds.Round`
"""


class FigureKind(NamedTuple):
    """A figure that a study may have."""

    draw: Callable[..., Axes | Figure]
    """Called with what it needs, in order, and with ``lineage`` where the study has several."""
    needs: tuple[Need, ...]
    caption: str
    """How to read it, in whole sentences."""
    paper: str | None = None
    """The paper's number of it."""
    by_lineage: bool = True
    """Whether a study of several lineages has one of each, where it needs cells or laws."""


FIGURES: dict[str, FigureKind] = {
    "frontier": FigureKind(frontier.draw_frontier, ("cells",), frontier.CAPTION, "1"),
    **{
        f"isoflop-{kind}": FigureKind(
            partial(isoflop.draw_isoflop, kind=kind), ("cells",), f"{isoflop.CAPTION}{written}", paper
        )
        for kind, paper, written in (
            ("full", "2a", ""),
            ("freeze", "2b", " The best active fraction is written at each point."),
            ("bias", "4a", ""),
            ("lora", "4b", " The best rank is written at each point."),
        )
    },
    "fractions": FigureKind(fractions.draw_fractions, ("cells",), fractions.CAPTION, "3"),
    "ranks": FigureKind(ranks.draw_ranks, ("cells",), ranks.CAPTION, "5"),
    "optimum": FigureKind(optimum.draw_optimum, ("cells",), optimum.CAPTION),
    "agreement": FigureKind(agreement.draw_agreement, ("laws",), agreement.CAPTION),
    "ties": FigureKind(ties.draw_ties, ("laws",), ties.CAPTION),
    "rates": FigureKind(rates.draw_rates, ("cells", "records"), rates.CAPTION),
    "rate-law": FigureKind(rate_law.draw_rate_law, ("laws",), rate_law.CAPTION),
    "scores": FigureKind(scores.draw_scores, ("records",), scores.CAPTION, by_lineage=False),
    "curves": FigureKind(curves.draw_curves, ("cells", "records"), curves.CAPTION),
    "cost": FigureKind(cost.draw_cost, ("records",), cost.CAPTION, by_lineage=False),
    "spent": FigureKind(spent.draw_spent, ("decisions", "records"), spent.CAPTION, by_lineage=False),
}
"""Name -> figure, in the order in which they are read."""
