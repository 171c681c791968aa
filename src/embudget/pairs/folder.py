"""A folder of text pairs: `train.parquet`, `validation.parquet`, `test.parquet` and `pairs.json`.

Each Parquet file has the columns query, positive, group and source. A folder is written whole or not at all, and its
files are checked against the sizes and hashes in `pairs.json` when it is opened. Instead of one file a split may have
many, such as `train-00000-of-00003.parquet`, which `embudget pairs index` describes where they are.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import ConfigError, PairsError
from embudget.files import whole_folder, write_whole
from embudget.pairs.clean import Row
from embudget.pairs.info import FORMAT, INDEX, FileInfo, PairsInfo
from embudget.pairs.shards import COLUMNS, check_file, describe_file, read_rows
from embudget.pairs.split import SPLITS, Split

if TYPE_CHECKING:
    import pyarrow as pa

INFO_FILE = "pairs.json"
ROW_GROUP = 16_384
"""Rows of a row group in files that we write: what is read at least."""
FILES = frozenset({INFO_FILE, *(f"{split}.parquet" for split in SPLITS)})


@dataclass(frozen=True)
class Pairs:
    """Text pairs on disk, split by group into train, validation and test."""

    folder: Path
    info: PairsInfo

    @property
    def hash(self) -> str:
        """Content hash of the pairs, 16 hexadecimal digits; independent of where they are and of Parquet."""
        return self.info.hash

    def rows(self, split: Split) -> int:
        """Number of pairs in a split."""
        return self.info.splits[split].pairs

    def table(self, split: Split) -> "pa.Table":
        """A split's pairs in their fixed random order: columns query, positive, group, source, all strings.

        Raises:
            PairsError: a file can no longer be read.
        """
        return self.read(split, 0, self.rows(split))

    def head(self, split: Split, count: int) -> "pa.Table":
        """The first ``count`` pairs of a split, or as many as there are; see `table`."""
        return self.read(split, 0, min(count, self.rows(split)))

    def read(self, split: Split, start: int, stop: int) -> "pa.Table":
        """Rows ``start`` to ``stop`` (exclusive) of a split; of its files only the row groups that hold them are read.

        Raises:
            PairsError: a file can no longer be read, or a query or positive is null.
        """
        return read_rows(self.folder, self.info.splits[split].files, self.info.columns, start, stop)


def load_pairs(folder: str | Path) -> Pairs:
    """Open a folder of pairs.

    Raises:
        PairsError: it is missing, is not a folder of pairs, has another format, or is damaged.
    """
    folder = Path(folder)
    if not folder.exists():
        raise PairsError(
            f"pairs folder {folder} does not exist; build it with: embudget pairs build demo --out {folder}"
        )
    if not folder.is_dir():
        raise PairsError(f"pairs must be a folder, got the file {folder}")
    info = read_info(folder)
    for split in SPLITS:
        for file in info.splits[split].files:
            check_file(folder, file, "index the folder again" if info.indexed else "build the pairs again")
    return Pairs(folder, info)


def read_info(folder: Path) -> PairsInfo:
    """Read `pairs.json`.

    Raises:
        PairsError: it is missing, damaged, or of another format.
    """
    path = folder / INFO_FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise PairsError(f"{folder} is not a pairs folder: it holds no {INFO_FILE}") from None
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise PairsError(f"{path} is damaged: not valid JSON: {error}") from None
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise PairsError(f"{path}: format must be {FORMAT}, got {found!r}")
    try:
        info = PairsInfo.read(data, str(path))
    except ConfigError as error:
        raise PairsError(str(error)) from None
    missing = [split for split in SPLITS if split not in info.splits]
    if missing:
        raise PairsError(f"{path}: splits.{missing[0]} is required")
    return info


def content_hash(rows: Mapping[Split, Sequence[Row]]) -> str:
    """16 hexadecimal digits of the SHA-256 of all rows: query, positive, group and scope, so not where a file lies."""
    digest = hashlib.sha256()
    for split in SPLITS:
        digest.update(split.encode())
        for row in rows[split]:
            digest.update("\x1f".join((row.query, row.positive, row.group, row.scope)).encode() + b"\x1e")
    return digest.hexdigest()[:16]


def write_split(folder: Path, split: Split, rows: Sequence[Row]) -> FileInfo:
    """Write a split's file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in COLUMNS}
    path = folder / f"{split}.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=ROW_GROUP)
    return describe_file(path, len(rows))


def write_info(folder: Path, info: PairsInfo) -> None:
    """Write `pairs.json` in one step: a reader sees the old one or the new one."""
    write_whole(folder / INFO_FILE, json.dumps(info.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")


def check_replaceable(out: Path) -> None:
    """Refuse to overwrite what is not ours.

    Raises:
        PairsError: something else than an empty folder or a folder of pairs is there.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise PairsError(f"out must be a folder, got the file {out}")
    try:
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise PairsError(f"cannot read {out}: {error.strerror}") from None
    if INFO_FILE in names and _is_indexed(out):
        raise PairsError(
            f"out must be a new folder or one that was built; {out} holds files of yours that were indexed"
        )
    if names and (INFO_FILE not in names or names - FILES):
        alien = sorted(names - FILES)[:1] or sorted(names)[:1]
        raise PairsError(f"out must be a new folder or one of pairs; {out} holds other files, such as {alien[0]}")


def _is_indexed(folder: Path) -> bool:
    try:
        sources = json.loads((folder / INFO_FILE).read_bytes())["request"]["sources"]
    except (OSError, ValueError, LookupError, TypeError):
        return False
    return bool(sources == [INDEX])


def check_writable(out: Path) -> None:
    """Find out before the work whether a folder can be made at ``out``; makes the folders above it.

    Raises:
        PairsError: it cannot.
    """
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-").cleanup()
    except OSError as error:
        raise _cannot_write(out, error) from None


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that becomes ``out`` if the block succeeds, and disappears if it does not.

    Raises:
        PairsError: it cannot be made, written or moved: no permission, a full disk, something else in its place.
    """
    try:
        with whole_folder(out.resolve()) as part:  # behind a symbolic link, the real folder is replaced
            yield part
            check_replaceable(out)  # once more: building took its time
    except OSError as error:
        raise _cannot_write(out, error) from None


def _cannot_write(out: Path, error: OSError) -> PairsError:
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    return PairsError(f"cannot write {out}: {reason}")
