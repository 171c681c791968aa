"""The user's own files: one file, a folder of files, or a pattern; `embudget.pairs.formats` says what they may hold.

Licence: the user's.
"""

import glob
import hashlib
from collections.abc import Iterator
from pathlib import Path

from embudget.errors import PairsError
from embudget.pairs.formats import SUFFIXES, read_pairs
from embudget.pairs.sources.base import OWN_TEXTS, RawPair, Source


class Files(Source):
    """Pairs from JSONL, CSV, TSV or Parquet files, in the order of their names and rows.

    Args:
        path: a file, a folder that is searched with all below it, or a glob pattern such as `data/**/*.csv`.
        columns: columns of query and positive; by default see `embudget.pairs.formats.DEFAULT_COLUMNS`.
    """

    rules = OWN_TEXTS
    scope = "files"  # so that equal content gives equal pairs and splits wherever it lies

    def __init__(self, path: str, columns: tuple[str, str] | None = None) -> None:
        self.name = f"files:{path}"
        self.path = path
        self.columns = columns

    def versions(self) -> dict[str, str]:
        """The first 16 digits of the SHA-256 of each file."""
        return {str(path): _digest(path) for path in find_files(self.path)}

    def licences(self) -> dict[str, str]:
        """Each file is the user's; we know nothing of its licence."""
        return {str(path): "the user's" for path in find_files(self.path)}

    def read(self) -> Iterator[RawPair]:
        """Files in alphabetical order, rows in the order of the file."""
        for path in find_files(self.path):
            yield from read_pairs(path, self.columns)


def find_files(path: str) -> list[Path]:
    """List the files that a path, a folder or a pattern stands for, in alphabetical order.

    Raises:
        PairsError: there is none, or the one that is named has an unknown format.
    """
    place = Path(path)
    if place.is_file():
        if place.suffix.lower() not in SUFFIXES:
            raise PairsError(f"a pairs file must end in {', '.join(SUFFIXES)}, got {path!r}")
        return [place]
    found = place.rglob("*") if place.is_dir() else map(Path, glob.glob(path, recursive=True))  # noqa: PTH207
    files = sorted(file for file in found if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise PairsError(f"no file ending in {', '.join(SUFFIXES)} at {path!r}")
    return files


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
