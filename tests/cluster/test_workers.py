"""Workers that share a study through PostgreSQL: an outage of the server, clocks that differ, a study that moves."""

import sys
import threading
import time
from itertools import count
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study, sweep
from embudget.study.executors.base import Crew
from tests.cluster.conftest import PASSWORD, Server
from tests.command_line import Run
from tests.study.crew_of_processes import COMMAND, Processes
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log
from tests.study.test_work import losses

pytestmark = pytest.mark.cluster

_numbers = count()


@pytest.fixture
def place(server: Server) -> str:
    name = f"workers {next(_numbers)}"
    server.create(name)
    return f"postgresql://me:{quote_plus(PASSWORD)}@127.0.0.1:{server.port}/{name}"


@pytest.fixture(scope="module")
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(
        tiny_neox, tiny_pairs, precision="float32", methods=["full", "lora:4"], seeds=[0, 1], budgets=[3e9],
        max_epochs=1000,
    )  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(study: Study, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    return losses(sweep(study, tmp_path_factory.mktemp("undisturbed") / "s.db"))


class Stopping(Log):
    """Stops the server at the first step that it hears of, and starts it again half a minute later."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.timer = server, threading.Timer(30.0, server.start)
        self.stopped = 0.0

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        if not self.stopped:
            self.stopped = time.monotonic()
            self.server.stop()
            self.timer.start()


def test_an_outage_of_the_server_of_half_a_minute_costs_nothing(
    server: Server, place: str, study: Study, tmp_path: Path, undisturbed: dict[str, tuple[object, ...]]
) -> None:
    log, crew = Stopping(server), list[Processes]()

    def hired(store: Store) -> Crew:
        crew.append(Processes(store))
        return crew[0]

    longer = study.model_copy(update={"budgets": (2e10,)})
    whole = losses(sweep(longer, tmp_path / "whole.db"))
    records = sweep(longer, place, workers=2, listener=log, checkpoints=tmp_path / "kept", executor=hired)
    log.timer.join()
    assert log.stopped and time.monotonic() - log.stopped > 30
    assert losses(records) == whole
    assert {record.attempts for record in records} == {1}, "while it was down nobody could renew a lease"
    assert len(crew[0].workers) == 2, "no worker was lost"


AN_HOUR_OFF = """
import os, time
real = time.time
time.time = lambda: real() + 3600

from embudget.study.work import STORE, work

if __name__ == "__main__":
    work(os.environ[STORE], name="an hour ahead")
"""


def test_a_clock_that_is_an_hour_off_changes_nothing(
    place: str, study: Study, tmp_path: Path, undisturbed: dict[str, tuple[object, ...]]
) -> None:
    off = (sys.executable, "-c", AN_HOUR_OFF)
    before = time.time()
    records = sweep(
        study, place, workers=2, checkpoints=tmp_path / "k", executor=lambda store: Processes(store, [off, COMMAND])
    )
    assert losses(records) == undisturbed
    assert {record.attempts for record in records} == {1}, "no lease ended early"
    with Store(place) as store:
        times = written(store)
    assert times == sorted(times) and before - 60 < min(times) and max(times) < time.time() + 60


def written(store: Store) -> list[float]:
    """When the records were written, in the order in which they are read."""
    from sqlalchemy import select

    from embudget.study.tables import RUNS

    query = select(RUNS.c.written).order_by(RUNS.c.written)
    return list(store._database.read(lambda connection: connection.execute(query).scalars().all()))


def test_a_study_that_was_begun_in_a_file_goes_on_in_postgresql_and_comes_back(
    run: Run, place: str, study: Study, tmp_path: Path, undisturbed: dict[str, tuple[object, ...]]
) -> None:
    class Leaving(Log):
        def finished(self, record: RunRecord) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", listener=Leaving())
    said = run("store", "copy", tmp_path / "s.db", place)
    assert said.code == 0 and "1 record and 3 queued runs" in said.out
    assert "s3cr" not in said.out + said.err
    said = run("worker", place)
    assert said.code == 0 and "3 runs trained here, no run is left" in said.out
    assert "s3cr" not in said.out + said.err
    said = run("store", "copy", place, tmp_path / "back.db")
    assert said.code == 0 and "4 records" in said.out
    with Store(tmp_path / "back.db") as store:
        assert losses(store.records()) == undisturbed
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"s3cr" not in path.read_bytes()
