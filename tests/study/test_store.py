import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from embudget.errors import StoreError
from embudget.records import COLUMNS, RunConfig, RunRecord
from embudget.study import Store
from embudget.study.store import LEASE_SECONDS


def config(seed: int = 0) -> RunConfig:
    return RunConfig(model="m", method="full", train_flops=1e12, pairs="p", batch_size=8, learning_rate=1e-3, seed=seed)


def done(seed: int = 0) -> RunRecord:
    return RunRecord(config=config(seed), status="done", loss=1.5, tokens=10)


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(done(1))
        store.add(done(0))
    with Store(tmp_path / "s.db", create=False) as store:
        assert store.records() == [done(1), done(0)]
        assert store.ids() == {done(0).id, done(1).id}


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


def test_a_record_is_written_once(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        assert store.add(done())
        assert not store.add(done().model_copy(update={"loss": 9.0}))
        assert store.records() == [done()]
        assert store.claim(config()) is None


def test_a_claimed_run_is_not_claimed_again(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as one, Store(tmp_path / "s.db") as two:
        assert one.claim(config()) == 1
        assert two.claim(config()) is None
        one.release(config())
        assert two.claim(config()) == 2
        two.release(config(), forget=True)
        assert one.claim(config()) == 2


def test_a_lease_that_is_not_renewed_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "s.db") as store:
        now = time.time()
        assert store.claim(config()) == 1
        monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS - 1)
        assert store.claim(config()) is None
        store.renew()
        monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS + 1)
        assert store.claim(config()) is None, "renewed"
        monkeypatch.setattr(time, "time", lambda: now + 3 * LEASE_SECONDS)
        assert store.claim(config()) == 2


def test_the_lease_of_a_process_that_is_gone_ends_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from embudget.study import Store; from tests.study.test_store import config;"
        "print(Store(sys.argv[1]).claim(config()))"
    )
    root = Path(__file__).parents[2]
    claimed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.db")], cwd=root, capture_output=True, text=True, check=True
    )
    assert claimed.stdout.strip() == "1"
    with Store(tmp_path / "s.db") as store:
        assert store.claim(config()) == 2


def test_of_many_at_once_one_gets_the_run(tmp_path: Path) -> None:
    stores = [Store(tmp_path / "s.db") for _ in range(6)]
    barrier = threading.Barrier(len(stores))
    claims: list[int | None] = []

    def claim(store: Store) -> None:
        barrier.wait()
        claims.append(store.claim(config()))

    threads = [threading.Thread(target=claim, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sorted(claims, key=str) == [1, *[None] * 5]


def test_a_new_store_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(6)
    opened: list[set[str]] = []

    def start() -> None:
        barrier.wait()
        with Store(tmp_path / "s.db") as store:
            opened.append(store.ids())

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [set()] * 6


def test_a_store_whose_making_was_interrupted_is_completed(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("delete from embudget")
        connection.execute("drop table leases")
    connection.close()
    with Store(tmp_path / "s.db") as store:
        assert store.claim(config()) == 1


def test_failed_runs_can_be_forgotten(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.add(done())
        store.add(RunRecord(config=config(1), status="failed", error="lost"))
        store.add(RunRecord(config=config(2), status="failed", error="of another study"))
        store.forget_failed([config(0), config(1)])
        assert store.ids() == {config(0).id, config(2).id}


@pytest.mark.parametrize("url", ["sqlite:///s.db", "sqlite+pysqlite:///s.db", "sqlite:///s.db?timeout=30"])
def test_checkpoints_lie_beside_a_sqlite_file_however_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(url) as by_url, Store("s.db") as by_path, Store(f"sqlite:///{tmp_path}/s.db") as absolute:
        assert by_url.checkpoints == by_path.checkpoints == Path("s.db.checkpoints")
        assert absolute.checkpoints == tmp_path / "s.db.checkpoints"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:s.db?uri=true"])
def test_a_database_that_is_not_known_to_be_a_file_has_no_place_for_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(url) as store:
        assert store.checkpoints is None


def test_what_is_no_store_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello, these are my notes")
    with pytest.raises(StoreError, match="it is no SQLite file"):
        Store(text)
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
    with pytest.raises(StoreError, match="there is no store"):
        Store(tmp_path / "missing.db", create=False)
    with pytest.raises(StoreError, match="its folder does not exist"):
        Store(tmp_path / "no" / "such.db")
    with pytest.raises(StoreError, match="cannot open the store"):
        Store("nonsense://x")


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("update embudget set value = '99'")
    connection.close()
    with pytest.raises(StoreError, match="has format 99"):
        Store(tmp_path / "s.db")
