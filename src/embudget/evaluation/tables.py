"""Rows of a table that the user names as a benchmark's data: CSV, TSV, JSON Lines or Parquet, by the file's ending.

CSV and TSV are read as files of pairs are (`embudget.pairs.formats.delimited`), so that a stray quote, or a row with a
cell more than the head, is refused and shifts no score. Their cells are text, whatever they look like, so that a label
`007` stays one. A fault is named by file, row (from 1, the head not counted) and column, or by its line.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from embudget.errors import ConfigError, PairsError, first_line, shortened
from embudget.pairs.cells import BadRow, text
from embudget.pairs.columns import Table as Reading
from embudget.pairs.formats.delimited import read_csv, read_tsv
from embudget.reading import check_regular, read_json_lines

if TYPE_CHECKING:
    import pandas as pd

LOG = logging.getLogger(__name__)
ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

Table = dict[str, list[Any]]
"""Column -> its cells."""


def read_table(path: Path) -> Table:
    """Read a table whole.

    Raises:
        ConfigError: it is missing, of another format, or cannot be read as what its ending says; or it has no rows.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise ConfigError(f"{path} must be a table: a file that ends with one of {', '.join(ENDINGS)}")
    try:
        check_regular(path)
        if ending == ".parquet":
            table = _columns(_frame(path))
        else:
            table = _of_rows(read_json_lines(path) if ending == ".jsonl" else _text_rows(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    if not any(table.values()):
        head = " below its first line, which names the columns" if ending in (".csv", ".tsv") else ""
        raise ConfigError(f"{path} holds no rows{head}")
    return table


def _of_rows(rows: Sequence[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _text_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a CSV or TSV file, each by the names in its head."""
    reading, rows = Reading(), []
    read = read_tsv if path.suffix.lower() == ".tsv" else read_csv
    try:
        for place, record in read(path, reading):
            if isinstance(record, BadRow):
                raise ConfigError(f"{path} {place}: {record}")
            rows.append(record)
    except PairsError as error:
        raise ConfigError(str(error)) from None
    if reading.doubtful:
        LOG.warning("%s holds lines that look like rows of their own: is there a stray quote?", reading.doubtful[0])
    return rows


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(path, engine="pyarrow")
    except ValueError as error:  # pandas' and Arrow's errors of what a file holds
        raise ConfigError(f"cannot read {path}: {first_line(error)[:120]}") from None


def _columns(frame: "pd.DataFrame") -> Table:
    return {str(name): list(frame[name]) for name in frame.columns if frame.columns.tolist().count(name) == 1}


def pick(table: Table, names: Sequence[str], path: Path) -> str:
    """The first of these names that is a column of the table.

    Raises:
        ConfigError: none is.
    """
    for name in names:
        if name in table:
            return name
    found = shortened(", ".join(table), 80)
    raise ConfigError(f"{path} must have a column {' or '.join(names)}, got {found}")


def texts_of(table: Table, name: str, path: Path) -> list[str]:
    """The cells of a column of texts.

    Raises:
        ConfigError: one is empty, or no text that can be written.
    """
    return [_filled(cell, name, path, row) for row, cell in enumerate(table[name], start=1)]


def labels_of(table: Table, name: str, path: Path) -> list[str]:
    """The cells of a column of labels, numbers among them, as texts.

    Raises:
        ConfigError: one is empty, or neither a text nor a number.
    """
    cells = (str(cell) if np.isscalar(cell) and not _is_missing(cell) else cell for cell in table[name])
    return [_filled(cell, name, path, row) for row, cell in enumerate(cells, start=1)]


def _is_missing(cell: object) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _filled(cell: object, name: str, path: Path, row: int) -> str:
    if _is_missing(cell) or (isinstance(cell, str) and not cell.strip()):
        raise ConfigError(f"{path}: row {row}: {name} is empty")
    try:
        return text(cell, name)
    except BadRow as error:
        raise ConfigError(f"{path}: row {row}: {error}") from None


def numbers_of(table: Table, name: str, path: Path, least: float, most: float) -> list[float]:
    """The cells of a column of numbers.

    Raises:
        ConfigError: one is no number, or outside ``least`` to ``most``.
    """
    found = []
    for row, cell in enumerate(table[name], start=1):
        try:
            value = math.nan if isinstance(cell, bool) else float(cell)
        except (TypeError, ValueError):
            value = math.nan
        if not least <= value <= most:
            got = shortened(repr(cell), 40)
            raise ConfigError(f"{path}: row {row}: {name} must be a number from {least:g} to {most:g}, got {got}")
        found.append(value)
    return found
