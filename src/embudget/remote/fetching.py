"""Fetching a folder from a URL, once a machine: into the cache folder, under the hash of its content.

    remote/{content}              the folder, whole; equal folders of several URLs are one
    remote/urls/{hash of URL}     which content a URL had when it was last looked at
    remote/{key}.lock             held by the process that fetches, while others on this machine wait for it

A folder that `put_folder` wrote names its content in its manifest, so that one small object is read to know whether it
is here. Any other folder, such as one copied by `aws s3 cp`, is known by the names, sizes and tags of its files in the
listing, and has its content hash once it is here. Nothing removes what was fetched; the folder `remote` may be deleted.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embudget.cache import cache_folder
from embudget.errors import DamagedError, RemoteError
from embudget.files import whole_folder, write_whole
from embudget.parts import hold
from embudget.remote.address import check_secrets, is_url
from embudget.remote.attempts import attempt
from embudget.remote.folders import MANIFEST, Manifest, RemoteFile, get_file, manifest_of, read_manifest

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TAGS = ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "updated", "created")
"""What implementations of fsspec say of a file's content in a listing."""


def fetch_folder(url: str) -> Path:
    """The folder at a URL, on this machine: fetched unless its content is here already.

    Raises:
        RemoteError: nothing is there, it is not whole or damaged, it cannot be read, or this machine's disk is full.

    Example:
        >>> fetch_folder("s3://bucket/pairs")
        PosixPath('/home/me/.cache/embudget/remote/0f1e...')
    """
    url = check_secrets(url)
    manifest = read_manifest(url)
    if manifest is not None and not manifest.whole:
        raise RemoteError(f"{url} is not whole: it is being written, or that was broken off; write it again")
    known = _known(url)
    if manifest is not None:
        key, sizes = manifest.content, {name: file.bytes for name, file in manifest.files.items()}
    else:
        key, sizes = attempt(url, "read", _listed)
        if known.get("version") == key and (there := _folder(known.get("content"))) is not None:
            return there
    try:
        root = _root()
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root / f"{key}.lock"):
            content = _fetched(url, key, sizes, manifest)
        _know(url, {"url": url, "version": key, "content": content})
    except OSError as error:
        raise RemoteError(f"cannot fetch {url} into {_root()}: {error.strerror or error}") from None
    return _root() / content


def local_copy(place: str | Path) -> Path:
    """The folder itself, or, of the folder at a URL, the copy on this machine, fetched if it is not here.

    Raises:
        RemoteError: as `fetch_folder`.
    """
    return fetch_folder(place) if isinstance(place, str) and is_url(place) else Path(place)


def fetched_before(url: str) -> Path | None:
    """The folder that was last fetched from a URL, without asking whether it is still the same; None without one."""
    return _folder(_known(url.rstrip("/")).get("content"))


def fetch_files(url: str, folder: Path, files: dict[str, RemoteFile]) -> None:
    """Fetch some files of a folder at a URL into one of this machine, and compare them with their hashes.

    Raises:
        RemoteError: one of them is not there or cannot be read.
        DamagedError: one has another content than its manifest says.
        OSError: this machine's disk is full.
    """
    _download(url, folder, list(files))
    found = manifest_of(folder).files
    for name, file in files.items():
        if found.get(name) != file:
            raise DamagedError(
                f"{url}/{name} is not what {MANIFEST} says: it was changed or torn; write it again, or remove the "
                "manifest"
            )


def _fetched(url: str, key: str, sizes: dict[str, int], manifest: Manifest | None) -> str:
    """Fetch a folder unless it is there, and return the hash of its content; the lock is held meanwhile."""
    root = _root()
    if manifest is not None and (root / key).is_dir():
        return key
    if manifest is None and (again := _known(url)).get("version") == key and _folder(again.get("content")):
        return str(again["content"])  # another process has fetched it while this one waited for the lock
    free, size = shutil.disk_usage(root).free, sum(sizes.values())
    if size > free:
        raise RemoteError(f"cannot fetch {url}: it takes {size / 1e9:.3g} GB, and {root} has {free / 1e9:.3g} GB free")
    with whole_folder(root / key) as part:
        if manifest is not None:
            fetch_files(url, part, manifest.files)
        else:
            _download(url, part, list(sizes))
        content = key if manifest is not None else manifest_of(part).content
    if content != key:
        with suppress(OSError):  # another URL's equal folder came first
            (root / key).rename(root / content)
        shutil.rmtree(root / key, ignore_errors=True)
    return content


def _download(url: str, folder: Path, names: list[str]) -> None:
    for name in names:
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise RemoteError(f"{url} names a file outside of its folder: {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        get_file(f"{url}/{name}", target)


def _listed(fs: "AbstractFileSystem", path: str) -> tuple[str, dict[str, int]]:
    """What tells the files of a folder from others, by their listing alone; and their sizes."""
    found: dict[str, dict[str, Any]] = fs.find(path, detail=True)
    inside = {name[len(path) + 1 :]: about for name, about in found.items() if name.startswith(f"{path}/")}
    if not inside:
        raise FileNotFoundError("no file there")
    digest = hashlib.sha256(f"{path}\n".encode())
    for name, about in sorted(inside.items()):
        tags = {tag: str(about[tag]) for tag in _TAGS if about.get(tag) is not None}
        digest.update(f"{name} {about['size']} {json.dumps(tags)}\n".encode())
    return digest.hexdigest()[:32], {name: int(about["size"]) for name, about in inside.items()}


def _root() -> Path:
    return cache_folder() / "remote"


def _folder(content: object) -> Path | None:
    folder = _root() / str(content)
    return folder if content and folder.is_dir() else None


def _place(url: str) -> Path:
    return _root() / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _known(url: str) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(_place(url).read_text(encoding="utf-8"))
        return known if known.get("url") == url else {}
    except (OSError, ValueError, AttributeError):
        return {}


def _know(url: str, known: dict[str, str]) -> None:
    if _known(url) != known:
        _place(url).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_place(url), json.dumps(known))


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock of this machine. It ends with the process; a file system without locks has none, and both fetch."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                hold(handle)
            except BlockingIOError:
                time.sleep(0.1)
                continue
            except OSError:
                pass
            break
        yield
    finally:
        os.close(handle)
