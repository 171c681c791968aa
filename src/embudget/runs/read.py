"""Records, or a file of anyone's runs, as a table: see `embudget.runs.columns` for what a table is.

Only the columns that are used are read, each under the file's name for it. That name may be followed by a factor that
brings its numbers to our unit, `params*1e6` or `bits/1.4427`; a column that has the whole of it for its name, as
`eval/loss`, is that column. In text files a number may have spaces around it, and a field that is empty, NA, N/A, null
or None has no value. Rows count from 1; the header and empty lines are not counted.

pyarrow turns text into numbers with an error where there is none, from which the row to name is found by halving.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embudget.errors import ConfigError, shortened
from embudget.number import read_number
from embudget.records import COLUMNS, RunRecord, record_row, rows_frame
from embudget.runs.columns import BY_GROUP, NEEDED, NUMBERS, SAID_NAN, TEXTS
from embudget.runs.formats import open_table
from embudget.runs.groups import LossesByGroup, losses_by_group

MAX_BYTES = 1_000_000_000
"""Size of a file, and of the used columns of a Parquet file in memory, above which it is refused unread."""
_NO_VALUE = ("", "na", "n/a", "null", "none")
_KNOWN = (*NUMBERS, *TEXTS)
_ONE_OF = (("model_params",), ("loss",), ("tokens", "train_flops"))
"""A file needs a column of each group."""
_OF_RECORDS = tuple(name for name in _KNOWN if name in COLUMNS)
_SCALED = re.compile(r"(?P<name>.*?\S)\s*(?P<sign>[*/])\s*(?P<factor>[^*/]*)")
_WITH_COMMA = re.compile(r"'[+-]?[\d.]*,[\d.,]*'")


class _Column(NamedTuple):
    """The file's name of a column, and what its numbers are multiplied by."""

    name: str
    factor: float = 1.0


def read_records(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Put records in a table, in their order."""
    return table_of_rows(record_row(record, _OF_RECORDS) | {"groups": record.groups} for record in records)


def table_of_rows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Put flat rows of records, as `embudget.study.Store.rows` gives them, in a table, in their order.

    Each row is let go before the next is asked for: of 100,000 runs with losses by 100 groups only these stay.
    """
    groups: list[LossesByGroup] = []
    known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def noted() -> Iterator[Mapping[str, Any]]:
        for row in rows:
            groups.append(losses_by_group(row["groups"], known))
            yield row

    runs = rows_frame(noted(), _OF_RECORDS)
    runs = runs.assign(**{SAID_NAN: ""})
    if any(one.names for one in groups):
        runs[BY_GROUP] = pd.Series(groups, dtype=object)
    return runs.set_axis(range(1, len(runs) + 1))


def read_runs(path: str | Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a file of runs as a table; ``columns`` maps our names to the file's, or to "" to ignore the file's.

    Raises:
        ConfigError: see `embudget.runs.RunTable.read`.
    """
    file = Path(path)
    opened = open_table(file, MAX_BYTES)
    if opened.rows is not None and isinstance(opened.rows[0].get("config"), dict):
        if columns:
            raise ConfigError(f"{file}: holds records of embudget, whose names are ours: leave --columns out")
        return read_records(RunRecord.read(row, f"{file}: row {i}") for i, row in enumerate(opened.rows, start=1))
    names = _names(file, opened.header, columns or {})
    table = opened.read(sorted({column.name for column in names.values()}))
    if table.num_rows == 0:
        raise ConfigError(f"{file}: the table has no rows")
    read = {name: _numbers(file, name, _array(table, names[name].name)) for name in NUMBERS if name in names}
    said_nan = np.full(table.num_rows, "", dtype=object)
    for name in (name for name in reversed(NEEDED) if name in read):  # so that the first of a row is written last
        values, empty = read[name]
        said_nan[np.isnan(values) & ~empty] = name
    if "weight" in read:
        weight, empty = read["weight"]
        weight[empty] = 1.0  # a run that does not say its weight counts once
    with np.errstate(over="ignore", under="ignore"):  # `embudget.runs.clean` leaves out what is infinite or 0
        runs: dict[str, Any] = {name: values * names[name].factor for name, (values, _) in read.items()}
    runs |= {name: _texts(file, name, _array(table, names[name].name)) for name in TEXTS if name in names}
    return pd.DataFrame(runs | {SAID_NAN: said_nan}).set_axis(range(1, table.num_rows + 1))


def _names(file: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, _Column]:
    """The file's name of every column that is used, by ours."""
    found = {name.strip(): name for name in header}
    if len(found) < len(header):
        twice, _ = Counter(name.strip() for name in header).most_common(1)[0]
        raise ConfigError(f"{file}: column {twice or 'without a name'} is there twice")
    there = shortened(", ".join(list(found)[:30]) + (", ..." if len(found) > 30 else ""), 120)
    mapped = {name: _Column(name) for name in _KNOWN if name in found}
    for ours, written in columns.items():
        if ours not in _KNOWN:
            raise ConfigError(f"columns must map one of {', '.join(_KNOWN)}, got {ours!r}")
        theirs = _column(file, ours, written or ours, found)
        if theirs.name not in found:
            what = f"{theirs.name!r} for {ours}" if written else f"{ours!r} to ignore"
            raise ConfigError(f"{file}: there is no column {what} (there are: {there})")
        mapped[ours] = theirs if written else _Column("")
    names = {ours: _Column(found[name], factor) for ours, (name, factor) in mapped.items() if name}
    _check_distinct(file, names)
    for group in _ONE_OF:
        if not any(name in names for name in group):
            raise ConfigError(
                f"{file}: column {' or '.join(group)} is missing (there are: {there}); where it has another name, "
                f"map it: --columns {group[0]}=NAME"
            )
    for value in ("rank", "active_fraction"):
        if value in names and "method" not in names:
            raise ConfigError(f"{file}: column {value} needs a column method, whose value it is")
    return names


def _column(file: Path, ours: str, written: str, found: Mapping[str, str]) -> _Column:
    """Read NAME, NAME*FACTOR or NAME/FACTOR; a column of the file that is called so is that column."""
    parts = None if written in found else _SCALED.fullmatch(written)
    if parts is None or (parts["name"] not in found and not parts["factor"][:1].isdigit()):
        return _Column(written)
    factor = read_number(parts["factor"], f"{file}: the factor in {ours}={written}", above=0)
    if ours in TEXTS:
        raise ConfigError(f"{file}: {ours} is a text and takes no factor, got {ours}={written}")
    return _Column(parts["name"], factor if parts["sign"] == "*" else 1 / factor)


def _check_distinct(file: Path, names: Mapping[str, _Column]) -> None:
    by_theirs: dict[str, str] = {}
    for ours, (theirs, _) in names.items():
        if theirs in by_theirs:
            raise ConfigError(
                f"{file}: column {theirs.strip()!r} cannot be both {by_theirs[theirs]} and {ours}: "
                "map one of them to another column"
            )
        by_theirs[theirs] = ours


def _numbers(file: Path, name: str, values: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers of a column (n,), and where it has no value (n,)."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.utf8_trim_whitespace(values)
        no_value = pc.is_in(pc.utf8_lower(text), value_set=pa.array(_NO_VALUE, kind))
        values = pc.if_else(no_value, pa.scalar(None, kind), text)
        if not _is_number(values):
            row = _first_text(values)
            said = shortened(repr(values[row].as_py()), 60)
            plain = "; write numbers with a point and without commas, as in 1234.5" * bool(_WITH_COMMA.fullmatch(said))
            raise ConfigError(f"{file}: row {row + 1}: {name} must be a number, got {said}{plain}")
    elif not any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal,
                                               pa.types.is_null)):  # fmt: skip
        raise ConfigError(f"{file}: column {name} must hold numbers, got {kind}")
    empty = pc.is_null(values).to_numpy(zero_copy_only=False)
    return pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64), empty


def _is_number(values: pa.Array) -> bool:
    try:
        pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _first_text(values: pa.Array) -> int:
    """The place of the first value that is no number: halve the column until it is alone."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _is_number(values[low:middle]) else (low, middle)
    return low


def _texts(file: Path, name: str, values: pa.Array) -> "pd.Series[str]":
    try:
        text = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    except pa.ArrowException:
        raise ConfigError(f"{file}: column {name} must hold text, got {values.type}") from None
    texts: pd.Series[str] = pc.fill_null(text, "").to_pandas()
    return texts


def _array(table: pa.Table, name: str) -> pa.Array:
    """A column as one plain array: pandas writes its categories as a dictionary."""
    values = table.column(name).combine_chunks()
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
