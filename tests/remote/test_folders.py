"""Folders at URLs, by fsspec in memory and on disk: whole or not at all, once a machine, trouble in one line."""

import json
import logging
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from embudget.errors import DamagedError, RemoteError
from embudget.remote import (
    attempt,
    attempts,
    check_writable_url,
    fetch_folder,
    fetched_before,
    fetching,
    folders,
    put_folder,
    read_manifest,
    remove_folder,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_numbers = count()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 0.01)
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://bucket-{next(_numbers)}/x" if request.param == "memory" else f"file://{tmp_path}/bucket/x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "inner").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "inner" / "b.bin").write_bytes(bytes(range(256)))
    return made


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that were fetched."""
    names: list[str] = []
    original = fetching._download

    def download(url: str, folder: Path, wanted: list[str]) -> None:
        names.extend(wanted)
        original(url, folder, wanted)

    monkeypatch.setattr(fetching, "_download", download)
    yield names


def test_what_was_put_comes_back_once_a_machine(url: str, folder: Path, cache: Path, reads: list[str]) -> None:
    put_folder(folder, url)
    fetched = fetch_folder(url)
    assert content(fetched) == content(folder) and fetched.is_relative_to(cache)
    assert fetch_folder(url + "/") == fetched == fetched_before(url)
    assert len(reads) == 2, "the second time nothing is fetched"


def test_equal_folders_of_two_urls_are_one(url: str, folder: Path, reads: list[str]) -> None:
    put_folder(folder, f"{url}/1")
    put_folder(folder, f"{url}/2")
    assert fetch_folder(f"{url}/1") == fetch_folder(f"{url}/2")
    assert len(reads) == 2


def test_a_folder_that_others_copied_there_is_fetched_once_too(url: str, folder: Path, reads: list[str]) -> None:
    fs, path = fsspec.core.url_to_fs(url)
    fs.put(f"{folder}/", f"{path}/", recursive=True)
    fetched = fetch_folder(url)
    assert content(fetched) == content(folder)
    assert fetch_folder(url) == fetched and len(reads) == 2
    fs.pipe_file(f"{path}/a.txt", b"another")
    assert (fetch_folder(url) / "a.txt").read_bytes() == b"another"
    assert (fetched / "a.txt").read_text() == "one", "whoever reads the old one goes on reading it"


def test_it_is_replaced_as_a_whole(url: str, folder: Path) -> None:
    put_folder(folder, url)
    first = fetch_folder(url)
    (folder / "a.txt").rename(folder / "c.txt")
    put_folder(folder, url)
    assert content(fetch_folder(url)) == content(folder) != content(first)
    fs, path = fsspec.core.url_to_fs(url)
    assert not fs.exists(f"{path}/a.txt"), "the old folder's files are gone"


@pytest.mark.parametrize("after", range(4))
def test_a_reader_sees_all_or_nothing(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Killed behind any file, an upload leaves nothing that a reader takes for a folder; again, it is whole."""
    written = count()
    real = folders.make_parent

    def killed(fs: "AbstractFileSystem", target: str) -> None:
        if next(written) == after:
            raise KeyboardInterrupt
        real(fs, target)

    monkeypatch.setattr(folders, "make_parent", killed)
    with pytest.raises(KeyboardInterrupt):
        put_folder(folder, url)
    with pytest.raises(RemoteError, match=r"there is nothing|not whole: it is being written, or that was broken off"):
        fetch_folder(url)
    monkeypatch.setattr(folders, "make_parent", real)
    put_folder(folder, url)
    assert content(fetch_folder(url)) == content(folder)


def test_damage_is_found_and_nothing_of_it_stays(url: str, folder: Path, cache: Path) -> None:
    put_folder(folder, url)
    fs, path = fsspec.core.url_to_fs(url)
    fs.pipe_file(f"{path}/a.txt", b"two")
    with pytest.raises(DamagedError, match=r"x/a.txt is not what embudget-manifest.json says"):
        fetch_folder(url)
    assert not [path for path in (cache / "remote").iterdir() if path.is_dir()]
    fs.pipe_file(f"{path}/embudget-manifest.json", b'{"format": 1, "who')
    with pytest.raises(RemoteError, match="not whole"):
        fetch_folder(url)


def test_a_manifest_cannot_name_files_outside(url: str, folder: Path, tmp_path: Path) -> None:
    put_folder(folder, url)
    fs, path = fsspec.core.url_to_fs(url)
    said = json.loads(fs.cat_file(f"{path}/embudget-manifest.json"))
    said["files"]["../../../outside"] = said["files"].pop("a.txt")
    fs.pipe_file(f"{path}/embudget-manifest.json", json.dumps(said).encode())
    with pytest.raises(RemoteError, match=r"names a file outside of its folder: \.\./\.\./\.\./outside"):
        fetch_folder(url)


def test_the_files_of_others_are_not_overwritten(url: str, folder: Path) -> None:
    fs, path = fsspec.core.url_to_fs(url)
    fs.makedirs(path, exist_ok=True)
    fs.pipe_file(f"{path}/thesis.tex", b"mine")
    with pytest.raises(RemoteError, match=r"holds thesis.tex"):
        put_folder(folder, url)
    assert fs.cat_file(f"{path}/thesis.tex") == b"mine" and not fs.exists(f"{path}/a.txt")


def test_removed_is_removed(url: str, folder: Path) -> None:
    put_folder(folder, url)
    remove_folder(url)
    assert read_manifest(url) is None
    remove_folder(url)  # again is no trouble
    with pytest.raises(RemoteError, match=r"there is nothing"):
        fetch_folder(url)


def test_one_may_ask_whether_it_can_be_written(url: str) -> None:
    check_writable_url(url)
    fs, path = fsspec.core.url_to_fs(url)
    assert not fs.exists(path) or not fs.find(path)


def _fetch_and_say(url: str, cache: str, queue: "multiprocessing.Queue[tuple[int, str]]") -> None:
    os.environ["EMBUDGET_CACHE"] = cache
    seen: list[str] = []
    original = fetching._download

    def download(url: str, folder: Path, names: list[str]) -> None:
        seen.extend(names)
        original(url, folder, names)

    fetching._download = download
    place = str(fetch_folder(url))
    queue.put((len(seen), place))


@pytest.mark.slow
def test_of_several_processes_one_fetches(folder: Path, tmp_path: Path, cache: Path) -> None:
    url = f"file://{tmp_path}/bucket/x"
    (folder / "large.bin").write_bytes(bytes(50_000_000))
    put_folder(folder, url)
    context = multiprocessing.get_context("spawn")
    said: multiprocessing.Queue[tuple[int, str]] = context.Queue()
    workers = [context.Process(target=_fetch_and_say, args=(url, str(cache), said)) for _ in range(3)]
    for worker in workers:
        worker.start()
    answers = [said.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(number for number, _ in answers) == 3, "the three files of one process"
    assert {place for _, place in answers} == {str(fetch_folder(url))}


class Failing:
    """Raises an error the first times."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error = times, error

    def __call__(self, fs: object, path: str) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return path


PASSING = [OSError(5, "Internal Server Error"), TimeoutError("timed out"), ConnectionResetError("gone"), Exception()]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_passes_is_tried_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert attempt("memory://b/x", "read", Failing(3, error)) == "/b/x"
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("cannot read memory://b/x yet: ") and "trying again for 300 s" in said


def test_but_not_for_ever() -> None:
    call = Failing(10**6, OSError(5, "Internal Server Error"))
    with pytest.raises(RemoteError, match=r"^cannot read memory://b/x: .*Internal Server Error, for 0 s$"):
        attempt("memory://b/x", "read", call, patience=0.1)
    stop = threading.Event()
    stop.set()
    with pytest.raises(RemoteError):
        attempt("memory://b/x", "read", call, stop=stop)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), r"cannot read memory://b/x: no permission \(Forbidden\)"),
        (FileNotFoundError("The specified bucket does not exist"), r"The specified bucket does not exist$"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("sftp://me:s3cr3t@host/x refused, its port is closed?"), r"sftp://me:\*\*\*@host"),
    ],
)
def test_what_lasts_is_one_line(error: Exception, said: str) -> None:
    with pytest.raises(RemoteError, match=said) as raised:
        attempt("memory://b/x", "read", Failing(10**6, error), patience=0)
    assert "\n" not in str(raised.value) and "s3cr3t" not in str(raised.value)


def test_our_own_bugs_keep_their_traceback() -> None:
    with pytest.raises(AttributeError):
        attempt("memory://b/x", "read", lambda fs, path: fs.no_such_method(path))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://b/x", r"nosuch://b/x cannot be opened: Protocol not known: nosuch"),
        ("s3://", r"must name a bucket or a folder, as in s3://bucket/folder"),
        ("ftp://me:s3cr3t@host/x", r"must hold no password, .*ftp://me:\*\*\*@host/x: put credentials"),
        ("s3://b/x?token=s3cr3t", r"must hold no password, .*token=\*\*\*"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(url: str, said: str) -> None:
    with pytest.raises(RemoteError, match=said) as raised:
        fetch_folder(url)
    assert "s3cr3t" not in str(raised.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(RemoteError, match=r"needs the package s3fs: pip install 'embudget\[s3\]'"):
        fetch_folder("s3://bucket/x")


def test_a_full_disk_is_said_before_anything_is_fetched(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    put_folder(folder, url)
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=100))
    with pytest.raises(RemoteError, match=r"it takes 2.59e-07 GB, and .* has 1e-07 GB free"):
        fetch_folder(url)


def test_listings_are_not_cached() -> None:
    """Another machine may have written meanwhile."""
    fs, _ = attempts.opened("memory://b/x")
    assert isinstance(fs, MemoryFileSystem)
    assert not fs.dircache.use_listings_cache


def test_nothing_is_logged_without_trouble(url: str, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="embudget")
    put_folder(folder, url)
    fetch_folder(url)
    assert not [record for record in caplog.records if record.name.startswith("embudget")]
