"""Files and folders written whole or not at all: under a temporary name beside the target, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embudget.errors import ConfigError

PIECES, PIECE_BYTES = 64, 2**20
"""A large file is told from another by 64 pieces of 1 MiB: 0.1 s instead of minutes."""


def pieces(path: Path, count: int | None = None) -> Iterator[bytes]:
    """A file of up to ``count`` MiB whole; of a larger one ``count`` pieces of 1 MiB at equal distances.

    The first and the last MiB are always among them, so that ``count`` is 2 at least; it is `PIECES` by default. What
    is made of the pieces should include the file's size.

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
    """A temporary file beside ``path`` to be filled; when the block ends well it takes its place, else it is removed.

    Raises:
        OSError: the folder is missing, full or not writable; an older file of that name is then untouched.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OSError: the folder is missing, full or not writable; an older file of that name is then untouched.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def save_text(path: str | Path, text: str) -> None:
    """Write a text file that the user asked for, whole or not at all.

    Raises:
        ConfigError: the file cannot be written (no folder, no permission, disk full).
    """
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file that the user named.

    Raises:
        ConfigError: it is missing, a folder, not readable or not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a UTF-8 text file") from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Fill a new folder beside ``folder``; when the block ends well it takes its place, else it is removed.

    Raises:
        OSError: the parent is missing, full or not writable; an older folder of that name is then untouched.
    """
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    old = part.with_name(part.name + "-old")
    try:
        yield part
        part.chmod(0o755)
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
