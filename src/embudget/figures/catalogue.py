"""Which figures are there? What each needs, which of the paper's it is, and how to read it.

The paper is "Repurposing Language Models into Embedding Models" (NeurIPS 2024).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from embudget.figures.fractions import draw_fractions
from embudget.figures.frontier import draw_frontier
from embudget.figures.isoflop import draw_isoflop
from embudget.figures.ranks import draw_ranks

Need = Literal["cells", "laws", "records", "decisions"]
ISOFLOP = (
    "Loss against size, a shade for each budget. A solid line is a parabola, its lowest point marked by +. Dots join "
    "neighbours where no parabola has a lowest point among the measured sizes: the best size may be missing. A cross at "
    "the bottom is a size that was not measured at the budget of its shade."
)


class FigureKind(NamedTuple):
    """A figure that a study may have."""

    draw: Callable[..., Axes | Figure]
    """Called with what it needs, in order, and with ``lineage`` where the study has several."""
    needs: tuple[Need, ...]
    """``cells``: `Laws`, or the `RunTable` of a study with too few runs for them; ``laws``: `Laws`; ``records``: a sequence of `RunRecord`; ``decisions``: a sequence of `embudget.spending`'s."""
    caption: str
    """How to read it, in whole sentences."""
    paper: str | None = None
    """The paper's number of it."""
    by_lineage: bool = True
    """Whether a study of several lineages has one of each, where it needs cells or laws."""


FIGURES: dict[str, FigureKind] = {
    "frontier": FigureKind(
        draw_frontier,
        ("cells",),
        "The best loss of each kind of method at each budget. Points are measured; member and number are written at the "
        "best of all. An open point's best size is the smallest or the largest measured at its budget, so that a better "
        "one may be missing. Lines are the laws', the lowest loss predicted among the measured sizes, and a band holds "
        "the expected loss with 90 %. The wide grey line is the frontier. A dashed line upright is a budget where the "
        "best kind changes, its 90 % interval shaded; without one, no change is known.",
        "1",
    ),
    **{
        f"isoflop-{kind}": FigureKind(partial(draw_isoflop, kind=kind), ("cells",), caption, paper)
        for kind, paper, caption in (
            ("full", "2a", ISOFLOP),
            ("freeze", "2b", f"{ISOFLOP} The best active fraction is written at each point."),
            ("bias", "4a", ISOFLOP),
            ("lora", "4b", f"{ISOFLOP} The best rank is written at each point."),
        )
    },
    "fractions": FigureKind(
        draw_fractions,
        ("cells",),
        "Loss against the share of the model that block freezing trains, a panel for each size with at least two "
        "fractions, a shade for each budget. Round points at 1 are full fine-tuning. A line stops where a fraction was "
        "not measured, and a cross at the bottom says so. Each panel has its own loss axis.",
        "3",
    ),
    "ranks": FigureKind(
        draw_ranks,
        ("cells",),
        "Loss against the rank of LoRA, a panel for each size with at least two ranks, a shade for each budget. Solid "
        "lines are measured, at equal FLOP. Dashed lines are at equal tokens: each loss moved by the laws to the tokens "
        "of the lowest rank. What lies between the two is accounting, since adapters of a high rank cost FLOP in each "
        "token. Each panel has its own loss axis.",
        "5",
    ),
}
"""Name -> figure, in the order in which they are read."""
