"""Pairs in Parquet, and in the folders that `save_to_disk` of the library datasets writes.

Only the columns that are used are read, so the others may hold anything.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.errors import PairsError, first_line
from embudget.pairs.columns import Record, Table
from embudget.pairs.layouts import GROUP
from embudget.reading import read_json

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000  # decoded at a time
_STATE, _SPLITS = "state.json", "dataset_dict.json"
METADATA = frozenset({_STATE, _SPLITS, "dataset_info.json", "dataset_infos.json", "pairs.json"})
"""Names of JSON files that describe data and hold none."""


def read_parquet(path: Path, table: Table) -> Iterator[Record]:
    """Read the rows of a Parquet file.

    Raises:
        PairsError: it is not valid, or lacks a column.
        OSError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            used = _used(file.schema_arrow.names, table, path)
            yield from _rows(file.iter_batches(batch_size=_ROWS, columns=used))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise PairsError(f"{path}: not valid Parquet: {first_line(error)}") from None


def is_saved(path: Path) -> bool:
    """Whether a folder is a data set, or several splits of one, that `save_to_disk` wrote."""
    return path.is_dir() and ((path / _STATE).is_file() or (path / _SPLITS).is_file())


def saved_files(path: Path) -> list[Path]:
    """List the files of a saved data set, for a hash."""
    return sorted(file for file in path.rglob("*") if file.suffix in (".arrow", ".json") and file.is_file())


def saved_splits(path: Path) -> list[str]:
    """List the splits of a saved data set, which are folders in it; none if it was saved as one.

    Raises:
        PairsError: their list is not valid.
    """
    return _strings(path / _SPLITS, "splits") if (path / _SPLITS).is_file() else []


def read_saved(path: Path, table: Table) -> Iterator[Record]:
    """Read the rows of one split that `save_to_disk` wrote.

    Raises:
        PairsError: it is not valid, or lacks a column.
        OSError: it cannot be read.
    """
    import pyarrow as pa

    state = _json(path / _STATE)
    if state.get("_indices_data_files"):
        raise PairsError(f"{path}: its rows are chosen by an index; call flatten_indices() and save it again")
    names = [file.get("filename") for file in state.get("_data_files") or [] if isinstance(file, dict)]
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise PairsError(f"{path / _STATE}: filename must be the name of a file beside it, got {name!r}")
        try:
            with pa.memory_map(str(path / name)) as file:
                stream = pa.ipc.open_stream(file)
                used = _used(stream.schema.names, table, path / name)
                yield from _rows(batch.select(used) for batch in stream)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise PairsError(f"{path / name}: not valid Arrow: {first_line(error)}") from None


def _used(names: list[str], table: Table, path: Path) -> list[str]:
    used = table.choose(names, str(path)).used
    return [name for name in names if name in used or name == GROUP]


def _rows(batches: "Iterable[pa.RecordBatch]") -> Iterator[Record]:
    row = 0
    for batch in batches:
        for start in range(0, len(batch), _ROWS):
            for record in batch.slice(start, _ROWS).to_pylist():
                row += 1
                yield f"row {row}", record


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise PairsError(f"{path} is missing; save the data set again")
    value = read_json(path, PairsError)
    if not isinstance(value, dict):
        raise PairsError(f"{path}: must be a JSON object, got {type(value).__name__}")
    return value


def _strings(path: Path, key: str) -> list[str]:
    value = _json(path).get(key)
    names = [one for one in value if isinstance(one, str) and Path(one).name == one] if isinstance(value, list) else []
    if not names or names != value:
        raise PairsError(f"{path}: {key} must be a list of names, got {str(value)[:60]!r}")
    return names
