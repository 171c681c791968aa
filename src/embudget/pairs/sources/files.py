"""The user's own files: JSONL, CSV, TSV and Parquet with named columns.

Licence: the user's. A column ``group`` is used where there is one; without it every row is a group of its own. A file
that breaks a rule is refused as a whole, with the line number and the reason: leaving out rows would hide mistakes.
"""

import csv
import glob
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embudget.errors import PairsError
from embudget.pairs.sources.base import RawPair, Rules, Source

COLUMNS = [("query", "positive"), ("anchor", "positive"), ("question", "answer")]
"""Names tried in this order where the user gives none."""
GROUP = "group"

Record = tuple[str, dict[str, Any]]
"""Where it stands ("line 3"), and its values by column."""


class Files(Source):
    """One file, a folder of files, or a glob pattern."""

    rules = Rules(query_words=1, positive_words=1, prose=False, characters=None)

    def __init__(self, path: str, columns: tuple[str, str] | None = None) -> None:
        self.name = f"files:{path}"
        self.path = path
        self.columns = columns

    @property
    def scope(self) -> str:
        """The same for all files: the same content gives the same pairs and splits wherever it lies."""
        return "files"

    def versions(self) -> dict[str, str]:
        """SHA-256 of each file, 16 digits."""
        return {str(path): _digest(path) for path in find_files(self.path)}

    def licences(self) -> dict[str, str]:
        """Unknown to us."""
        return {str(path): "the user's" for path in find_files(self.path)}

    def read(self) -> Iterator[RawPair]:
        """Files in alphabetical order, rows in the order of the file."""
        for path in find_files(self.path):
            yield from _pairs(path, self.columns)


def find_files(path: str) -> list[Path]:
    """The files that a path, a folder or a pattern stands for, in alphabetical order.

    Raises:
        PairsError: there is none, or its format is not known.
    """
    place = Path(path)
    if place.is_file():
        if place.suffix.lower() not in _READERS:
            raise PairsError(f"a pairs file must end in {', '.join(_READERS)}, got {path!r}")
        return [place]
    found = place.rglob("*") if place.is_dir() else map(Path, glob.glob(path, recursive=True))  # noqa: PTH207
    files = sorted(file for file in found if file.suffix.lower() in _READERS and file.is_file())
    if not files:
        raise PairsError(f"no file ending in {', '.join(_READERS)} at {path!r}")
    return files


def choose_columns(names: Sequence[str], wanted: tuple[str, str] | None, where: str) -> tuple[str, str]:
    """The columns of query and positive.

    Raises:
        PairsError: the wanted ones, or any of the default ones, are not among ``names``.
    """
    for pair in [wanted] if wanted else COLUMNS:
        if set(pair) <= set(names):
            return pair
    there = ", ".join(names) or "none"
    if wanted:
        missing = next(name for name in wanted if name not in names)
        raise PairsError(f"{where}: column {missing!r} is missing; there are {there}")
    defaults = ", ".join("/".join(pair) for pair in COLUMNS)
    raise PairsError(
        f"{where}: none of the columns {defaults} is there (columns: {there}); name them with query_column "
        "and positive_column"
    )


def pair_of_record(record: dict[str, Any], columns: tuple[str, str], where: str) -> RawPair:
    """Check one record.

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


def _pairs(path: Path, wanted: tuple[str, str] | None) -> Iterator[RawPair]:
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


def _read_csv(path: Path) -> Iterator[Record]:
    return _read_delimited(path, ",")


def _read_tsv(path: Path) -> Iterator[Record]:
    return _read_delimited(path, "\t")


def _read_delimited(path: Path, delimiter: str) -> Iterator[Record]:
    reader = csv.reader((line for _, line in _lines(path)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = row
                continue
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
            row = 0
            for batch in file.iter_batches(batch_size=10_000):
                for record in batch.to_pylist():
                    row += 1
                    yield f"row {row}", record
    except pa.ArrowException as error:
        raise PairsError(f"{path}: not valid Parquet: {str(error).splitlines()[0]}") from None


_READERS = {".jsonl": _read_jsonl, ".csv": _read_csv, ".tsv": _read_tsv, ".parquet": _read_parquet}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
