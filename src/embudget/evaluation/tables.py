"""Rows of a table that the user names as a benchmark's data: CSV, TSV, JSON Lines or Parquet, by the file's ending.

Cells of CSV and TSV are text, whatever they look like, so that a label `007` stays one. A fault is named by file, row
(from 1, the head not counted) and column.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import ConfigError, first_line, shortened
from embudget.reading import check_regular, read_json_lines

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")

Table = dict[str, list[Any]]
"""Column -> its cells."""


def read_table(path: Path) -> Table:
    """Read a table whole.

    Raises:
        ConfigError: it is missing, of another format, or cannot be read as what its ending says; or it has no rows.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path} must be a table: a file that ends with one of {', '.join(ENDINGS)}")
    if path.suffix.lower() == ".jsonl":
        rows = read_json_lines(path)
        names = list(dict.fromkeys(name for row in rows for name in row))
        table = {name: [row.get(name) for row in rows] for name in names}
    else:
        table = _columns(_frame(path))
    if not any(table.values()):
        raise ConfigError(f"{path} holds no rows")
    return table


def _frame(path: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        check_regular(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path, engine="pyarrow")
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    except ValueError as error:  # pandas' and Arrow's errors of what a file holds, and of its encoding
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
        ConfigError: one is empty, or no text.
    """
    for row, cell in enumerate(table[name], start=1):
        if not isinstance(cell, str) or not cell.strip():
            what = "is empty" if cell is None or cell != cell or cell == "" or isinstance(cell, str) else "is no text"
            raise ConfigError(f"{path}: row {row}: {name} {what}")
    return list(table[name])


def labels_of(table: Table, name: str, path: Path) -> list[str]:
    """The cells of a column of labels, numbers among them, as texts.

    Raises:
        ConfigError: one is empty.
    """
    for row, cell in enumerate(table[name], start=1):
        if cell is None or cell != cell or not str(cell).strip():
            raise ConfigError(f"{path}: row {row}: {name} is empty")
    return [str(cell) for cell in table[name]]


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
