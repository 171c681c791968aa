"""Figures and tables of a study, as one HTML page that opens offline.

page                            the whole document
frontier, isoflop, agreement    plotly figures, each usable alone; what they share is in drawing
facts, tables                   the study, its recipe and its runs as HTML
browser, formats                style sheet and script; numbers as text
"""

from embudget.report.agreement import agreement_figure
from embudget.report.frontier import frontier_figure
from embudget.report.isoflop import isoflop_figure
from embudget.report.page import write_report

__all__ = ["agreement_figure", "frontier_figure", "isoflop_figure", "write_report"]
