"""PostgreSQL as a store, with a real server: what holds for every store, restarts, passwords, several sweeps."""

import logging
import threading
from itertools import count
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import yaml

from embudget.errors import StoreError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study, database, sweep
from embudget.study import leases as leases_module
from embudget.study.leases import Hold
from tests.cluster.conftest import PASSWORD, Server
from tests.command_line import Run
from tests.study.queue_contract import QueueContract
from tests.study.store_contract import StoreContract, as_of_another_process, config, done
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log

pytestmark = pytest.mark.cluster

_numbers = count()


@pytest.fixture
def place(server: Server) -> str:
    name = f"study {next(_numbers)}"
    server.create(name)
    return f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/{name}"


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, methods=["full", "lora:4"], seeds=[0, 1])


class TestPostgresql(StoreContract):
    pass


class TestQueueInPostgresql(QueueContract):
    pass


class Restarting(Log):
    """Stops the server in the first run, and starts it again two seconds later."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.stopped = False

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        if share >= 1 and not self.stopped:
            self.stopped = True
            self.server.stop()
            threading.Timer(2.0, self.server.start).start()


def losses(records: list[RunRecord]) -> list[tuple[str, float | None, int]]:
    return [(record.status, record.loss, record.attempts) for record in records]


def test_a_restart_of_the_server_costs_nothing(
    server: Server,
    place: str,
    study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(database, "_SILENT_SECONDS", 0.2)
    whole = sweep(study, tmp_path / "whole.db")
    log = Restarting(server)
    with caplog.at_level(logging.WARNING):
        records = sweep(study, place, listener=log, checkpoints=tmp_path / "kept")
    assert log.stopped
    assert losses(records) == losses(whole)
    assert not (tmp_path / "kept").exists(), "the record kept meanwhile is in the store"
    said = [entry.message for entry in caplog.records]
    assert any("trying again for 10 minutes" in line for line in said)
    assert not any(PASSWORD in line or quote_plus(PASSWORD) in line for line in said)


def test_a_server_that_does_not_come_back_leaves_the_record_to_the_next_sweep(
    server: Server, place: str, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 1.0)

    class Stopping(Log):
        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            if share >= 1:
                server.stop()

    with Store(place) as store:
        try:
            with pytest.raises(StoreError, match="the finished run is kept in") as error:
                sweep(study, store, listener=Stopping(), checkpoints=tmp_path / "kept")
            with pytest.raises(StoreError) as unreachable:
                Store(place)
        finally:
            server.start()
        log = Log()
        records = sweep(study, store, listener=log, checkpoints=tmp_path / "kept")
    for shown in (str(error.value), str(unreachable.value)):
        assert "s3cr" not in shown and len(shown) < 300 + len(str(tmp_path))
    assert [record.status for record in records] == ["done"] * 4
    assert len(log.already) == 1


def test_a_restart_of_the_server_ends_no_lease(server: Server, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it was down nobody could renew."""
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 3.0)
    with Store(place) as store, store.leases() as theirs, store.leases() as ours:
        assert theirs.claim(config()) is Hold.OURS
        as_of_another_process(theirs, monkeypatch)
        server.stop()
        threading.Event().wait(3.5)
        server.start()
        assert ours.claim(config()) is Hold.UNSURE
        assert theirs.renew() == set()
        assert ours.claim(config()) is Hold.HELD


def test_a_wrong_password_ends_at_once_and_is_not_shown(place: str) -> None:
    with pytest.raises(StoreError, match="password authentication failed") as error:
        Store(place.replace("s3cr", "wr0ng"))
    assert "wr0ng" not in str(error.value)


def test_the_command_line_shows_no_password(run: Run, place: str, study: Study, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    kept = ("--checkpoints", tmp_path / "kept")
    printed = [
        run("sweep", str(tmp_path / "study.yaml"), "--store", place, *kept, "-v"),
        run("sweep", str(tmp_path / "study.yaml"), "--store", place, *kept, "--dry-run"),
        run("records", place),
        run("records", place, place),
        run("fit", place, "--columns", "loss=x"),
        run("fit", place, "--out", tmp_path / "laws.json"),
        run("report", place, "--laws", "smollm2", "--out", tmp_path / "r.html"),
    ]
    assert [said.code for said in printed[:3]] == [0, 0, 0]
    assert f"postgresql://me:***@127.0.0.1:{place.partition('127.0.0.1:')[2]}: 4 runs done" in printed[0].out
    for said in printed:
        assert "s3cr" not in said.out + said.err
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"s3cr" not in path.read_bytes()


def test_two_sweeps_share_the_runs(place: str, study: Study, tmp_path: Path) -> None:
    import subprocess
    import sys

    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    command = [
        sys.executable, "-m", "embudget", "sweep", str(tmp_path / "study.yaml"), "--store", place,
        "--checkpoints", str(tmp_path / "k"),
    ]  # fmt: skip
    sweeps = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=300) for one in sweeps]
    assert [one.returncode for one in sweeps] == [0, 0], said
    with Store(place) as store:
        assert [record.status for record in store.records()] == ["done"] * 4
        assert {record.attempts for record in store.records()} == {1}
        assert not store.add(done().model_copy(update={"config": store.records()[0].config}))
    assert sum(err.count(": loss ") for _, err in said) == 4, "no run was trained twice"
