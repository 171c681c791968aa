"""Where a store lies: the path of a SQLite file, or a URL that SQLAlchemy reads.

A path is taken as it is, whatever characters it holds. A URL may hold passwords: what is shown of it hides them.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from embudget.errors import ConfigError, StoreError
from embudget.passwords import hide_in_address, hide_passwords, hide_secrets, secrets_of

_SQLITE = ("sqlite", "sqlite+pysqlite")
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""A server that has vanished without a word is noticed within half a minute, instead of the two hours of TCP."""


class Location:
    """A store's address.

    Args:
        given: a path, or a URL with `://`.

    Raises:
        StoreError: it is neither.
    """

    def __init__(self, given: str | Path) -> None:
        if not isinstance(given, str | os.PathLike):
            raise StoreError(f"a store is the path of a file or a URL, got {type(given).__name__}")
        text = os.fspath(given)
        if not isinstance(text, str) or "\0" in text:
            raise StoreError(f"a store is the path of a file or a URL, got {text!r}"[:200])
        self._secrets: set[str] = set()
        self._plain = False
        if isinstance(given, str) and "://" in given:
            self.shown = hide_in_address(text)
            _check_letters(text)
            self._secrets = secrets_of(text)
            self.url = _driven(_parsed(text, self.shown))
            if self.url.password:
                self._secrets.add(str(self.url.password))
        else:
            self._plain = True
            self.shown = text
            self.url = URL.create("sqlite", database=text or ".")

    def __str__(self) -> str:
        return self.shown

    def hide(self, text: str) -> str:
        """Hide this address's passwords in what a driver said."""
        return hide_passwords(hide_secrets(text, self._secrets))

    @property
    def address(self) -> str:
        """The whole address, passwords included, that means the same in another folder."""
        if self.file is not None and self._plain:
            return str(self.file.absolute())
        moved = self.url if self.file is None or self._is_uri else self.url.set(database=str(self.file.absolute()))
        return moved.render_as_string(hide_password=False)

    @property
    def apart(self) -> str:
        """What tells this store from others: the same from every folder of a network, and whoever logs in.

        Raises:
            ConfigError: only this process can reach it.
        """
        if self.is_memory:
            raise ConfigError("no job can reach a store in memory: give a file or a PostgreSQL server")
        if self.file is not None:
            return str(self.file.resolve())
        return f"{self.url.get_backend_name()}://{self.url.host}:{self.url.port}/{self.url.database}"

    @property
    def is_sqlite(self) -> bool:
        """Whether Python's own SQLite is asked."""
        return self.url.drivername in _SQLITE

    @property
    def is_memory(self) -> bool:
        """Whether the database lives in this process alone."""
        name = self.url.database or ""
        uri = self._is_uri and ("mode=memory" in name or ":memory:" in name)
        return self.is_sqlite and (name in ("", ":memory:") or uri or self.url.query.get("mode") == "memory")

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for any other, and for one in memory."""
        if not self.is_sqlite or self.is_memory:
            return None
        name = str(self.url.database)
        if self._is_uri:
            from urllib.parse import unquote, urlsplit

            name = unquote(urlsplit(name).path)
        return Path(name)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for the driver's connections, where the URL does not give them."""
        if self.is_memory:
            return {"check_same_thread": False}
        if self.url.drivername in ("postgresql+psycopg", "postgresql+psycopg2"):
            return {name: value for name, value in _LIBPQ.items() if name not in self.url.query}
        return {}

    @property
    def _is_uri(self) -> bool:
        """Whether SQLite reads the name as a URI of its own, `file:...`; a plain file may be called so too."""
        name = self.url.database or ""
        return name.startswith("file:") and str(self.url.query.get("uri", "")).lower() in ("true", "1", "yes", "on")

    def check_file(self, create: bool) -> None:
        """Refuse a path at which no store is or can be, before SQLite makes a file there.

        Raises:
            StoreError: it is a folder or a device, another program's file, missing, or in a folder that is.
        """
        if (path := self.file) is None:
            return
        try:
            if path.is_dir():
                raise StoreError(f"a store is a file or a URL, got the folder {path}")
            if path.exists():
                if not path.is_file():
                    raise StoreError(f"a store is a file or a URL, got {path}, a device or a pipe")
                with path.open("rb") as file:
                    start = file.read(16)
                if start and start != b"SQLite format 3\0":
                    raise StoreError(f"{path} is not a store: it is no SQLite file")
            elif not create:
                raise StoreError(f"there is no store at {path}")
            elif not path.absolute().parent.is_dir():
                raise StoreError(f"cannot make the store {path}: its folder does not exist")
        except OSError as error:
            raise StoreError(f"cannot open the store {str(path)[:150]}: {error.strerror}") from None
        except ValueError:  # characters that no file's name can hold
            raise StoreError(f"cannot open the store {str(path)[:100]!r}: no file can have this name") from None


def _check_letters(address: str) -> None:
    """Refuse a server's address that would be cut in the middle of its password, a part of which is then looked up."""
    scheme, _, rest = address.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        return
    path = rest.partition("?")[0]
    authority = path.partition("/")[0]
    cut_at_a_question_mark = path == authority and ":" in path and "@" not in path and "@" in rest
    if authority.count("@") > 1 or "@" in path[len(authority) :] or cut_at_a_question_mark:
        raise StoreError("in the URL of a store, write @, / and ? of a user or a password as %40, %2F and %3F")


def _parsed(text: str, shown: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # what it says may hold parts of a password
        raise StoreError(
            f"cannot open the store {shown[:150]}: a URL must be dialect://user:password@host/name, with special "
            "characters of the password as %XX"
        ) from None


def _driven(url: URL) -> URL:
    """Name the driver of PostgreSQL: psycopg, unless the older one is what is installed."""
    if url.drivername not in ("postgresql", "postgres"):
        return url
    older = importlib.util.find_spec("psycopg") is None and importlib.util.find_spec("psycopg2") is not None
    return url.set(drivername="postgresql+psycopg2" if older else "postgresql+psycopg")
