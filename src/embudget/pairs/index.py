"""How the user's own Parquet files become a folder of pairs, without loading or rewriting them.

Pairs of any size are opened in seconds, because only the files' metadata and up to 64 MiB of each split are read. When
they are indexed, all queries are read once as well: held-out ones must not be in the training split. The price is that
rows are taken as they are: not cleaned, in the splits that the files' names say, in the order of the names and of the
rows.

The order of the training pairs does not matter, since runs permute them and the lengths of texts are measured on evenly
spaced ones. Neither does that of the validation pairs: runs are measured on some that are drawn evenly over the columns
source and group, where there are any (`embudget.pairs.sample`).
"""

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import PairsError, first_line
from embudget.pairs.columns import named_columns
from embudget.pairs.folder import Pairs, load_pairs
from embudget.pairs.layouts import PairLayout, choose_layout, negative_columns, shown
from embudget.pairs.manifest import (
    INDEX,
    MANIFEST,
    SIDES,
    FileInfo,
    PairsInfo,
    Request,
    SourceInfo,
    SplitInfo,
    read_info,
    write_info,
)
from embudget.pairs.overlap import check_held_out
from embudget.pairs.remarks import remarks
from embudget.pairs.shards import describe_file, holds_texts, pieces_for
from embudget.pairs.splitting import SPLITS, Split

if TYPE_CHECKING:
    import pyarrow as pa

LOG = logging.getLogger(__name__)
_OTHERS = ("group", "source")  # columns that are used where they are there
_SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet$")


def index_pairs(
    folder: str | Path,
    *,
    query_column: str | None = None,
    positive_column: str | None = None,
    on_remark: Callable[[str], None] = LOG.warning,
) -> Pairs:
    """Turn a folder of your own Parquet files into one of pairs: write its `pairs.json`, touch nothing else.

    The files may have any number of rows. Remove duplicates before, and pairs of the training split from the others, or
    use `build_pairs`, which does so but holds all rows in memory.

    Args:
        folder: holds `train*.parquet`, `validation*.parquet` and perhaps `test*.parquet`. A split is one file, several,
            or a complete set such as `train-00000-of-00003.parquet`. An index from before is replaced.
        query_column: the column of the queries; by default query, anchor or question.
        positive_column: the column of the positives; by default positive or answer. Columns `group` and `source` are
            used if they are there, and so are hard negatives: `negatives`, or `negative`, `negative_1` and so on.
        on_remark: called with each line about what is not used; by default a warning is logged.

    Raises:
        PairsError: a file is missing, is not Parquet, or lacks a column of strings without nulls; there is no pair
            to train on or to validate; a held-out query is in the training split; or the folder cannot be written.
            Nothing is written then.

    Example:
        >>> pairs = index_pairs("shards/", query_column="title", positive_column="body")
        >>> pairs.read("train", 1_000_000, 1_000_008).num_rows
        8
    """
    folder = Path(folder)
    wanted = named_columns(query_column, positive_column)
    if not folder.is_dir():
        raise PairsError(f"folder must be one that holds train*.parquet and validation*.parquet, got {str(folder)!r}")
    found = {split: _find(folder, split) for split in SPLITS}
    first = found["train"][0]
    names = _open(first).schema.to_arrow_schema().names
    layout = choose_layout(names, wanted, str(first)).layout
    _check_plain(layout, first)
    columns = layout.query, layout.positive
    negatives = negative_columns(layout, names)
    ignored = [name for name in names if name not in (*columns, *negatives, *_OTHERS)]
    splits = {split: _describe(paths, columns, negatives) for split, paths in found.items()}
    for split in ("train", "validation"):
        if not splits[split].pairs:
            raise PairsError(f"{folder} must hold at least 1 {split} pair, got 0")
    check_held_out(found, columns[0])
    info = PairsInfo(
        hash=_hash(splits, (*columns, *negatives)),
        request=Request(sources=(INDEX,), versions={}),
        columns={side: name for side, name in zip(SIDES, columns, strict=True) if side != name},
        negatives=negatives,
        splits=splits,
        sources={
            INDEX: SourceInfo(
                candidates=sum(info.pairs for info in splits.values()),
                dropped={},
                pairs={split: info.pairs for split, info in splits.items()},
                versions={},
                licences={folder.name: "the user's"},
                ignored_columns=tuple(map(shown, ignored)),
                read_as=(f"{layout.name}: {', '.join(map(shown, (*columns, *negatives)))}",) if negatives else (),
            )
        },
    )
    _write(folder, info)
    for line in remarks(info):
        on_remark(line)
    return load_pairs(folder)


def _check_plain(layout: PairLayout, path: Path) -> None:
    """Refuse rows that are not one pair each: an index takes them as they are."""
    if layout.is_plain:
        return
    several = f"column {layout.positive!r} holds several positives a row"
    why = "its scores say which rows are pairs" if layout.scored else several
    raise PairsError(
        f"{path}: rows of the layout {layout.name} cannot be indexed, because {why}: build pairs of them "
        f"(embudget pairs build files:{path.parent}), or name two columns of texts"
    )


def _find(folder: Path, split: Split) -> list[Path]:
    """List a split's files by name; only the test split may have none.

    Raises:
        PairsError: there is no file, a set of shards is incomplete, or there are two sets.
    """
    paths = sorted(folder.glob(f"{split}*.parquet"))
    if not paths and split != "test":
        raise PairsError(f"{folder} must hold {split}*.parquet, got no such file")
    shards = [match for path in paths if (match := _SHARD.match(path.name))]
    if shards and len(shards) < len(paths):
        other = next(path.name for path in paths if not _SHARD.match(path.name))
        raise PairsError(f"{folder} must hold one set of {split} files, got {shards[0][0]} and {other}")
    sets = {(shard["stem"], shard["count"]) for shard in shards}
    for stem, count in sorted(sets):
        numbers = {int(shard["number"]) for shard in shards if (shard["stem"], shard["count"]) == (stem, count)}
        missing = sorted(set(range(int(count))) - numbers)
        if missing:
            raise PairsError(f"{folder / f'{stem}-{missing[0]:0{len(count)}}-of-{count}.parquet'} is missing")
    if len(sets) > 1:
        raise PairsError(
            f"{folder} must hold one set of {split} files, got {' and '.join(map('-of-'.join, sorted(sets)))}"
        )
    return paths


def _describe(paths: Sequence[Path], columns: tuple[str, str], negatives: Sequence[str]) -> SplitInfo:
    files = tuple(_file(path, columns, negatives, pieces_for(len(paths))) for path in paths)
    return SplitInfo(pairs=sum(file.pairs for file in files), files=files)


def _file(path: Path, columns: tuple[str, str], negatives: Sequence[str], pieces: int) -> FileInfo:
    metadata = _open(path)
    schema = metadata.schema.to_arrow_schema()
    choose_layout(schema.names, columns, str(path))
    for name in (*columns, *_OTHERS):
        if name in schema.names:
            _check_strings(path, name, schema.field(name).type)
        if name in columns:
            _check_nulls(path, name, metadata)
    for name in negatives:
        if name in schema.names and not holds_texts(schema.field(name).type):
            raise PairsError(
                f"{path}: column {name!r} must hold strings or lists of them, got {schema.field(name).type}"
            )
    try:
        return describe_file(path, metadata.num_rows, pieces)
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None


def _open(path: Path) -> "pa.parquet.FileMetaData":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise PairsError(f"{path}: not valid Parquet: {first_line(error)}") from None


def _check_strings(path: Path, name: str, kind: "pa.DataType") -> None:
    import pyarrow as pa

    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(values) or pa.types.is_large_string(values) or pa.types.is_string_view(values)):
        raise PairsError(f"{path}: column {name!r} must hold strings, got {kind}")


def _check_nulls(path: Path, name: str, metadata: "pa.parquet.FileMetaData") -> None:
    """Refuse a column if the metadata count nulls in it. Files may leave the count out; `read_rows` looks again."""
    at = next(at for at in range(metadata.num_columns) if metadata.schema.column(at).path == name)
    parts = (metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups))
    nulls = sum(part.null_count for part in parts if part is not None and part.has_null_count)
    if nulls:
        raise PairsError(f"{path}: column {name!r} must have no nulls, got {nulls}")


def _hash(splits: dict[Split, SplitInfo], columns: Sequence[str]) -> str:
    """Hash the names of the columns that are used and each file's digest and rows: 16 hexadecimal digits of a SHA-256.

    The files' names are left out, so that moved and renamed files are the same pairs.
    """
    digest = hashlib.sha256("\x1f".join(columns).encode())
    for split, info in splits.items():
        digest.update(f"\x1e{split}".encode())
        for file in info.files:
            digest.update(f"\x1f{file.sha256} {file.pairs}".encode())
    return digest.hexdigest()[:16]


def _write(folder: Path, info: PairsInfo) -> None:
    """Write `pairs.json`; token statistics from before are kept if the files are the same."""
    path = folder / MANIFEST
    if path.exists():
        old = read_info(folder)
        if not old.indexed:
            raise PairsError(f"folder must hold files of yours to index; {folder} holds pairs that embudget built")
        if old.hash == info.hash:
            info = info.model_copy(update={"tokens": old.tokens})
    try:
        write_info(folder, info)
    except OSError as error:
        raise PairsError(f"cannot write {path}: {error.strerror}") from None
