"""May a command write where the user asks it to? If not, it is refused before any work is done or anything is lost.

The rule:

- An output is never an input of the same command, however either is written: another spelling of the path, a symbolic
  or hard link, the logs and checkpoints beside a SQLite store, a folder inside an input folder or around an input. A
  file may be added to an input folder, but replaces none in it except one of its own sort.
- A file is replaced only by the same sort of thing, or if it is text of no sort that embudget knows; a store and any
  other file that is not text never is (`embudget.contents`).
- A folder is replaced only if it is empty or embudget wrote all that is in it (`embudget.owned`).
- A file does not take the place of a folder, nor a folder that of a file, of a mounted disk or of the working folder.
- A device, a pipe or /dev/stdout is written to, whatever it is.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from embudget.contents import contents_of
from embudget.errors import ConfigError, EmbudgetError, shortened
from embudget.files import check_contents, check_replaceable_file, is_stream, real_path
from embudget.parts import claimed

Input = str | Path | None
"""A file or a folder that a command reads. None, and names of what is no file, are passed over."""


def check_file_output(out: str | Path, holds: str | None, inputs: Iterable[Input] = (), name: str = "out") -> None:
    """Refuse a file that a command must not or cannot write.

    Args:
        out: the file.
        holds: what it will hold, one of the sorts of `embudget.contents`; None for another text.
        inputs: what the command reads.
        name: of the argument, for the message.

    Raises:
        ConfigError: says which rule it breaks.
    """
    path = Path(out)
    try:
        if is_stream(path):
            return
        if path.is_dir():
            raise ConfigError(f"{name} must be a file, got the folder {shown_path(path)}: name a file in it")
        is_new = not path.exists() or contents_of(path) == holds
        _check_apart(path, inputs, ConfigError, may_be_inside=is_new)
        check_contents(path, holds)
        target = real_path(path)
        check_replaceable_file(target)
        if not target.parent.is_dir():
            raise ConfigError(
                f"cannot write {shown_path(path)}: there is no folder {shown_path(path.parent)}, make it first"
            )
        with claimed(target):
            pass
    except OSError as error:
        raise _cannot_write(path, error, ConfigError) from None


def check_folder_output(
    out: str | Path, inputs: Iterable[Input] = (), error: type[EmbudgetError] = ConfigError
) -> None:
    """Refuse a folder that a command must not or cannot write; the folders above it are made.

    What is in it must be checked as well, see `embudget.owned`.

    Args:
        out: the folder.
        inputs: what the command reads.
        error: which error to raise.

    Raises:
        ConfigError: says which rule it breaks.
    """
    path = Path(out)
    try:
        target = real_path(path)
        if _is_around(target, Path.cwd()):
            raise error(
                f"out must be a folder of its own, got {shown_path(path)}, in which you are: name a folder in it"
            )
        if os.path.ismount(target):
            raise error(f"out must not be a mounted disk, got {shown_path(path)}: name a folder in it")
        check_apart(path, inputs, error)
        if os.path.lexists(target) and not target.is_dir():
            raise error(f"out must be a folder, got the file {shown_path(path)}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with claimed(target):
            pass
    except OSError as problem:
        raise _cannot_write(path, problem, error) from None


def check_added_to(out: str | Path, inputs: Iterable[Input] = (), name: str = "out") -> None:
    """Refuse a folder that a command cannot add files to, or must not because it is an input or lies in one.

    Nothing is made, and what the folder holds stays, so that inputs may lie in it.

    Args:
        out: the folder.
        inputs: what the command reads.
        name: of the argument, for the message.

    Raises:
        ConfigError: says what is wrong.
    """
    path = Path(out)
    try:
        _check_apart(path, inputs, ConfigError, may_be_around=True)
        target = real_path(path)
        there = next(place for place in (target, *target.parents) if os.path.lexists(place))
        if not there.is_dir():
            raise ConfigError(f"{name} must be a folder, got {shown_path(path)}, where {shown_path(there)} is a file")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot write {shown_path(path)}: no permission in {shown_path(there)}")
    except OSError as problem:
        raise _cannot_write(path, problem, ConfigError) from None


def check_apart(out: Path, inputs: Iterable[Input], error: type[EmbudgetError] = ConfigError) -> None:
    """Refuse an output that is an input, lies inside an input folder, or is a folder around an input.

    Raises:
        ConfigError: it is, or one of them cannot be looked at.
    """
    try:
        _check_apart(out, inputs, error)
    except OSError as problem:
        raise _cannot_write(out, problem, error) from None


def _check_apart(
    out: Path,
    inputs: Iterable[Input],
    error: type[EmbudgetError],
    *,
    may_be_inside: bool = False,
    may_be_around: bool = False,
) -> None:
    for place in (Path(one) for one in inputs if one):
        if not place.exists() and not _is_companion(place):
            continue
        if _is_same(out, place):
            raise error(f"{shown_path(out)} is an input of this command and would be overwritten: name another output")
        if not may_be_inside and _is_around(place, out):
            raise error(f"{shown_path(out)} lies in the input {shown_path(place)}: name an output outside of it")
        if not may_be_around and out.is_dir() and _is_around(out, place):
            raise error(f"{shown_path(out)} holds the input {shown_path(place)}: name another output")


_COMPANIONS = ("-wal", "-shm", "-journal", ".checkpoints")


def store_places(location: str | Path) -> Iterator[Path]:
    """The file of a SQLite store, given by its path or its URL, and what SQLite and sweeps keep beside it."""
    text = str(location)
    files = [text]
    if "://" in text:
        match = re.match(r"sqlite(\+\w+)?:///(file:)?(?P<file>[^?]*)", text)
        named = match["file"] if match else ""
        files = [named, unquote(named)] if named and named != ":memory:" else []
    for file in dict.fromkeys(files):
        for place in dict.fromkeys((Path(file), real_path(file))):
            yield place
            yield from (place.with_name(place.name + companion) for companion in _COMPANIONS if place.name)


def shown_path(path: str | Path) -> str:
    """A path for a message of one line, cut in the middle where it is very long."""
    return shortened(str(path), 160)


def _is_companion(place: Path) -> bool:
    """Whether it belongs beside a store that is there, so that no output may be made in its place."""
    owners = (place.name.removesuffix(end) for end in _COMPANIONS if place.name.endswith(end))
    return any(owner and place.with_name(owner).is_file() for owner in owners)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one file or folder; of two that are not there, whether they might become one."""
    if one.exists() or other.exists():
        return one.exists() and other.exists() and one.samefile(other)
    return str(real_path(one)).casefold() == str(real_path(other)).casefold()


def _is_around(folder: Path, inner: Path) -> bool:
    """Whether a folder is another place, or holds it at any depth."""
    if folder.exists() and not folder.is_dir():
        return False
    place = real_path(inner)
    return any(_is_same(folder, above) for above in (place, *place.parents))


def _cannot_write(path: Path, error: OSError, kind: type[EmbudgetError]) -> EmbudgetError:
    return kind(f"cannot write {shown_path(path)}: {error.strerror or error}")
