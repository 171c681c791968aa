"""Files and folders written whole or not at all: under a temporary name beside the target, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embudget.errors import ConfigError


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OSError: the folder is missing, full or not writable; an older file of that name is then untouched.
    """
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


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
