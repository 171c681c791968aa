"""Text files of laws and recipes: whole or not there, and one clear line where they cannot be written or read."""

from pathlib import Path

from embudget.errors import ConfigError
from embudget.files import write_whole


def save_text(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        ConfigError: the file cannot be written (no folder, no permission, disk full).
    """
    try:
        write_whole(Path(path), text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        ConfigError: it is missing, a folder, not readable or not text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a UTF-8 text file") from None
