"""A folder of text pairs: opening one, and making one without harming what is already there.

A folder that embudget built holds `train.parquet`, `validation.parquet`, `test.parquet` and `pairs.json`; each Parquet
file has the columns query, positive, group and source, and negatives if there are hard ones. A split may also have many
files, such as `train-00000-of-00003.parquet`: those are the user's own, described in place by `embudget pairs index`.

A folder is written whole or not at all. When it is opened, its files are compared with the sizes and hashes in
`pairs.json`, so that a run never trains on damaged or changed pairs under the name of the old ones.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embudget.errors import PairsError, first_line
from embudget.files import whole_folder
from embudget.outputs import Input, check_apart, check_folder_output
from embudget.pairs.manifest import INDEX, MANIFEST, PairsInfo, read_info
from embudget.pairs.shards import check_file, iter_rows, read_rows
from embudget.pairs.splitting import SPLITS, Split
from embudget.remote import fetch_folder, is_url

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
        105179
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
            A table of (`rows`, 4): the columns query, positive, group and source, all strings. If the pairs have hard
            negatives, a fifth column, negatives, holds lists of strings; null is none.

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
        return read_rows(
            self.folder, self.info.splits[split].files, self.info.columns, start, stop, self.info.negatives
        )

    def batches(self, split: Split) -> "Iterator[pa.Table]":
        """Read a split in tables of up to 8,192 rows, each row once, so that memory stays bounded.

        The tables have the four columns of `table`, without hard negatives.
        """
        return iter_rows(self.folder, self.info.splits[split].files, self.info.columns)


def load_pairs(folder: str | Path) -> Pairs:
    """Open a folder of pairs that `build_pairs` or `index_pairs` made, here or at a URL such as s3://bucket/pairs.

    What lies at a URL is fetched once a machine, whole, and `Pairs.folder` is where it lies here.

    A file of up to 64 MiB is hashed whole, a larger one by pieces spread over it, so that opening takes seconds at any
    size.

    Raises:
        PairsError: it is missing, is not a folder of pairs, has another format, or is damaged.
        RemoteError: it cannot be fetched.

    Example:
        >>> load_pairs("pairs/").hash
        '242560290a8715c5'
    """
    if isinstance(folder, str) and is_url(folder):
        folder = fetch_folder(folder)
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


def check_replaceable(out: Path, inputs: Iterable[Input] = ()) -> None:
    """Refuse to overwrite anything but an empty folder or pairs that embudget built and nobody changed.

    Pairs that are damaged, so that nobody can read them, may be replaced; those that were changed and can still be read
    are somebody's.

    Args:
        out: the folder that is to be written.
        inputs: the files that the pairs are made of.

    Raises:
        PairsError: at ``out`` is a file, a folder with the user's own files, or one of the inputs.
    """
    try:
        check_apart(out, inputs, PairsError)
        if not out.exists() and not out.is_symlink():
            return
        if out.exists() and not out.is_dir():
            raise PairsError(f"out must be a folder, got the file {out}")
        names = {path.name for path in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise PairsError(f"cannot read {out}: {error.strerror}") from None
    if MANIFEST in names and _is_indexed(out):
        raise PairsError(
            f"out must be a new folder or one that was built; {out} holds files of yours that were indexed"
        )
    if names and (MANIFEST not in names or names - _OURS):
        alien = min(names - _OURS or names)
        raise PairsError(f"out must be a new folder or a folder of pairs; {out} holds other files, such as {alien}")
    if names:
        _check_unchanged(out)


def _check_unchanged(out: Path) -> None:
    try:
        listed = {file.name: file for split in read_info(out).splits.values() for file in split.files}
    except PairsError as error:
        raise PairsError(f"{error}; move it away or name another folder to build pairs in") from None
    for name in _OURS - {MANIFEST}:
        path = out / name
        if not os.path.lexists(path):
            continue
        try:
            check_file(out, listed[name], "")
        except (PairsError, LookupError):
            if _is_readable(path):
                raise PairsError(
                    f"out must be a new folder or pairs as they were built; {path} was changed since: move it away or "
                    "name another folder"
                ) from None


def _is_readable(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_symlink() or not path.is_file():
        return True  # whatever it is, it is not ours
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


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
    check_folder_output(out, error=PairsError)


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``out`` that becomes ``out`` if the block succeeds, and disappears if it does not.

    Raises:
        PairsError: it cannot be made, written or moved: no permission, a full disk, something else in its place.
    """
    try:
        # what is there is checked once more, since the user may have put files there during the build
        with whole_folder(out, check=check_replaceable) as part:
            yield part
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else first_line(error)
        raise PairsError(f"cannot write {out}: {reason}") from None
