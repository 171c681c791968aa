"""Which figures are there? What each needs, which of the paper's it is, and how to read it.

The paper is "Repurposing Language Models into Embedding Models" (NeurIPS 2024).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Need = Literal["laws", "records", "decisions"]


class FigureKind(NamedTuple):
    """A figure that a study may have."""

    draw: Callable[..., Axes | Figure]
    """Called with what it needs, in order; with ``lineage`` too where it needs laws of one."""
    needs: tuple[Need, ...]
    """``laws``: `Laws`; ``records``: a sequence of `RunRecord`; ``decisions``: a sequence of `embudget.spending`'s."""
    caption: str
    """How to read it, in whole sentences."""
    paper: str | None = None
    """The paper's number of it."""
    by_lineage: bool = True
    """Whether a study of several lineages has one of each. Figures without laws have one."""


FIGURES: dict[str, FigureKind] = {}
"""Name -> figure, in the order in which they are read."""
