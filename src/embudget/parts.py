"""Temporary names beside an output, and what becomes of them when the process that wrote was killed.

Each writer of an output `model` has a token and up to four names beside it, which no other writer touches while the
lock is held. The lock ends with the process, however that ends:

    .model.embudget-TOKEN.lock    held as long as the writer lives
    .model.embudget-TOKEN.new     being filled
    .model.embudget-TOKEN.whole   a folder that is finished, but has not its name yet
    .model.embudget-TOKEN.old     what was at the output, where two renames are needed to replace it
    .model.embudget-TOKEN.gone    being removed

Whoever writes to the same output next removes what dead writers left. If one was killed between two renames, so that
nothing is at the output, the finished folder is put there first, or else the old one.
"""

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_HERE = -100  # AT_FDCWD of fcntl.h: paths are relative to the working directory
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_LONGEST = 180
"""Bytes of a target's name that its temporary names repeat. File systems allow 255, and the rest takes up to 32."""


class Part(NamedTuple):
    """The temporary names of one writer."""

    lock: Path
    new: Path
    whole: Path
    old: Path
    gone: Path


@contextmanager
def claimed(target: Path) -> Iterator[Part]:
    """Give a writer its temporary names beside ``target``, locked; nothing is left of them when the block ends.

    What dead writers left is cleared up first. ``target`` must not be a symbolic link.

    Raises:
        OSError: the folder is missing, full or not writable.
    """
    recover(target)
    part, handle = _lock(target)
    try:
        yield part
    finally:
        _clear(target, part)
        os.close(handle)


def recover(target: Path) -> None:
    """Clear up what killed writers left beside ``target``, and put back what they had moved away."""
    found = re.compile(re.escape(_stem(target)) + r"([0-9a-f]{8})\.(lock|new|whole|old|gone)")
    with suppress(OSError):
        tokens = {match[1] for entry in os.scandir(target.parent) if (match := found.fullmatch(entry.name))}
        for token in sorted(tokens):
            part = _part(target, token)
            with _dead(part.lock) as dead:
                if dead:
                    _clear(target, part)


def exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders in a single step; False where the system or the file system cannot.

    Raises:
        OSError: they cannot be renamed.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _stem(target: Path) -> str:
    """What the temporary names of a target begin with; a long name is shortened to its hash."""
    name = target.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}.embudget-"


def _part(target: Path, token: str) -> Part:
    stem = _stem(target) + token
    return Part(*(target.with_name(f"{stem}.{stage}") for stage in Part._fields))


def _lock(target: Path) -> tuple[Part, int]:
    """Make a lock that no other process has, and hold it."""
    while True:
        part = _part(target, secrets.token_hex(4))
        handle = os.open(part.lock, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            hold(handle)
            if part.lock.exists():  # or another took it for a dead one's between the two lines above, and removed it
                return part, handle
        except OSError as error:
            if error.errno in _NO_LOCKS:  # without locks nobody takes another for dead
                return part, handle
            if not isinstance(error, BlockingIOError):
                os.close(handle)
                raise
        os.close(handle)


def hold(handle: int) -> None:
    """Lock an open file, until it is closed or the process ends.

    Raises:
        BlockingIOError: another process, or another open file of this one, holds the lock.
        OSError: the system or the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:  # as on Windows
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)) from None
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _dead(lock: Path) -> Iterator[bool]:
    """Whether the writer with this lock has ended. The lock is held meanwhile, so that only one clears up."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError as error:
        yield isinstance(error, FileNotFoundError)  # it is made first and removed last
        return
    try:
        hold(handle)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


def _clear(target: Path, part: Part) -> None:
    """Remove the temporary names of a writer; if nothing is at the target, put there what was to be or what was."""
    _remove(part.gone)
    for stage in (part.whole, part.old):
        with suppress(OSError):
            # a folder that is half removed must never be taken for a whole one
            stage.rename(part.gone if os.path.lexists(target) else target)
            _remove(part.gone)
    _remove(part.new)
    part.lock.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
