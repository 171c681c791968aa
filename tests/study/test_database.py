"""A database in trouble: what is tried again, for how long, and what is said."""

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from embudget.errors import StoreError
from embudget.study import Store, database
from embudget.study.location import Location
from embudget.study.trouble import passes
from tests.study.store_contract import config, done


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A store that waits for a lock for 0.1 s, so that the rest is ours."""
    Store(tmp_path / "s.db").close()
    return f"sqlite:///{tmp_path}/s.db?timeout=0.1"


@contextmanager
def locked(place: str, how: str = "exclusive") -> Iterator[None]:
    connection = sqlite3.connect(place.removeprefix("sqlite:///").partition("?")[0], isolation_level=None)
    connection.execute(f"begin {how}")
    try:
        yield
    finally:
        connection.close()


@pytest.mark.parametrize("how", ["exclusive", "immediate"])
def test_a_lock_is_waited_for_and_told_of_once(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(database, "_SILENT_SECONDS", 0.2)
    kept: list[str] = []
    with Store(place) as store:
        adding = threading.Thread(target=lambda: store.add(done(), lambda: kept.append("once")))
        with locked(place, how), caplog.at_level(logging.WARNING):
            adding.start()
            time.sleep(1.5)
            assert adding.is_alive()
            assert kept == ["once"], "what would be lost is kept before it waits"
        adding.join(timeout=30)
        assert store.records() == [done()]
    (said,) = [entry.message for entry in caplog.records]
    assert said.endswith(
        "s.db?timeout=0.1 is locked or does not answer (database is locked): trying again for 10 minutes"
    )


def test_opening_waits_too_and_trouble_that_passes_at_once_is_not_told(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[set[str]] = []

    def open_it() -> None:
        with Store(place) as store:
            opened.append(store.ids())

    opening = threading.Thread(target=open_it)
    with locked(place), caplog.at_level(logging.WARNING):
        opening.start()
        time.sleep(0.5)
    opening.join(timeout=30)
    assert opened == [set()]
    assert not caplog.records


def test_trouble_that_lasts_ends_in_one_line(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    with Store(place) as store, locked(place):
        with pytest.raises(
            StoreError, match=r"cannot use the store .*: database is locked; tried again for 1 s"
        ) as error:
            store.add(done())
        with pytest.raises(StoreError), store.leases() as leases:
            leases.claim(config())
    assert len(str(error.value)) < 300


def test_a_heartbeat_gives_up_when_its_sweep_ends(place: str) -> None:
    stop = threading.Event()
    with Store(place) as store, store.leases() as leases:
        leases.claim(config())
        with locked(place):
            threading.Timer(0.5, stop.set).start()
            began = time.monotonic()
            with pytest.raises(StoreError):
                leases.renew(stop)
        assert time.monotonic() - began < 5


def said(text: str, state: str | None = None, kind: type[DBAPIError] = OperationalError) -> DBAPIError:
    cause = Exception(text)
    cause.sqlstate = state  # type: ignore[attr-defined]
    return kind("select 1", {}, cause)


REFUSED = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: Connection refused'


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (said(REFUSED), False, True),
        (said("FATAL:  the database system is starting up"), True, True),
        (said("FATAL:  sorry, too many clients already"), True, True),
        (said("terminating connection due to administrator command", "57P01"), True, True),
        (said('relation "embudget" already exists', "42P07"), True, True),
        (said("deadlock detected", "40P01"), True, True),
        (said("consuming input failed: server closed the connection unexpectedly"), False, True),
        (said('connection failed: FATAL:  password authentication failed for user "me"'), False, False),
        (said('connection failed: FATAL:  database "no" does not exist'), False, False),
        (said("permission denied for table runs", "42501"), False, False),
        (said('relation "runs" does not exist', "42P01"), False, False),
        (said("could not extend file: No space left on device", "53100"), False, False),
        (said("cannot execute INSERT in a read-only transaction", "25006"), False, False),
        (said("something nobody has thought of"), False, False),
    ],
)
def test_what_passes_by_itself(error: DBAPIError, before: bool, after: bool) -> None:
    """A server that has never answered is rather at another address than down."""
    assert (passes(error, answered=False), passes(error, answered=True)) == (before, after)


SECRET = "s3cr/t@x"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:1/db",
        "postgresql://me:s3cr%2Ft%40x@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=me&password={SECRET}",
        f"postgresql://me:{SECRET}@127.0.0.1:port/db",
        f"nonsense://me:{SECRET}@host/db",
        f"mysql+nothing://me:{SECRET}@host/db",
        f"oracle://me:{SECRET}@host/db",
        f"://me:{SECRET}@host/db",
        f"a b://me:{SECRET}@host/db",
        f"postgresql://me:{SECRET} more@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=me&password=more {SECRET}",
        f"postgresql://me:{SECRET}@[::1/db",
        f"sqlite://me:{SECRET}@host/db",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(StoreError) as error:
        Store(url)
    for part in ("s3cr", "t@x", "t%40x"):
        assert part not in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("url", "cut"),
    [
        ("postgresql://joe:s3cr@topsecret/w@localhost:1/db", True),
        ("postgresql://joe:p/w@host/db", True),
        ("postgresql://joe:pa?ss@host/db", True),
        ("postgresql://joe:p%40%2Fw@host/db", False),
        ("postgresql://host:5432/db?options=a@b", False),
        ("sqlite:////there/a@b/c@d.db", False),
    ],
)
def test_a_password_that_would_be_cut_is_refused_before_any_part_is_looked_up(url: str, cut: bool) -> None:
    if not cut:
        assert Location(url).shown
        return
    with pytest.raises(StoreError, match="as %40, %2F and %3F"):
        Location(url)
