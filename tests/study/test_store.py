"""A SQLite file as a store: what holds for every database, and what is its own."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from embudget.errors import StoreError
from embudget.records import COLUMNS, RunRecord
from embudget.study import Store
from embudget.study import leases as leases_module
from embudget.study.executors.promise import Promise
from embudget.study.leases import Hold
from tests.study.queue_contract import PLACE, QueueContract
from tests.study.store_contract import StoreContract, config, done, failed
from tests.study.test_kills import until


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s.db"


class TestSqlite(StoreContract):
    pass


class TestQueueInSqlite(QueueContract):
    pass


def test_the_records_are_a_table_of_one_row_a_run(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        assert store.frame().columns.tolist() == list(COLUMNS)
        store.add(done(1))
        store.add(RunRecord(config=config(2), status="failed", error="out of memory"))
        runs = store.frame()
    assert runs["id"].tolist() == [config(1).id, config(2).id]
    assert runs[["seed", "budget", "learning_rate", "batch_size"]].to_numpy().tolist() == [
        [1, 1e12, 1e-3, 8], [2, 1e12, 1e-3, 8]
    ]  # fmt: skip
    assert runs["loss"].dropna().to_dict() == {0: 1.5}, "a run that failed has no loss, not one of 0"
    assert runs["seconds"].isna().all() and runs["seconds"].dtype == float
    assert runs["error"].tolist() == [None, "out of memory"]
    assert runs["decay"].isna().all(), "a cosine has no decay"


CLAIM = (
    "import sys, os; from embudget.study import Store; from tests.study.store_contract import config;"
    "leases = Store(sys.argv[1]).leases(); print(leases.claim(config()).name, flush=True);"
)


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CLAIM + code, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


def test_the_lease_of_a_process_that_is_gone_ends_at_once(tmp_path: Path) -> None:
    with start("os._exit(0)", tmp_path / "s.db") as other:
        assert other.communicate()[0].strip() == "OURS"
    with Store(tmp_path / "s.db") as store, store.leases() as leases:
        assert leases.claim(config()) is Hold.OURS
        assert leases.losses(config()).total == 0


def test_the_lease_of_a_process_that_lives_is_known_to_hold(tmp_path: Path) -> None:
    with start("sys.stdin.read()", tmp_path / "s.db") as other:
        assert other.stdout is not None and other.stdout.readline().strip() == "OURS"
        with Store(tmp_path / "s.db") as store, store.leases() as leases:
            assert leases.claim(config()) is Hold.HELD
        other.communicate("")


def test_a_promise_of_more_runs_holds_as_long_as_its_driver_keeps_it(tmp_path: Path) -> None:
    """It is a lease of no run: nobody takes it for a run under way."""
    with Store(tmp_path / "s.db") as store, store.leases() as worker, store.leases() as other:
        driver = store.leases()
        assert not worker.more_to_come()
        driver.promise_more()
        other.promise_more()
        assert worker.more_to_come() and worker.of_others() == {}
        now = store.progress().look()
        assert (now.running, now.more, now.over) == ((), True, False), "who watches stays between rounds, too"
        store.check_idle()
        driver.close()
        other.promise_more()
        assert worker.more_to_come(), "a second driver takes it over"
        other.close()
        assert not worker.more_to_come() and store.progress().look().over


def test_a_promise_is_kept_while_its_driver_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may take longer than a lease lasts: workers that left meanwhile would have to be hired anew."""
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 0.2)

    def beats() -> int:
        with closing(sqlite3.connect(tmp_path / "s.db")) as database:
            return sum(beat for (beat,) in database.execute("SELECT beat FROM leases"))

    with Store(tmp_path / "s.db") as store, store.leases() as worker:
        promise = Promise(store)
        for _ in range(2):
            promise.make()
            promise.make()
            since = beats()
            until(lambda since=since: beats() > since + 2)  # type: ignore[misc]
            assert worker.more_to_come()
            promise.end()
            assert not worker.more_to_come()


def test_the_promise_of_a_driver_that_was_killed_is_over_at_once(tmp_path: Path) -> None:
    with start("leases.promise_more(); os._exit(0)", tmp_path / "s.db") as driver:
        driver.communicate()
    with Store(tmp_path / "s.db") as store, store.leases() as worker:
        assert not worker.more_to_come()


def test_a_file_that_sleepers_and_locks_left_alone_is_watched_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever slept through the lease's time has seen nothing of it."""
    from tests.study.store_contract import as_of_another_process

    now = 0.0
    with Store(tmp_path / "s.db") as store, store.leases() as theirs, store.leases() as ours:
        assert theirs.claim(config()) is Hold.OURS
        as_of_another_process(theirs, monkeypatch)
        monkeypatch.setattr(time, "monotonic", lambda: now)
        assert ours.claim(config()) is Hold.UNSURE
        now = 10_000.0
        assert ours.claim(config()) is Hold.UNSURE, "it looked twice, not all the time"
        for _ in range(4):
            now += leases_module.LEASE_SECONDS / 4
            ours.renew()
        assert ours.claim(config()) is Hold.UNSURE
        now += 1
        assert ours.claim(config()) is Hold.OURS


def test_a_store_whose_making_was_interrupted_is_completed(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("delete from embudget")
        connection.execute("drop table leases")
    connection.close()
    with Store(tmp_path / "s.db") as store, store.leases() as leases:
        assert leases.claim(config()) is Hold.OURS


OLD = """
create table embudget (key varchar(32) primary key, value varchar(64) not null);
create table runs (id varchar(16) primary key, config text not null, status varchar(16) not null, record text not null,
    written double not null);
create table leases (id varchar(16) primary key, owner varchar(128) not null, expires double not null,
    attempts integer not null);
insert into embudget values ('format', '1');
"""


def test_a_store_of_the_older_format_is_read_as_it_is_and_goes_on(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with sqlite3.connect(old) as connection:
        connection.executescript(OLD)
        connection.execute("insert into leases values (?, 'host:1:x', 9e99, 2)", (config(1).id,))
        row = (done().id, done().config.model_dump_json(), "done", done().model_dump_json(exclude_none=True), 1.0)
        connection.execute("insert into runs values (?, ?, ?, ?, ?)", row)
    connection.close()
    before = old.read_bytes()
    with Store(old) as store:
        assert store.records() == [done()]
    assert old.read_bytes() == before, "reading changes nothing"
    with Store(old) as one, Store(old) as two, one.leases() as ours, two.leases() as theirs:
        assert ours.claim(config(1)) is Hold.OURS, "leases of the older format end with it"
        assert theirs.claim(config(1)) is Hold.HELD, "its leases are replaced once"
        assert one.add(done(1))
        assert two.records() == [done(), done(1)]


def test_a_table_that_takes_no_lease_is_refused_instead_of_asked_for_ever(tmp_path: Path) -> None:
    """As one that another program has given a column of its own."""
    with Store(tmp_path / "s.db") as store:
        with sqlite3.connect(tmp_path / "s.db") as connection:
            (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'leases'").fetchone()
            connection.execute("DROP TABLE leases")
            connection.execute(made.replace("(", "(theirs INTEGER NOT NULL, ", 1))
        connection.close()
        with store.leases() as leases, pytest.raises(StoreError, match=r"NOT NULL constraint failed: leases\.theirs"):
            leases.claim(config(0))


def test_a_store_of_the_format_without_a_queue_gets_one_when_a_run_is_queued(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with sqlite3.connect(old) as connection:
        connection.executescript(OLD.replace("'1'", "'2'"))
    connection.close()
    with Store(old) as store:
        assert store.add(done()), "a record is added without one"
        assert store.queue().count() == 0 and store.queue().ids() == set() and store.leases().of_others() == {}
        store.queue().add([config(0), config(1)], PLACE)
        assert store.queue().ids() == {config(1).id}
        assert store.leases().claim(config(1)) is Hold.OURS


@pytest.mark.parametrize("url", ["sqlite:///s.db", "sqlite+pysqlite:///s.db", "sqlite:///s.db?timeout=30"])
def test_checkpoints_lie_beside_a_sqlite_file_however_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(url) as by_url, Store("s.db") as by_path, Store(f"sqlite:///{tmp_path}/s.db") as absolute:
        assert by_url.checkpoints == by_path.checkpoints == Path("s.db.checkpoints")
        assert absolute.checkpoints == tmp_path / "s.db.checkpoints"


def test_a_uri_of_sqlite_and_a_file_that_is_called_like_one_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("sqlite:///file:s.db?uri=true") as store:
        store.add(done())
        assert store.checkpoints == Path("s.db.checkpoints")
    assert Store("s.db", create=False).records() == [done()]
    with Store("file:t.db") as store:
        assert store.checkpoints == Path("file:t.db.checkpoints")
    assert (tmp_path / "file:t.db").is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", ":memory:", "sqlite:///file::memory:?uri=true"])
def test_a_database_in_memory_has_no_place_for_checkpoints_and_serves_all_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    import threading

    monkeypatch.chdir(tmp_path)
    found: list[set[str]] = []
    with Store(url) as store:
        assert store.checkpoints is None
        store.add(done())
        thread = threading.Thread(target=lambda: found.append(store.ids()))
        thread.start()
        thread.join()
    assert found == [{done().id}]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["s?x=1.db", "100%.db", "a%20b.db", "a#b.db", "with space.db", 'it\'s "quoted".db', "ü?&=.db", "a@b:c.db"]
)
def test_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (name, tmp_path / name):
        with Store(place) as store:
            store.add(done())
            assert store.checkpoints == Path(f"{place}.checkpoints")
            assert store.location == str(place)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        with Store(place, create=False) as store:
            assert store.records() == [done()]


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello, these are my notes")
    for place in (text, f"sqlite:///{text}"):
        with pytest.raises(StoreError, match="it is no SQLite file"):
            Store(place)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("create table recipes (id integer)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(StoreError, match="database of another program: it holds recipes"):
        Store(other)
    assert other.read_bytes() == before
    with pytest.raises(StoreError, match="got the folder"):
        Store(tmp_path)
    for missing in (tmp_path / "missing.db", f"sqlite:///{tmp_path}/missing.db"):
        with pytest.raises(StoreError, match="there is no store"):
            Store(missing, create=False)
    assert not (tmp_path / "missing.db").exists()
    with pytest.raises(StoreError, match="its folder does not exist"):
        Store(tmp_path / "no" / "such.db")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="a device or a pipe"):
        Store(tmp_path / "pipe")


@pytest.mark.parametrize("wrong", [None, 3, b"s.db", "a\0b.db", "x" * 300 + ".db", "nonsense://x", "", "://"])
def test_what_cannot_be_a_store_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: object) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError) as error:
        Store(wrong)  # type: ignore[arg-type]
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("update embudget set value = '99'")
    connection.close()
    with pytest.raises(StoreError, match="has format 99"):
        Store(tmp_path / "s.db")


@pytest.mark.parametrize("row", ["{", "[1]", "null", "[" * 50_000, b"\xff\xfe", 3, '{"config": 1}'])
def test_a_row_that_is_no_record_is_one_line(tmp_path: Path, row: object) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(failed())
        with sqlite3.connect(tmp_path / "s.db") as connection:
            connection.execute("update runs set record = ?", (row,))
        connection.close()
        with pytest.raises(StoreError, match=config().id) as error:
            store.records()
    assert len(str(error.value)) < 300 + len(str(tmp_path))


def test_errors_that_do_not_pass_end_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    with Store(tmp_path / "s.db") as store:
        with sqlite3.connect(tmp_path / "s.db") as connection:
            connection.execute("drop table runs")
        connection.close()
        with pytest.raises(StoreError, match="no such table: runs"):
            store.add(done())
    with Store(f"sqlite:///file:{tmp_path}/t.db?uri=true") as store:
        store.add(done())
    with Store(f"sqlite:///file:{tmp_path}/t.db?mode=ro&uri=true") as store:
        assert store.records() == [done()]
        with pytest.raises(StoreError, match="readonly"):
            store.add(done(1))
    assert time.monotonic() - began < 5
