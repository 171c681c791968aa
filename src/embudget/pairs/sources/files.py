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
from embudget.pairs.formats.arrow import METADATA, is_saved, saved_files, saved_splits
from embudget.pairs.formats.beir import beir_files, is_beir, read_beir
from embudget.pairs.own_splits import ORDER, choose_splits, splits_of_files
from embudget.pairs.sources.base import OWN_TEXTS, RawPair, Source
from embudget.pairs.splitting import Split

_ENDINGS = ", ".join(SUFFIXES)


class Files(Source):
    """Pairs from the user's files, in the order of their names and rows.

    Args:
        path: a file, a folder that is searched with all below it, a glob pattern such as `data/**/*.csv`, a folder
            that `save_to_disk` of the library datasets wrote, or one of BEIR.
        columns: columns of query and positive; by default see `embudget.pairs.layouts`.
        skip_bad: leave out rows that break a rule of their format, and count them, instead of refusing the file.
        threshold: the score from which two sentences are a pair.
        resplit: pass over the splits that the names of files and folders tell, see `embudget.pairs.own_splits`.
    """

    rules = OWN_TEXTS
    scope = "files"  # so that equal content gives equal pairs and splits wherever it lies

    def __init__(
        self,
        path: str,
        columns: tuple[str, str] | None = None,
        *,
        skip_bad: bool = False,
        threshold: float | None = None,
        resplit: bool = False,
    ) -> None:
        self.name = f"files:{path}"
        self.path = path
        self.columns = columns
        self.skip_bad = skip_bad
        self.threshold = threshold
        self.resplit = resplit

    def versions(self) -> dict[str, str]:
        """The first 16 digits of the SHA-256 of each file."""
        return {str(path): _digest(path) for path in find_files(self.path)}

    def licences(self) -> dict[str, str]:
        """Each file is the user's; we know nothing of its licence."""
        return {str(path): "the user's" for path in find_files(self.path)}

    def read(self) -> Iterator[RawPair]:
        """Files in alphabetical order, those of held-out splits first; rows in the order of the file."""
        table = Table(self.columns, self.skip_bad, self.threshold)
        files = find_files(self.path)
        if is_beir(files[0]):
            yield from read_beir(files[0], table, resplit=self.resplit)
        else:
            for path, split in self._parts(files, table):
                yield from read_pairs(path, self.columns, table, split)
        self.unused, self.read_as, self.scored = table.unused, table.read_as, table.scored

    def _parts(self, files: list[Path], table: Table) -> list[tuple[Path, Split | None]]:
        """List what to read, in order, and the split that each part belongs to by its name."""
        if splits := saved_splits(files[0]):
            chosen, left = choose_splits(splits, resplit=self.resplit)
            table.splits.update(dict.fromkeys(left))
            return [(files[0] / name, split) for name, split in chosen]
        own: list[Split | None] = [None] * len(files) if self.resplit else splits_of_files(files)
        return sorted(zip(files, own, strict=True), key=lambda part: ORDER.index(part[1]))


def find_files(path: str) -> list[Path]:
    """List the files that a path, a folder or a pattern stands for, in alphabetical order.

    In a folder, hidden files and JSON that describes data are passed over.

    Raises:
        PairsError: there is none, or the one that is named has an unknown format.
    """
    place = Path(path)
    if is_saved(place) or is_beir(place):
        return [place]
    if place.is_file():
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
        files = beir_files(path) if is_beir(path) else saved_files(path)
        parts = " ".join(f"{file.relative_to(path)} {_digest(file)}" for file in files)
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise PairsError(f"cannot read {path}: {error.strerror}") from None
