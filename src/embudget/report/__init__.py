"""Figures and tables of a study, as one HTML page that opens offline.

page, rendering                 a study's page, and how templates become one file
answer                          the part that answers for a budget, in the reader's browser
doubts                          warnings in plain words, with what to do
frontier, isoflop, agreement    plotly figures, each usable alone; what they share is in drawing
curve, curve_folder             recipes along budgets: the figure, and the folder with its data
facts, tables, run_rows, shown  the study, its recipe and its runs, and which runs are listed
look, formats                   a method's colours in both themes; numbers as text
templates/                      HTML, style sheets and scripts
"""

from embudget.report.agreement import agreement_figure
from embudget.report.curve import curve_figure
from embudget.report.curve_folder import check_curve_folder, write_curve
from embudget.report.frontier import frontier_figure
from embudget.report.isoflop import isoflop_figure
from embudget.report.page import write_report

__all__ = [
    "agreement_figure",
    "check_curve_folder",
    "curve_figure",
    "frontier_figure",
    "isoflop_figure",
    "write_curve",
    "write_report",
]
