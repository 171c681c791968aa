"""The user's own files: one file, a folder of files, or a pattern; `embudget.pairs.formats` says what they may hold.

Licence: the user's.
"""

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path

from embudget.errors import PairsError, first_line
from embudget.pairs.columns import Table
from embudget.pairs.formats import SUFFIXES, is_readable, read_pairs
from embudget.pairs.formats.arrow import METADATA, is_saved, saved_files
from embudget.pairs.sources.base import OWN_TEXTS, RawPair, Source

_ENDINGS = ", ".join(SUFFIXES)


class Files(Source):
    """Pairs from the user's files, in the order of their names and rows.

    Args:
        path: a file, a folder that is searched with all below it, a glob pattern such as `data/**/*.csv`, or a folder
            that `save_to_disk` of the library datasets wrote.
        columns: columns of query and positive; by default see `embudget.pairs.columns.DEFAULT_COLUMNS`.
        skip_bad: leave out rows that break a rule of their format, and count them, instead of refusing the file.
    """

    rules = OWN_TEXTS
    scope = "files"  # so that equal content gives equal pairs and splits wherever it lies

    def __init__(self, path: str, columns: tuple[str, str] | None = None, *, skip_bad: bool = False) -> None:
        self.name = f"files:{path}"
        self.path = path
        self.columns = columns
        self.skip_bad = skip_bad

    def versions(self) -> dict[str, str]:
        """The first 16 digits of the SHA-256 of each file."""
        return {str(path): _digest(path) for path in find_files(self.path)}

    def licences(self) -> dict[str, str]:
        """Each file is the user's; we know nothing of its licence."""
        return {str(path): "the user's" for path in find_files(self.path)}

    def read(self) -> Iterator[RawPair]:
        """Files in alphabetical order, rows in the order of the file."""
        table = Table(self.columns, self.skip_bad)
        for path in find_files(self.path):
            yield from read_pairs(path, self.columns, table)
        self.unused = table.unused


def find_files(path: str) -> list[Path]:
    """List the files that a path, a folder or a pattern stands for, in alphabetical order.

    In a folder, hidden files and JSON that describes data are passed over.

    Raises:
        PairsError: there is none, or the one that is named has an unknown format.
    """
    place = Path(path)
    if is_saved(place) or place.is_file():
        if not is_readable(place):
            raise PairsError(f"a pairs file must end in {_ENDINGS}, got {path!r}")
        return [place]
    try:
        found = place.rglob("*") if place.is_dir() else map(Path, glob.glob(path, recursive=True))  # noqa: PTH207
        files = sorted(file for file in found if not _is_beside(file) and is_readable(file) and not is_saved(file))
    except (OSError, ValueError) as error:
        raise PairsError(f"cannot search {path!r}: {first_line(error)}") from None
    if not files:
        raise PairsError(f"no file ending in {_ENDINGS} at {path!r}")
    return files


def _is_beside(file: Path) -> bool:
    return file.name.startswith(".") or file.name in METADATA


def _digest(path: Path) -> str:
    if path.is_dir():
        parts = " ".join(f"{file.relative_to(path)} {_digest(file)}" for file in saved_files(path))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
