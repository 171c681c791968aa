"""A folder of text pairs: opening one, and making one without harming what is already there.

A folder that embudget built holds `train.parquet`, `validation.parquet`, `test.parquet` and `pairs.json`; each Parquet
file has the columns query, positive, group and source. A split may also have many files, such as
`train-00000-of-00003.parquet`: those are the user's own, described in place by `embudget pairs index`.

A folder is written whole or not at all. When it is opened, its files are compared with the sizes and hashes in
`pairs.json`, so that a run never trains on damaged or changed pairs under the name of the old ones.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import PairsError
from embudget.files import whole_folder
from embudget.pairs.manifest import INDEX, MANIFEST, PairsInfo, read_info
from embudget.pairs.shards import check_file, read_rows
from embudget.pairs.splitting import SPLITS, Split

if TYPE_CHECKING:
    import pyarrow as pa

_OURS = frozenset({MANIFEST, *(f"{split}.parquet" for split in SPLITS)})


@dataclass(frozen=True)
class Pairs:
    """Text pairs on disk, split by group into train, validation and test.

    Make one with `build_pairs`, `index_pairs` or `load_pairs`. Rows are read when they are asked for, so that pairs
    larger than memory are no problem.

    Example:
        >>> pairs = load_pairs("pairs/")
        >>> pairs.rows("train")
        108732
        >>> pairs.head("test", 2).column_names
        ['query', 'positive', 'group', 'source']
    """

    folder: Path
    info: PairsInfo

    @property
    def hash(self) -> str:
        """Content hash of the pairs, 16 hexadecimal digits.

        Pairs that embudget built are hashed by their texts and groups, so that neither the folder nor the way in which
        Parquet wrote them matters. Indexed pairs are hashed by their files: the same rows in other files have another
        hash.
        """
        return self.info.hash

    def rows(self, split: Split) -> int:
        """Return the number of pairs in a split."""
        return self.info.splits[split].pairs

    def table(self, split: Split) -> "pa.Table":
        """Read all pairs of a split in their fixed order, which is random if they were built.

        Returns:
            A table of (`rows`, 4): the columns query, positive, group and source, all strings.

        Raises:
            PairsError: a file can no longer be read, or a query or positive is null.
        """
        return self.read(split, 0, self.rows(split))

    def head(self, split: Split, count: int) -> "pa.Table":
        """Read the first ``count`` pairs of a split, or as many as there are, see `table`."""
        return self.read(split, 0, min(count, self.rows(split)))

    def read(self, split: Split, start: int, stop: int) -> "pa.Table":
        """Read rows ``start`` to ``stop`` (exclusive) of a split, see `table`.

        Only the Parquet row groups that hold these rows are read: 16,384 rows each in files that embudget wrote.
        """
        return read_rows(self.folder, self.info.splits[split].files, self.info.columns, start, stop)


def load_pairs(folder: str | Path) -> Pairs:
    """Open a folder of pairs that `build_pairs` or `index_pairs` made.

    A file of up to 64 MiB is hashed whole, a larger one by pieces spread over it, so that opening takes seconds at any
    size.

    Raises:
        PairsError: it is missing, is not a folder of pairs, has another format, or is damaged.

    Example:
        >>> load_pairs("pairs/").hash
        '4053029677a7d86a'
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


def as_pairs(pairs: Pairs | str | Path) -> Pairs:
    """Take pairs, or open the folder that holds them, so that a function of the public API takes either.

    Raises:
        PairsError: see `load_pairs`.
    """
    return pairs if isinstance(pairs, Pairs) else load_pairs(pairs)


def check_replaceable(out: Path) -> None:
    """Refuse to overwrite anything but an empty folder or pairs that embudget built.

    Raises:
        PairsError: at ``out`` is a file, or a folder with the user's own files.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir():
        raise PairsError(f"out must be a folder, got the file {out}")
    try:
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise PairsError(f"cannot read {out}: {error.strerror}") from None
    if MANIFEST in names and _is_indexed(out):
        raise PairsError(
            f"out must be a new folder or one that was built; {out} holds files of yours that were indexed"
        )
    if names and (MANIFEST not in names or names - _OURS):
        alien = min(names - _OURS or names)
        raise PairsError(f"out must be a new folder or a folder of pairs; {out} holds other files, such as {alien}")


def _is_indexed(folder: Path) -> bool:
    """Whether `pairs.json` describes the user's own files, however damaged or old it is otherwise."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return bool(json.loads((folder / MANIFEST).read_bytes())["request"]["sources"] == [INDEX])
    return False


def check_writable(out: Path) -> None:
    """Find out whether a folder can be made at ``out``, before a minute of work is lost because it cannot.

    The folders above it are made on the way.

    Raises:
        PairsError: it cannot be made.
    """
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-").cleanup()
    except OSError as error:
        raise _cannot_write(out, error) from None


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``out`` that becomes ``out`` if the block succeeds, and disappears if it does not.

    Raises:
        PairsError: it cannot be made, written or moved: no permission, a full disk, something else in its place.
    """
    try:
        with whole_folder(out.resolve()) as part:  # resolved: behind a symbolic link, the real folder is replaced
            yield part
            check_replaceable(out)  # once more, since the user may have put files there during the build
    except OSError as error:
        raise _cannot_write(out, error) from None


def _cannot_write(out: Path, error: OSError) -> PairsError:
    reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
    return PairsError(f"cannot write {out}: {reason}")
