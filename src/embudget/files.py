"""Files and folders that are written whole or not at all, so that a crash never leaves half of one behind.

The content goes under a temporary name beside the target, which is renamed at the end. On one file system a rename is a
single step, so another process sees the old content or the new one, never a mixture.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embudget.errors import ConfigError

PIECES, PIECE_BYTES = 64, 2**20
"""To tell a large file from another in 0.1 s instead of minutes, only 64 pieces of 1 MiB are read."""


def pieces(path: Path, count: int | None = None) -> Iterator[bytes]:
    """Read what a hash should cover: all of a small file, pieces of a large one.

    A file of up to ``count`` MiB, by default `PIECES`, comes whole. A larger one comes as ``count`` pieces of 1 MiB, at
    least 2, at equal distances, the first and the last MiB among them. Hash the file's size as well, because files of
    different sizes may have equal pieces.

    Raises:
        OSError: the file cannot be read.
    """
    count, size = count or PIECES, path.stat().st_size
    with path.open("rb") as file:
        if size <= count * PIECE_BYTES:
            yield file.read()
            return
        for piece in range(count):
            file.seek(piece * (size - PIECE_BYTES) // (count - 1))
            yield file.read(PIECE_BYTES)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give an empty temporary file to fill; it replaces ``path`` when the block succeeds and vanishes when it fails.

    Raises:
        OSError: the folder is missing, full or not writable. An older file at ``path`` is then untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)  # mkstemp lets nobody but the owner read
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        OSError: the folder is missing, full or not writable. An older file at ``path`` is then untouched.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def save_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file where the user asked for it, whole or not at all.

    Raises:
        ConfigError: the file cannot be written (no folder, no permission, disk full).
    """
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; it replaces ``folder`` when the block succeeds and vanishes if not.

    Folders cannot be replaced in a single step: an older one is renamed first and removed last, and put back if the new
    one cannot take its place.

    Raises:
        OSError: the parent is missing, full or not writable. An older folder at ``folder`` is then untouched.
    """
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    old = part.with_name(part.name + "-old")
    try:
        yield part
        part.chmod(0o755)  # mkdtemp lets nobody but the owner in
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
