"""A folder at a URL, whole or not at all.

Buckets have no rename. So a manifest, `embudget-manifest.json`, says first that the folder is being written, then come
the files, and at last the manifest with the size and SHA-256 of each. Writing one object is a single step in a bucket:
a reader sees that nothing is whole yet, or all of it. What is torn all the same does not fit its hashes.
"""

import hashlib
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from pydantic import Field, NonNegativeInt, ValidationError

from embudget.errors import RemoteError
from embudget.frozen import Frozen
from embudget.remote.attempts import attempt, lacks_bucket

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MANIFEST = "embudget-manifest.json"
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "memory"}
"""There a folder is a part of a name, and to make one would be to make a bucket."""
_RENAMING = {"file", "local", "sftp", "ssh"}
"""There a rename replaces what has the name, in one step."""


class RemoteFile(Frozen):
    """What tells a file from a damaged or changed one."""

    bytes: NonNegativeInt
    sha256: str


class Manifest(Frozen):
    """The contents of `embudget-manifest.json`."""

    format: Literal[1] = 1
    whole: bool = Field(description="false while the folder is being written, or where that was broken off")
    files: dict[str, RemoteFile] = Field(default={})

    @property
    def content(self) -> str:
        """A hash of names and contents, 32 hexadecimal digits: equal folders have equal ones wherever they lie."""
        lines = (f"{name} {file.bytes} {file.sha256}\n" for name, file in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:32]


def manifest_of(folder: Path) -> Manifest:
    """Hash all files of a folder on this machine, at about a second for each GB.

    Raises:
        OSError: one cannot be read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): _seen(path) for path in paths}
    files.pop(MANIFEST, None)  # left over where somebody copied the folder from a URL by other means
    return Manifest(whole=True, files=files)


def read_manifest(url: str, patience: float | None = None) -> Manifest | None:
    """The manifest of a folder at a URL; None where there is none. One that is torn counts as not whole.

    Raises:
        RemoteError: the URL cannot be read.
    """

    def read(fs: "AbstractFileSystem", path: str) -> bytes | None:
        try:
            content: bytes = fs.cat_file(f"{path}/{MANIFEST}")
        except FileNotFoundError as error:
            if lacks_bucket(error):
                raise
            return None
        return content

    content = attempt(url, "read", read, patience=patience)
    try:
        return None if content is None else Manifest.model_validate_json(content)
    except ValidationError:
        return Manifest(whole=False)


def put_folder(
    folder: Path, url: str, *, patience: float | None = None, stop: threading.Event | None = None
) -> Manifest:
    """Put a folder of this machine at a URL, whole or not at all, in the place of an earlier one.

    Nothing is sent where the same content is there already.

    Args:
        folder: what to put, with all folders in it.
        url: where. An earlier folder there must have a manifest, so that nobody else's files are overwritten.
        patience: seconds of trouble for each file.
        stop: ends the waiting for trouble to pass.

    Raises:
        RemoteError: it cannot be written, or files without a manifest are there.
        OSError: the folder cannot be read.
    """
    new, old = manifest_of(folder), read_manifest(url, patience)
    if old == new:
        return new
    if old is None:
        _check_empty(url, patience)

    def write(name: str, content: bytes | Path) -> None:
        def call(fs: "AbstractFileSystem", path: str) -> None:
            target = f"{path}/{name}"
            make_parent(fs, target)
            if isinstance(content, Path):
                fs.put_file(str(content), target)
            else:
                fs.pipe_file(target, content)

        attempt(url, "write", call, patience=patience, stop=stop)

    write(MANIFEST, Manifest(whole=False).model_dump_json().encode())
    for name in new.files:
        write(name, folder / name)
    write(MANIFEST, new.model_dump_json(indent=1).encode())
    for name in (old.files if old is not None else {}).keys() - new.files.keys():
        remove_file(f"{url}/{name}", patience)
    return new


def check_replaceable_url(url: str, patience: float | None = None) -> None:
    """Refuse a URL at which files lie that no manifest names: they are somebody's.

    Raises:
        RemoteError: there are such files, or it cannot be listed.
    """
    if read_manifest(url, patience) is None:
        _check_empty(url, patience)


def _check_empty(url: str, patience: float | None) -> None:
    if there := names_in(url, patience):
        raise RemoteError(f"out must be a new place or one that embudget wrote; {url} holds {there[0]}")


def remove_folder(url: str, patience: float | None = None) -> None:
    """Remove a folder at a URL; its manifest first, so that nobody takes the rest for whole.

    Raises:
        RemoteError: it cannot be removed. That nothing is there is no trouble.
    """

    def call(fs: "AbstractFileSystem", path: str) -> None:
        for name in sorted(_names(fs, path), key=lambda name: not name.endswith(MANIFEST)):
            _remove_file(fs, name)
        if not _is_object_store(fs):  # its empty folders
            with suppress(FileNotFoundError):
                fs.rm(path, recursive=True)

    attempt(url, "remove", call, patience=patience)


def get_file(url: str, target: Path) -> None:
    """Fetch one file into one of this machine, which is torn where that fails.

    Raises:
        RemoteError: it is not there, cannot be read, or this machine's disk is full.
    """
    attempt(url, "read", lambda fs, path: fs.get_file(path, str(target)))


def remove_file(url: str, patience: float | None = None) -> None:
    """Remove one file.

    Raises:
        RemoteError: it cannot be removed. That it is not there is no trouble.
    """
    attempt(url, "remove", _remove_file, patience=patience)


def check_writable_url(url: str) -> None:
    """Write a file at a URL and remove it, before hours of training go where nothing can be written.

    Raises:
        RemoteError: it cannot be written.
    """
    name = f"embudget-probe-{uuid4().hex}"

    def call(fs: "AbstractFileSystem", path: str) -> None:
        make_parent(fs, f"{path}/{name}")
        fs.pipe_file(f"{path}/{name}", b"embudget looks whether it may write here\n")
        _remove_file(fs, f"{path}/{name}")

    attempt(url, "write", call)


def names_in(url: str, patience: float | None = None) -> list[str]:
    """All files in a folder at a URL, by their names in it, in order; none where there is no folder.

    Raises:
        RemoteError: it cannot be listed.
    """
    found = attempt(
        url, "list", lambda fs, path: [name[len(path) + 1 :] for name in _names(fs, path)], patience=patience
    )
    return sorted(found)


def _names(fs: "AbstractFileSystem", path: str) -> list[str]:
    try:
        return [name for name in fs.find(path) if name.startswith(f"{path}/")]
    except FileNotFoundError:
        return []


def put_whole(file: Path, url: str) -> None:
    """Put one file in the place of an earlier one: a writer that is killed leaves the earlier one as it was.

    In a bucket writing is one step. Where a rename replaces a file, it is written beside the earlier one first.

    Raises:
        RemoteError: it cannot be written.
    """

    def write(fs: "AbstractFileSystem", path: str) -> None:
        make_parent(fs, path)
        renames = bool(_RENAMING & _protocols(fs))
        fs.put_file(str(file), f"{path}.part" if renames else path)
        if renames:
            fs.mv(f"{path}.part", path)

    attempt(url, "write", write)


def make_parent(fs: "AbstractFileSystem", target: str) -> None:
    """Make the folder that a file is to be written to, where the file system has any."""
    if not _is_object_store(fs):
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)


def _is_object_store(fs: "AbstractFileSystem") -> bool:
    return bool(_OBJECT_STORES & _protocols(fs))


def _protocols(fs: "AbstractFileSystem") -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _remove_file(fs: "AbstractFileSystem", path: str) -> None:
    with suppress(FileNotFoundError):  # another has removed it
        fs.rm_file(path)


def _seen(path: Path) -> RemoteFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RemoteFile(bytes=path.stat().st_size, sha256=digest)
