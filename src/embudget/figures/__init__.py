"""Figures of a study for print: one function a figure, from laws or records to matplotlib axes.

catalogue       which figures there are, what each needs and how to read it
write, sources  figures as files, and what they are drawn from
frontier, isoflop, fractions, ranks    the paper's figures, a file each
optimum, agreement, ties, rates, rate_law    how to spend a budget, and how well that is known
scores, curves, cost, spent            scores against loss, training, and where the budget went, a file each
cells           what they show of a study: kinds, the best cells, what is missing
look, ticks     what they share: sizes, fonts, axes; which values stand at an axis
labels          texts beside points that neither overlap nor leave the frame
by_budget, by_number    shades and strips of budgets; panels of fractions and ranks

Example:
    >>> from embudget.figures import FIGURES
    >>> FIGURES["frontier"].draw(embudget.find_laws("smollm2")).figure.savefig("frontier.pdf")
"""

from embudget.figures.catalogue import FIGURES, FigureKind
from embudget.figures.sources import FigureSources, read_sources
from embudget.figures.write import Written, write_figures

__all__ = ["FIGURES", "FigureKind", "FigureSources", "Written", "read_sources", "write_figures"]
