"""Records, or a file of anyone's runs, as a table: see `embudget.runs.columns` for what a table is.

A file is CSV or Parquet. Only the columns that are used are read. In CSV a number may have spaces around it, and a
field that is empty, NA, N/A, null or None has no value. Rows count from 1; the header and empty lines are not counted.

pyarrow reads the file rather than pandas, because it keeps an empty field apart from one that says NaN, and because it
turns text into numbers with an error where there is none, from which the row to name is found by halving.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embudget.errors import ConfigError, first_line, shortened
from embudget.reading import check_regular
from embudget.records import COLUMNS, RunRecord, records_frame
from embudget.runs.columns import NEEDED, NUMBERS, SAID_NAN, TEXTS

MAX_BYTES = 1_000_000_000
"""Size of a file, and of the used columns of a Parquet file in memory, above which it is refused unread."""
_NO_VALUE = ("", "na", "n/a", "null", "none")
_KNOWN = (*NUMBERS, *TEXTS)
_ONE_OF = (("model_params",), ("loss",), ("tokens", "train_flops"))
"""A file needs a column of each group."""


def read_records(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Put records in a table, in their order."""
    runs = records_frame(records, [name for name in _KNOWN if name in COLUMNS])
    return runs.assign(**{SAID_NAN: ""}).set_axis(range(1, len(runs) + 1))


def read_runs(path: str | Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a file of runs as a table; ``columns`` maps our names to the file's, or to "" to ignore the file's.

    Raises:
        ConfigError: see `embudget.runs.RunTable.read`.
    """
    file = Path(path)
    if file.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"{file}: a table of runs must end in .csv or .parquet")
    _check_size(file)
    is_csv = file.suffix.lower() == ".csv"
    header = _csv_header(file) if is_csv else _parquet_header(file)
    names = _names(file, header, columns or {})
    table = _read_csv(file, names) if is_csv else _read_parquet(file, names)
    if table.num_rows == 0:
        raise ConfigError(f"{file}: the table has no rows")
    read = {name: _numbers(file, name, _array(table, names[name])) for name in NUMBERS if name in names}
    said_nan = np.full(table.num_rows, "", dtype=object)
    for name in (name for name in reversed(NEEDED) if name in read):  # so that the first of a row is written last
        values, empty = read[name]
        said_nan[np.isnan(values) & ~empty] = name
    if "weight" in read:
        weight, empty = read["weight"]
        weight[empty] = 1.0  # a run that does not say its weight counts once
    runs: dict[str, Any] = {name: values for name, (values, _) in read.items()}
    runs |= {name: _texts(file, name, _array(table, names[name])) for name in TEXTS if name in names}
    return pd.DataFrame(runs | {SAID_NAN: said_nan}).set_axis(range(1, table.num_rows + 1))


def _check_size(file: Path) -> None:
    try:
        check_regular(file)
        size = file.stat().st_size
        with file.open("rb"):  # a forbidden file fails here
            pass
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:  # a name with a NUL
        raise ConfigError(f"cannot read {str(file)!r}: {error}") from None
    if size > MAX_BYTES:
        raise _too_large(file, size)


def _too_large(file: Path, size: float) -> ConfigError:
    return ConfigError(
        f"{file}: {size / 1e9:.3g} GB, more than the {MAX_BYTES / 1e9:g} GB that is read: keep one row a run and only "
        "the columns that are used, such as model_params, loss, tokens and method"
    )


def _csv_header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            header = next((row for row in csv.reader(text) if row), [])
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a UTF-8 text file") from None
    except csv.Error as error:
        raise ConfigError(f"{file}: not a CSV file: {error}") from None
    if not header:
        raise ConfigError(f"{file}: the file is empty")
    return header


def _parquet_header(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: not a Parquet file: {first_line(error)}") from None


def _names(file: Path, header: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The file's name of every column that is used, by ours."""
    found = {name.strip(): name for name in header}
    if len(found) < len(header):
        twice, _ = Counter(name.strip() for name in header).most_common(1)[0]
        raise ConfigError(f"{file}: column {twice or 'without a name'} is there twice")
    there = shortened(", ".join(list(found)[:30]) + (", ..." if len(found) > 30 else ""), 120)
    for ours, theirs in columns.items():
        if ours not in _KNOWN:
            raise ConfigError(f"columns must map one of {', '.join(_KNOWN)}, got {ours!r}")
        if (theirs or ours) not in found:
            what = f"{theirs!r} for {ours}" if theirs else f"{ours!r} to ignore"
            raise ConfigError(f"{file}: there is no column {what} (there are: {there})")
    ours_to_theirs = {name: name for name in _KNOWN if name in found} | dict(columns)
    names = {ours: found[theirs] for ours, theirs in ours_to_theirs.items() if theirs}
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


def _check_distinct(file: Path, names: Mapping[str, str]) -> None:
    by_theirs: dict[str, str] = {}
    for ours, theirs in names.items():
        if theirs in by_theirs:
            raise ConfigError(
                f"{file}: column {theirs.strip()!r} cannot be both {by_theirs[theirs]} and {ours}: "
                "map one of them to another column"
            )
        by_theirs[theirs] = ours


def _read_csv(file: Path, names: Mapping[str, str]) -> pa.Table:
    used = sorted(set(names.values()))
    try:
        return pa_csv.read_csv(
            file,
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(include_columns=used, column_types=dict.fromkeys(used, pa.string())),
        )
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        if "Empty CSV file" in reason:  # a header without a line end
            raise ConfigError(f"{file}: the table has no rows") from None
        if "UTF8" in reason:
            raise ConfigError(f"{file}: not a UTF-8 text file") from None
        raise ConfigError(f"{file}: not a CSV file: {reason.removeprefix('CSV parse error: ')}") from None


def _read_parquet(file: Path, names: Mapping[str, str]) -> pa.Table:
    used = sorted(set(names.values()))
    try:
        size = pq.read_metadata(file).num_rows * 8 * len(used)
        if size > MAX_BYTES:
            raise _too_large(file, size)
        return pq.ParquetFile(file).read(columns=used)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: not a Parquet file: {first_line(error)}") from None


def _numbers(file: Path, name: str, values: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The numbers of a column (n,), and where it has no value (n,)."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.utf8_trim_whitespace(values)
        no_value = pc.is_in(pc.utf8_lower(text), value_set=pa.array(_NO_VALUE, kind))
        values = pc.if_else(no_value, pa.scalar(None, kind), text)
        if not _is_number(values):
            row = _first_text(values)
            said = repr(values[row].as_py())
            raise ConfigError(f"{file}: row {row + 1}: {name} must be a number, got {shortened(said, 60)}")
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
