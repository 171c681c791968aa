"""Figures of a study for print: one function a figure, from laws or records to matplotlib axes.

catalogue       which figures there are, what each needs and how to read it
write           figures as files
look, ticks     what they share: sizes, fonts, axes; which values stand at an axis
labels          texts beside points that neither overlap nor leave the frame
"""

from embudget.figures.catalogue import FIGURES, FigureKind
from embudget.figures.write import Written, write_figures

__all__ = ["FIGURES", "FigureKind", "Written", "write_figures"]
