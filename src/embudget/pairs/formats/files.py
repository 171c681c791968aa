"""Which reader a file is read with: its name tells the format, and whether it is compressed."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from embudget.errors import PairsError, first_line
from embudget.pairs.columns import Record, Table
from embudget.pairs.formats.arrow import is_saved, read_parquet, read_saved
from embudget.pairs.formats.delimited import read_csv, read_tsv
from embudget.pairs.formats.json_rows import rows_of_json, rows_of_jsonl
from embudget.pairs.formats.lines import COMPRESSED
from embudget.pairs.sources.base import RawPair
from embudget.pairs.splitting import Split

Reader = Callable[[Path, Table], Iterator[Record]]

_READERS: dict[str, Reader] = {
    ".jsonl": rows_of_jsonl,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".json": rows_of_json,
    ".ndjson": rows_of_jsonl,
}
SUFFIXES = tuple(_READERS)
"""Endings of files that are read; all but `.parquet` may be followed by `.gz`, `.bz2` or `.xz`."""


def is_readable(path: Path) -> bool:
    """Whether a path is a file of a known format, or a data set that `save_to_disk` wrote."""
    return is_saved(path) or (_reader(path) is not None and path.is_file())


def read_pairs(
    path: Path, wanted: tuple[str, str] | None, table: Table | None = None, split: Split | None = None
) -> Iterator[RawPair]:
    """Read the pairs of one file in the order of its rows.

    Args:
        path: a file that `is_readable`.
        wanted: columns of query and positive; by default those of the first of `embudget.pairs.layouts.LAYOUTS` that
            the first row has.
        table: collects what is passed over, and says whether bad rows may be.
        split: the one that the file belongs to by its name.

    Raises:
        PairsError: the file cannot be read, is empty, or breaks a rule of its format.
    """
    table = table or Table(wanted)
    reader = read_saved if is_saved(path) else _reader(path)
    assert reader is not None
    try:
        yield from table.pairs(reader(path, table), partial(_place, path), split)
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror or first_line(error)}") from None
    except MemoryError:
        raise PairsError(f"{path} does not fit into memory; cut it into several files") from None


def _reader(path: Path) -> Reader | None:
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in COMPRESSED:
        return None if suffixes[0] == ".parquet" else _READERS.get(suffixes[0])
    return _READERS.get(suffixes[-1]) if suffixes else None


def _place(path: Path, row: str) -> str:
    return f"{path} {row}"
