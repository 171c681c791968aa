"""A split as one or more Parquet files: whether they are still the same, and their rows in bounded memory.

The rows of a split are those of its files, one file after the other. To tell a file from a changed one, its size and a
SHA-256 are kept: of the whole file up to 64 MiB, of 64 pieces of 1 MiB of a larger one. If a split has many files, they
share 64 pieces, two at least for each, so that opening a folder takes seconds at any size. The last MiB of a
Parquet file is always hashed, because it holds the counts, offsets and sizes of all its parts.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import PairsError, first_line
from embudget.files import PIECE_BYTES, PIECES, pieces
from embudget.pairs.manifest import SIDES, FileInfo, Side
from embudget.pairs.negatives import NEGATIVES

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("query", "positive", "group", "source")
_BATCH = 8192  # rows decoded at a time, so that a file with one huge row group needs no more memory than others


def pieces_for(files: int) -> int:
    """Say how many pieces of 1 MiB of each file to hash, if a split has so many ``files``."""
    return max(2, PIECES // files)


def describe_file(path: Path, rows: int, count: int = PIECES) -> FileInfo:
    """Describe a file of so many rows by its size and hash, for which at most ``count`` MiB of it are read.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    covered = count if size > count * PIECE_BYTES else None
    return FileInfo(name=path.name, pairs=rows, bytes=size, sha256=_digest(path, size, covered), pieces=covered)


def check_file(folder: Path, file: FileInfo, remedy: str) -> None:
    """Compare a file with what `pairs.json` says of it.

    Raises:
        PairsError: it is missing, cannot be read, or has another content; the message ends with ``remedy``.
    """
    path = folder / file.name
    try:
        size = path.stat().st_size
        if size != file.bytes:
            raise PairsError(f"{path} is damaged: {file.bytes} bytes expected, got {size}; {remedy}")
        digest = _digest(path, size, file.pieces)
    except FileNotFoundError:
        raise PairsError(f"{path} is missing; {remedy}") from None
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
    if digest != file.sha256:
        raise PairsError(f"{path} is damaged: its content is not what pairs.json says; {remedy}")


def _digest(path: Path, size: int, covered: int | None) -> str:
    if covered is None:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256(str(size).encode())
    for piece in pieces(path, covered):
        digest.update(piece)
    return digest.hexdigest()


def read_rows(
    folder: Path,
    files: Sequence[FileInfo],
    columns: Mapping[Side, str],
    start: int,
    stop: int,
    negatives: Sequence[str] = (NEGATIVES,),
) -> "pa.Table":
    """Read rows ``start`` to ``stop`` (exclusive) of a split, decoding only the row groups that hold them.

    ``columns`` holds the names of query and positive in the files, if they have others, and ``negatives`` those of
    columns with hard negatives, texts or lists of them, which become one list.

    Returns:
        A table of (stop - start, 4): query, positive, group and source, all strings; group and source are empty if a
        file lacks them. If the files hold hard negatives, there is a fifth column, negatives, lists of strings; it is
        null for the rows of a file without.

    Raises:
        PairsError: a file can no longer be read, or a query or positive is null.
    """
    import pyarrow as pa

    parts = [pa.table({name: pa.array([], pa.string()) for name in COLUMNS})]
    first = 0
    for file in files:
        begin, end = max(start - first, 0), min(stop - first, file.pairs)
        if begin < end:
            path = folder / file.name
            try:
                parts.append(_read_file(path, columns, begin, end, negatives))
            except (OSError, LookupError, pa.ArrowException) as error:
                raise PairsError(f"cannot read {path}: {first_line(error)}") from None
        first += file.pairs
    return pa.concat_tables(parts, promote_options="default")


def iter_rows(folder: Path, files: Sequence[FileInfo], columns: Mapping[Side, str]) -> "Iterator[pa.Table]":
    """Read all rows of a split in their order, in tables of up to 8,192 rows as `read_rows` gives them, each once.

    Raises:
        PairsError: as `read_rows`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for entry in files:
        path = folder / entry.name
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_BATCH, columns=_there(file.schema_arrow.names, columns)):
                    yield _named(pa.Table.from_batches([batch]), path, columns)
        except (OSError, LookupError, pa.ArrowException) as error:
            raise PairsError(f"cannot read {path}: {first_line(error)}") from None


def _stored(columns: Mapping[Side, str]) -> dict[str, str]:
    """The name of each of our columns in the files."""
    return {name: name for name in COLUMNS} | dict(columns)


def _there(names: Sequence[str], columns: Mapping[Side, str]) -> list[str]:
    return [name for name in _stored(columns).values() if name in names]


def _named(table: "pa.Table", path: Path, columns: Mapping[Side, str]) -> "pa.Table":
    """Give a table of a file our columns; those that it lacks are empty.

    Raises:
        PairsError: a query or positive is null.
    """
    import pyarrow as pa

    stored = _stored(columns)
    for side in SIDES:
        if table.column(stored[side]).null_count:
            raise PairsError(f"{path}: column {stored[side]!r} must have no nulls")
    nothing = pa.repeat(pa.scalar("", pa.string()), table.num_rows)
    there = table.column_names
    return pa.table(
        {name: table.column(old).cast(pa.string()) if old in there else nothing for name, old in stored.items()}
    )


def _read_file(path: Path, columns: Mapping[Side, str], begin: int, end: int, negatives: Sequence[str]) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        there = _there(file.schema_arrow.names, columns)
        against = [name for name in negatives if name in file.schema_arrow.names and name not in there]
        against = [name for name in against if holds_texts(file.schema_arrow.field(name).type)]
        groups, at = _row_groups(file.metadata, begin, end)
        batches = []
        for batch in file.iter_batches(_BATCH, row_groups=groups, columns=[*there, *against]):
            low, high = max(begin - at, 0), min(end - at, len(batch))
            if low < high:
                batches.append(batch.slice(low, high - low))
            at += len(batch)
            if at >= end:
                break
    table = pa.Table.from_batches(batches)
    if table.num_rows != end - begin:
        raise PairsError(f"{path} must hold {end} rows or more, got {at}: it has changed since it was opened")
    named = _named(table, path, columns)
    return named.append_column(NEGATIVES, _lists(table.select(against))) if against else named


def holds_texts(kind: "pa.DataType") -> bool:
    """Whether a column of this type holds texts or lists of texts, nulls alone included."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(one(kind) for one in texts)


def _lists(table: "pa.Table") -> "pa.Array | pa.ChunkedArray":
    """Put all texts of a row into one list; nulls and empty texts are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.list_(pa.string())
    if table.num_columns == 1 and pa.types.is_list(table.column(0).type):
        lists = table.column(0).cast(kind)
        texts = pc.list_flatten(lists)
        if not texts.null_count and not pc.any(pc.equal(texts, "")).as_py():
            return lists
    rows: list[list[str]] = [[] for _ in range(table.num_rows)]
    for column in table.columns:
        for row, cell in zip(rows, column.to_pylist(), strict=True):
            row.extend(filter(None, cell if isinstance(cell, list) else [cell]))
    return pa.array(rows, kind)


def _row_groups(metadata: "pa.parquet.FileMetaData", begin: int, end: int) -> tuple[list[int], int]:
    """Find the row groups that hold rows ``begin`` to ``end`` (exclusive), and the first row of the first of them."""
    sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    starts = list(accumulate(sizes, initial=0))
    groups = [group for group, (first, after) in enumerate(pairwise(starts)) if first < end and after > begin]
    return groups, starts[groups[0]] if groups else 0
