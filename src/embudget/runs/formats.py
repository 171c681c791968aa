"""How is a file of runs written? CSV, TSV, JSON Lines or Parquet, as its ending and, of a text, its header say.

What parts the columns of a text file is the comma, semicolon or tab that gives its header most names: spreadsheets of
many countries write semicolons into what they call CSV. In JSON Lines a row may lack a name that others have.

pyarrow reads CSV rather than pandas, because it keeps an empty field apart from one that says NaN.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from embudget.errors import ConfigError, first_line, shortened
from embudget.reading import check_regular, read_json_lines
from embudget.runs.columns import ENDINGS, INSTEAD

_SEPARATORS = ",;\t"


class Opened(NamedTuple):
    """A file whose header is known and whose columns can be read."""

    header: list[str]
    read: Callable[[list[str]], pa.Table]
    """Reads the columns of these names."""
    rows: list[dict[str, Any]] | None = None
    """The objects of JSON Lines."""


def open_table(file: Path, most: int) -> Opened:
    """Look at the beginning of a file of runs, of at most ``most`` bytes.

    Raises:
        ConfigError: its ending says another format (and the message what to do), or it cannot be read, is too large,
            empty, or not what its ending says.
    """
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        instead = f": {INSTEAD[ending]}" if ending in INSTEAD else ""
        raise ConfigError(f"{file}: a table of runs must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}{instead}")
    _check_size(file, most)
    if ending == ".parquet":
        return Opened(_parquet_header(file), lambda used: _read_parquet(file, used, most))
    if ending in (".csv", ".tsv"):
        return _open_text(file)
    rows = read_json_lines(file)
    if not rows:
        raise ConfigError(f"{file}: the file is empty")
    header = list(dict.fromkeys(name for row in rows for name in row))
    return Opened(header, lambda used: pa.table({name: _texts(file, name, rows) for name in used}), rows)


def _check_size(file: Path, most: int) -> None:
    try:
        check_regular(file)
        size = file.stat().st_size
        with file.open("rb"):  # a forbidden file fails here
            pass
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:  # a name with a NUL
        raise ConfigError(f"cannot read {str(file)!r}: {error}") from None
    if size > most:
        raise _too_large(file, size, most)


def _too_large(file: Path, size: float, most: int) -> ConfigError:
    return ConfigError(
        f"{file}: {size / 1e9:.3g} GB, more than the {most / 1e9:g} GB that is read: keep one row a run and only "
        "the columns that are used, such as model_params, loss, tokens and method"
    )


def _open_text(file: Path) -> Opened:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = next((line for line in text if line.strip()), "")
            separator = max(_SEPARATORS, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
            text.seek(0)
            header = next((row for row in csv.reader(text, delimiter=separator) if row), [])
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a UTF-8 text file") from None
    except csv.Error as error:
        raise ConfigError(f"{file}: not a CSV file: {error}") from None
    if not header:
        raise ConfigError(f"{file}: the file is empty")
    return Opened(header, lambda used: _read_text(file, separator, used))


def _read_text(file: Path, separator: str, used: list[str]) -> pa.Table:
    try:
        return pa_csv.read_csv(
            file,
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(include_columns=used, column_types=dict.fromkeys(used, pa.string())),
        )
    except (pa.ArrowException, OSError) as error:
        reason = first_line(error)
        if "Empty CSV file" in reason:  # a header without a line end
            raise ConfigError(f"{file}: the table has no rows") from None
        if "UTF8" in reason:
            raise ConfigError(f"{file}: not a UTF-8 text file") from None
        raise ConfigError(f"{file}: not a CSV file: {reason.removeprefix('CSV parse error: ')}") from None


def _texts(file: Path, name: str, rows: list[dict[str, Any]]) -> pa.Array:
    """A column of JSON Lines as texts, so that numbers and texts may stand in one; what is absent or null is null."""
    values: list[str | None] = []
    for number, row in enumerate(rows, start=1):
        value = row.get(name)
        if isinstance(value, bool | list | dict):
            said = shortened(str(value).lower() if isinstance(value, bool) else str(value), 60)
            raise ConfigError(f"{file}: row {number}: {name} must be a number or a text, got {said}")
        values.append(value if value is None or isinstance(value, str) else repr(value))
    return pa.array(values, pa.string())


def _parquet_header(file: Path) -> list[str]:
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: not a Parquet file: {first_line(error)}") from None


def _read_parquet(file: Path, used: list[str], most: int) -> pa.Table:
    try:
        size = pq.read_metadata(file).num_rows * 8 * len(used)
        if size > most:
            raise _too_large(file, size, most)
        return pq.ParquetFile(file).read(columns=used)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: not a Parquet file: {first_line(error)}") from None
