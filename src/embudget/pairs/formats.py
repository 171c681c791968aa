"""What the user's own pairs may look like: JSONL, CSV, TSV or Parquet, with one column a side.

A file that breaks a rule is refused as a whole, with the line and the reason: to leave out rows silently would hide the
user's mistakes. The same rules hold for data sets of the hub and for indexed shards, as far as they name columns.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from embudget.errors import PairsError, first_line
from embudget.pairs.sources.base import RawPair

DEFAULT_COLUMNS = [("query", "positive"), ("anchor", "positive"), ("question", "answer")]
"""Names of query and positive that are tried in this order if the user gives none."""
GROUP = "group"
"""Name of the column whose equal values stay in one split. Without it every row is a group of its own."""

Record = tuple[str, dict[str, Any]]
"""A row of a file: its place for messages, such as "line 3", and its values by column."""


def named_columns(query_column: str | None, positive_column: str | None) -> tuple[str, str] | None:
    """Return the columns of query and positive as the user named them, or None if neither was.

    Raises:
        PairsError: only one of them was named, which leaves the other to a guess.
    """
    if (query_column is None) != (positive_column is None):
        raise PairsError("query_column and positive_column must be given together")
    return None if query_column is None or positive_column is None else (query_column, positive_column)


def choose_columns(names: Sequence[str], wanted: tuple[str, str] | None, where: str) -> tuple[str, str]:
    """Find the columns of query and positive: those that are wanted, or the first of `DEFAULT_COLUMNS` that are there.

    Raises:
        PairsError: they are not among ``names``; the message begins with ``where``.
    """
    for pair in [wanted] if wanted else DEFAULT_COLUMNS:
        if set(pair) <= set(names):
            return pair
    there = ", ".join(names) or "none"
    if wanted:
        missing = next(name for name in wanted if name not in names)
        raise PairsError(f"{where}: column {missing!r} is missing; there are {there}")
    defaults = ", ".join("/".join(pair) for pair in DEFAULT_COLUMNS)
    raise PairsError(
        f"{where}: none of the columns {defaults} is there (columns: {there}); name them with query_column "
        "and positive_column"
    )


def pair_of_record(record: dict[str, Any], columns: tuple[str, str], where: str) -> RawPair:
    """Make a pair of a row, whose values may be anything that JSON or Parquet holds.

    Raises:
        PairsError: a side is missing or is not a string.
    """
    sides: list[str] = []
    for column in columns:
        if column not in record:
            raise PairsError(f"{where}: column {column!r} is missing")
        value = record[column]
        if not isinstance(value, str):
            kind = "null" if value is None else type(value).__name__
            raise PairsError(f"{where}: column {column!r} must be a string, got {kind}")
        sides.append(value)
    group = record.get(GROUP) if GROUP not in columns else None
    return RawPair(sides[0], sides[1], None if group is None or group == "" else str(group))


def read_pairs(path: Path, wanted: tuple[str, str] | None) -> Iterator[RawPair]:
    """Read the pairs of one file in the order of its rows. The suffix, one of `SUFFIXES`, tells the format.

    The columns are those that are wanted, or the default ones that the first row has.

    Raises:
        PairsError: the file cannot be read, is empty, or breaks a rule of its format.
    """
    columns: tuple[str, str] | None = None
    try:
        for place, record in _READERS[path.suffix.lower()](path):
            where = f"{path} {place}"
            columns = columns or choose_columns(list(record), wanted, where)
            yield pair_of_record(record, columns, where)
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror or error}") from None
    if columns is None:
        raise PairsError(f"{path} is empty: it holds no pairs")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines decoded one by one, so that a message can name the line with the wrong byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise PairsError(f"{path} line {number}: not UTF-8 at byte {error.start + 1}") from None


def _read_jsonl(path: Path) -> Iterator[Record]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise PairsError(f"{path} line {number}: not valid JSON: {error}") from None
        except RecursionError:
            raise PairsError(f"{path} line {number}: JSON nested too deeply") from None
        if not isinstance(record, dict):
            raise PairsError(f"{path} line {number}: must be a JSON object, got {type(record).__name__}")
        yield f"line {number}", record


def _read_delimited(path: Path, delimiter: str) -> Iterator[Record]:
    # csv.DictReader would pad or swallow a row of another length, where we refuse it
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    try:
        rows = filter(None, reader)
        header = next(rows, [])
        for row in rows:
            if len(row) != len(header):
                raise PairsError(
                    f"{path} line {reader.line_num}: must have {len(header)} columns as the header, got {len(row)}"
                )
            yield f"line {reader.line_num}", dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise PairsError(f"{path} line {reader.line_num}: not valid CSV: {error}") from None


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            records = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(batch_size=10_000))
            for row, record in enumerate(records, start=1):
                yield f"row {row}", record
    except pa.ArrowException as error:
        raise PairsError(f"{path}: not valid Parquet: {first_line(error)}") from None


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    ".jsonl": _read_jsonl,
    ".csv": partial(_read_delimited, delimiter=","),
    ".tsv": partial(_read_delimited, delimiter="\t"),
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)
