"""Anyone's runs as cells: what the laws are fitted to, from the records of a study or from a file of runs.

columns     what a table of runs holds
read        a CSV or Parquet file, under anyone's column names
clean       which runs count
complete    methods, tokens, FLOP and budgets that the table does not say
grouping    which runs belong together
envelope    the best learning rate and batch size of a cell
tune        the best setting of a cell
cells       `Cell` and `RunTable`
"""

from embudget.runs.cells import Cell, RunTable
from embudget.runs.columns import COLUMNS, record_row, write_records_csv

__all__ = ["COLUMNS", "Cell", "RunTable", "record_row", "write_records_csv"]
