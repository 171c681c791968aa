"""Laws of the loss over size, data, method and budget, with uncertainty, fitted to the records of a study.

table       runs of records or of a file, and the cells that laws are fitted to; by columns, reading, usable,
            completion and grouping
chinchilla  L(N, D) = E + A/N^a + B/D^b for every method; further forms of `base.Law` go beside it
frontier    best loss against budget, a power law        isoflop   parabolas over the sizes of one budget
envelope    the best learning rate of a cell, and of one not measured
joint, varpro, bootstrap, line                           how they are fitted, each with its statistics
result      the fitted laws and their file               fitting   records in, laws out
"""

from embudget.laws.columns import COLUMNS, record_row, write_records_csv
from embudget.laws.fitting import fit
from embudget.laws.parameters import Coefficients
from embudget.laws.result import FrontierRow, Laws, Refusal
from embudget.laws.surface import ChinchillaLaw, fit_chinchilla
from embudget.laws.table import Cell, RunTable

__all__ = [
    "COLUMNS",
    "Cell",
    "ChinchillaLaw",
    "Coefficients",
    "FrontierRow",
    "Laws",
    "Refusal",
    "RunTable",
    "fit",
    "fit_chinchilla",
    "record_row",
    "write_records_csv",
]
