"""Files and folders that are written whole or not at all, so that a crash never leaves half of one behind.

The content goes under a temporary name beside the target, and takes its place at the end. On one file system that is a
single step, so another process sees the old content or the new one, never a mixture. Behind a symbolic link the real
file or folder is replaced. A device or a pipe, such as /dev/null or /dev/stdout, is written to.

Modes are those of the umask; what is replaced keeps the mode it had.
"""

import errno
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from embudget.contents import contents_of, is_database, recognise
from embudget.errors import ConfigError
from embudget.parts import Part, claimed, exchange

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
        OSError: the folder is missing, full or not writable, or a folder is at ``path``. An older file at ``path`` is
            then untouched.
        ConfigError: a SQLite database is there, or a disk or a socket.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part"
            part.touch()
            yield part
            _pour(part, path)
        return
    target = real_path(path)
    check_replaceable_file(target)
    with claimed(target) as names:
        os.close(os.open(names.new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = names.new.stat().st_mode
        yield names.new
        names.new.chmod(stat.S_IMODE(target.stat().st_mode if target.exists() else mode))
        flush(names.new)
        names.new.replace(target)


def write_whole(path: Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all.

    Raises:
        OSError, ConfigError: as `whole_file`.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def save_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file where the user asked for it, whole or not at all.

    An older file is replaced if it holds the same sort of thing, or text of no known sort: see `embudget.contents`.

    Raises:
        ConfigError: the file cannot be written (no folder, no permission, disk full), or must not be replaced.
    """
    path = Path(path)
    try:
        check_contents(path, recognise(text.encode(errors="replace"), path.suffix))
        write_whole(path, text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def check_contents(path: Path, new: str | None) -> None:
    """Refuse to replace a file that holds something of another sort than ``new``, see `embudget.contents`.

    Raises:
        ConfigError: it does.
        OSError: it cannot be read.
    """
    if is_stream(path) or not path.is_file():
        return
    old = contents_of(path)
    if old not in (None, new):
        raise ConfigError(f"{path} holds {old}, not to be replaced by {new or 'this'}: name another file or remove it")


def real_path(path: str | Path) -> Path:
    """The absolute path behind all symbolic links, also where nothing is there."""
    return Path(os.path.realpath(path))


def is_stream(path: Path) -> bool:
    """Whether a path is written to instead of replaced: a device such as /dev/null, a pipe, or /dev/stdout.

    Raises:
        OSError: it cannot be looked at.
    """
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path such as /dev/stdout or /dev/fd/3 stands for.

    Written by its name, a file behind it would be replaced while the shell still holds the old one.
    """
    ours = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")}
    step = path.absolute()
    for _ in range(40):  # as many links as Linux follows
        if step.name.isdecimal() and os.path.realpath(step.parent) in ours:
            return int(step.name)
        if not step.is_symlink():
            return None
        step = step.parent / step.readlink()
    return None


def _pour(part: Path, path: Path) -> None:
    """Write what a temporary file holds to a device or a pipe."""
    sys.stdout.flush()
    with part.open("rb") as source, _opened(path) as sink:
        shutil.copyfileobj(source, sink)


PATIENCE_SECONDS = 5.0
"""How long to wait for somebody who reads a named pipe."""


def _opened(path: Path) -> BinaryIO:
    number, until = _descriptor(path), time.monotonic() + PATIENCE_SECONDS
    if number is not None:
        return os.fdopen(os.dup(number), "wb")
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)  # a pipe without a reader would block
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            os.set_blocking(handle, True)
            return os.fdopen(handle, "wb")


def check_replaceable_file(target: Path) -> None:
    """Refuse to put a file in the place of a folder, a database, a disk or a file that must not be written.

    Raises:
        OSError: a folder or a file without permission is at ``target``, which must not be a symbolic link.
        ConfigError: a database, a disk or a socket is there.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{target} is a disk or a socket: name a file")
    if is_database(target):
        raise ConfigError(f"{target} is a SQLite database, perhaps a store: name another file")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


@contextmanager
def whole_folder(folder: Path, check: Callable[[Path], None] = lambda folder: None) -> Iterator[Path]:
    """Give an empty temporary folder to fill; it replaces ``folder`` when the block succeeds and vanishes if not.

    Args:
        folder: the target.
        check: called with the target last, and raises if what is there by now must stay.

    Raises:
        OSError: the parent is missing, full or not writable, or a file is in the folder's place. An older folder is
            then untouched.
    """
    target = real_path(folder)
    with claimed(target) as names:
        names.new.mkdir()
        mode = stat.S_IMODE(names.new.stat().st_mode)
        yield names.new
        _settle(names.new, mode)
        if target.is_dir():
            names.new.chmod(stat.S_IMODE(target.stat().st_mode))
        check(target)
        _replace_folder(names, target)


def _replace_folder(names: Part, target: Path) -> None:
    """Put the new folder at the target: in one step where the system can exchange two names, otherwise in two.

    `embudget.parts` clears up wherever this ends, and so does the next writer if the process is killed here.
    """
    names.new.rename(names.whole)
    try:
        names.whole.rename(target)  # where nothing is there, or an empty folder
        flush(target.parent)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
    if not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    elif not exchange(names.whole, target):
        target.rename(names.old)
        names.whole.rename(target)
    flush(target.parent)


def _settle(folder: Path, mode: int) -> None:
    """Give all in a folder the modes of the umask, whatever the libraries that wrote it chose, and put it on the disk.

    ``mode`` is what the umask gave the folder itself.
    """
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            path.chmod(mode if path.is_dir() else mode & 0o666)
            flush(path)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: a rename may overtake what it renames.

    Raises:
        OSError: a file could not be written after all, as a full disk behind a network may say only now. Some file
            systems cannot flush a folder, which is no error.
    """
    with suppress(OSError) if path.is_dir() else nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
