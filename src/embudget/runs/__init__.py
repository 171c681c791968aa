"""Anyone's runs as cells: what the laws are fitted to, from the records of a study or from a file of runs.

A table of runs passes through these files in this order, each step a function from a DataFrame to a DataFrame; the list
of steps is `RunTable._of`.

columns     the names of a table's columns, and what each group of them is for
formats     CSV, TSV, JSON Lines and Parquet
read        records, or a file of these under anyone's column names, as a DataFrame
clean       which runs count
complete    the methods, tokens, FLOP, budgets and names that a table leaves out
meaning     whether N and C mean what they must mean
tune        the best setting of each cell
envelope    the best learning rate and batch size between those that were tried
neighbours  whether the losses and settings of the cells agree with each other; bits: whether some losses are in bits
cells       `Cell` and `RunTable`
"""

from embudget.records import COLUMNS, record_row, write_records_csv
from embudget.runs.cells import Cell, RunTable

__all__ = ["COLUMNS", "Cell", "RunTable", "record_row", "write_records_csv"]
