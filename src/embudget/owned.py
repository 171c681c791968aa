"""Which files of a folder did embudget write? Only those may be replaced; everything else is somebody's.

A folder that is replaced as a whole (a model, a curve) holds `embudget-files.json`: the name, size and SHA-256 of each
of its files. If a file is not listed there or has changed since, the folder is refused. Folders of pairs list their
files in `pairs.json`, see `embudget.pairs.folder`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt

from embudget.contents import LISTING
from embudget.errors import ConfigError, EmbudgetError
from embudget.files import pieces
from embudget.frozen import Frozen

FORMAT: Literal[1] = 1
"""Version of `embudget-files.json`. A folder of another version is refused."""


class OwnedFile(Frozen):
    """What tells a file that embudget wrote from one that was changed since."""

    bytes: NonNegativeInt
    sha256: str


class OwnedFiles(Frozen):
    """The contents of `embudget-files.json`: path in the folder -> what the file was."""

    format: Literal[1] = FORMAT
    files: dict[str, OwnedFile]


def list_files(folder: Path) -> None:
    """Write `embudget-files.json` into a folder that is finished otherwise.

    Raises:
        OSError: a file cannot be read, or the folder is full.
    """
    files = {name: _seen(path) for name, path in _files(folder)}
    text = OwnedFiles(files=files).model_dump_json(indent=1)
    (folder / LISTING).write_text(text + "\n", encoding="utf-8")


def listed_files(folder: Path, error: type[EmbudgetError] = ConfigError) -> dict[str, Path]:
    """The files that embudget wrote into a folder, by their names there; each may be changed or gone since.

    Raises:
        ConfigError: the folder has no list, or a damaged one; or the error given instead.
    """
    try:
        listed = OwnedFiles.model_validate_json((folder / LISTING).read_bytes()).files
    except (OSError, ValueError):
        raise error(f"{folder / LISTING}, which lists the files that embudget wrote, is missing or damaged") from None
    return {name: folder / name for name in listed}


def check_owned(folder: Path, what: str, error: type[EmbudgetError] = ConfigError) -> None:
    """Refuse to replace a folder with anything in it that embudget did not write, or that was changed since.

    Args:
        folder: where a folder is to be written; nothing may be there, or an empty folder.
        what: what embudget writes there, such as "a model of embudget".
        error: which error to raise.

    Raises:
        ConfigError: names the first file that is not known.
        OSError: the folder cannot be read.
    """
    if not folder.exists():
        return
    rule = f"out must be a new folder or one that holds {what}"
    there = dict(_files(folder))
    if not there:
        return
    if LISTING not in there:
        raise error(
            f"{rule} and its {LISTING}; {folder} holds other files, such as {min(there)}: move it away or name another"
        )
    try:
        listed = OwnedFiles.model_validate_json(there.pop(LISTING).read_bytes()).files
    except ValueError:
        raise error(f"{rule}; {folder / LISTING} is damaged: move the folder away or name another") from None
    if alien := sorted(there.keys() - listed.keys()):
        raise error(f"{rule}; {folder} holds other files, such as {alien[0]}: move them away or name another folder")
    if changed := _changed(there, listed):
        raise error(f"{rule}; {folder / changed} was changed since: move it away or name another folder")


def difference(folder: Path) -> str | None:
    """What is not as embudget wrote it in one of its folders; None if nothing is.

    Unlike `check_owned`, which only cares for what would be lost, it looks for files that are missing too.

    Raises:
        OSError: the folder cannot be read.
    """
    there = dict(_files(folder))
    if LISTING not in there:
        return f"it lacks {LISTING}, which lists its files"
    try:
        listed = OwnedFiles.model_validate_json(there.pop(LISTING).read_bytes()).files
    except ValueError:
        return f"its {LISTING} is damaged"
    if alien := sorted(there.keys() - listed.keys()):
        return f"it holds other files, such as {alien[0]}"
    if missing := sorted(listed.keys() - there.keys()):
        return f"{missing[0]} is missing"
    changed = _changed(there, listed)
    return None if changed is None else f"{changed} was changed since"


def _changed(there: dict[str, Path], listed: dict[str, OwnedFile]) -> str | None:
    """The first file that is another than the one that was listed."""
    for name, path in there.items():
        if path.is_symlink() or not path.is_file() or _seen(path) != listed[name]:
            return name
    return None


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All that is in a folder but folders, in order; a link counts as a file wherever it leads."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix(), path


def _seen(path: Path) -> OwnedFile:
    """Hash a file, a large one by its `pieces`."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    for piece in pieces(path):
        digest.update(piece)
    return OwnedFile(bytes=size, sha256=digest.hexdigest())
