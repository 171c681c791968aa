"""Where does a spending lie? In a folder of this machine, or at a URL, so that any other machine goes on with it.

At a URL the work is done in a copy on this machine, `outputs/` of the cache folder, which each start makes anew: what
lies at the URL counts. There come, in this order:

start.json            before anything is trained
runs.db               with each record, unless another store was named
decisions.jsonl       a line before anything of its round is trained, behind the records that it rests on
model/, candidates/   whole, as soon as they are trained; then what was measured of them

So a machine that is lost takes no more with it than a worker that is killed: what it trained since its last checkpoint.
Two machines that begin at once both train the first round; the second one to write a decision is then refused.
"""

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, final

from embudget.cache import cache_folder
from embudget.errors import ConfigError
from embudget.outputs import Input
from embudget.remote import (
    attempt,
    check_replaceable_url,
    check_writable_url,
    fetch_folder,
    folder_or_url,
    put_folder,
    read_manifest,
)
from embudget.remote.folders import get_file, names_in, put_whole
from embudget.spending.folder import (
    CANDIDATES,
    CONTENTS,
    DECISIONS,
    EVALUATION,
    LAWS,
    LEDGER,
    MODEL,
    RECIPE,
    START,
    STORE,
    check_free,
    only_spender,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_FILES = (START, STORE, DECISIONS, RECIPE, LAWS, EVALUATION, LEDGER)


class Home:
    """The folder of a spending, on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def checkpoints(self) -> Path | str:
        """Where the states of trunks go, unless the user says so."""
        return self.folder / "checkpoints"

    def put(self) -> None:
        """Have what was written here where the spending lies."""

    def address(self, folder: Path) -> str:
        """Where a worker on another machine is to write what belongs into a folder of this one."""
        return str(folder.absolute())

    def take(self, folder: Path) -> None:
        """Have here what a worker has written there."""


@final
class HomeAtUrl(Home):
    """A spending at a URL; `home_of` opens it.

    Args:
        folder: the copy on this machine.
        url: where it lies.
    """

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder)
        self.url = url
        self._there: dict[str, str] = {}
        """The hash of each file that lies at the URL as it is here."""

    @property
    def checkpoints(self) -> Path | str:
        """At the URL too."""
        return f"{self.url}/checkpoints"

    def fetch(self) -> None:
        """Make the copy anew.

        Raises:
            RemoteError: the URL cannot be read.
            ConfigError: the copy cannot be written.
        """
        try:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            names = names_in(self.url)
            for name in (name for name in _FILES if name in names):
                get_file(f"{self.url}/{name}", self.folder / name)
                self._there[name] = _hash(self.folder / name)
            candidates = {"/".join(name.split("/")[:2]) for name in names if name.startswith(f"{CANDIDATES}/")}
            for name in (MODEL, *sorted(candidates)):
                self.take(self.folder / name)
        except OSError as error:
            raise ConfigError(f"cannot write {self.folder}: {error.strerror or error}") from None

    def put(self) -> None:
        """Put what has changed since it was last put.

        Raises:
            ConfigError: another machine has written decisions meanwhile.
            RemoteError: the URL cannot be written.
        """
        self._check_alone()
        for name in _FILES:
            if (self.folder / name).exists():
                self._put_file(name)
        for folder in (self.folder / MODEL, *sorted(self.folder.glob(f"{CANDIDATES}/*"))):
            if folder.is_dir():
                put_folder(folder, self.address(folder))

    def address(self, folder: Path) -> str:
        """The same place at the URL."""
        return f"{self.url}/{folder.relative_to(self.folder).as_posix()}"

    def take(self, folder: Path) -> None:
        """Fetch a model that is whole at the URL."""
        manifest = read_manifest(self.address(folder))
        if manifest is not None and manifest.whole:
            shutil.copytree(fetch_folder(self.address(folder)), folder, dirs_exist_ok=True)

    def _check_alone(self) -> None:
        there = _content(f"{self.url}/{DECISIONS}")
        file = self.folder / DECISIONS
        if not (file.read_bytes() if file.exists() else b"").startswith(there):
            raise ConfigError(
                f"another machine spends the budget at {self.url}: wait for its end, or name another place"
            )

    def _put_file(self, name: str) -> None:
        with TemporaryDirectory() as folder:
            file = self.folder / name
            if name == STORE:  # others may write to it meanwhile
                file = Path(folder, name)
                with closing(sqlite3.connect(self.folder / name)) as here, closing(sqlite3.connect(file)) as copy:
                    here.backup(copy)
            if (now := _hash(file)) == self._there.get(name):
                return
            put_whole(file, f"{self.url}/{name}")
            self._there[name] = now


def folder_for(out: str | Path) -> Path:
    """The folder of a spending on this machine; that of the copy, where it lies at a URL."""
    place = folder_or_url(out)
    if isinstance(place, Path):
        return place
    return cache_folder() / "outputs" / hashlib.sha256(place.encode()).hexdigest()[:16] / place.rpartition("/")[2]


@contextmanager
def home_of(out: str | Path) -> Iterator[Home]:
    """Open a spending, alone on this machine.

    Raises:
        ConfigError: another process of this machine spends there, or the copy cannot be written.
        RemoteError: the URL cannot be read or written.
    """
    place, folder = folder_or_url(out), folder_for(out)
    if isinstance(place, Path):
        folder.mkdir(parents=True, exist_ok=True)
        yield Home(folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    check_writable_url(place)
    with only_spender(folder.parent, place):
        home = HomeAtUrl(folder, place)
        home.fetch()
        yield home


def check_home(out: str | Path, inputs: tuple[Input, ...]) -> None:
    """Refuse, before anything is spent, a place in which somebody's things would be replaced.

    Raises:
        ConfigError: it cannot be written, or holds results without the `start.json` of a spending.
        RunError: its model is somebody else's.
        RemoteError: likewise at a URL, or it cannot be read.
    """
    place = folder_or_url(out)
    if isinstance(place, Path):
        check_free(place, inputs)
        return
    if place in inputs:
        raise ConfigError(f"out must be a place of its own, got {place}, which is read")
    there = {name.partition("/")[0] for name in names_in(place)}
    if START not in there and (taken := sorted(there & {*CONTENTS, CANDIDATES})):
        raise ConfigError(f"{place} holds {taken[0]}, and no {START} of `embudget spend`: name another place")
    if MODEL in there:
        check_replaceable_url(f"{place}/{MODEL}")


def _content(url: str) -> bytes:
    def read(fs: "AbstractFileSystem", path: str) -> bytes:
        with suppress(FileNotFoundError):
            found: bytes = fs.cat_file(path)
            return found
        return b""

    return attempt(url, "read", read)


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
