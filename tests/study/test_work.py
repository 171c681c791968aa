"""Workers that take the runs of a study from its store, in processes of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from embudget.errors import PairsError, RunError
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunRecord
from embudget.study import Store, Study, sweep
from embudget.study.driver import place_of
from embudget.study.queue import Place
from embudget.study.work import work
from embudget.training.resources import Resources
from tests.cluster.long_runs import until
from tests.command_line import Run
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log


def queued(study: Study, made: Pairs, store: Path, **fields: object) -> Place:
    """Queue a study's runs as its driver does."""
    place = place_of(study, made, Resources(checkpoints=Path(f"{store}.checkpoints"))).model_copy(update=fields)
    with Store(store) as opened:
        opened.queue().add(study.configs(made.hash), place)
    return place


def started(store: object, *options: object, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
    """Start `embudget worker`."""
    command = [sys.executable, "-m", "embudget", "worker", str(store), *map(str, options)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(env or {}),
    )  # fmt: skip


def losses(records: list[RunRecord]) -> dict[str, tuple[object, ...]]:
    return {record.id: (record.status, record.loss, record.loss_curve) for record in records}


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, precision="float32", seeds=[0, 1])


def test_a_worker_trains_what_is_queued_and_gives_the_records_of_a_sweep(
    study: Study, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    queued(study, tiny_pairs, tmp_path / "s.db")
    log = Log()
    work(tmp_path / "s.db", listener=log)
    with Store(tmp_path / "s.db") as store:
        assert store.queue().count() == 0
        assert losses(store.records()) == losses(sweep(study, tmp_path / "whole.db"))
    assert len(log.ended) == 2
    log = Log()
    work(tmp_path / "s.db", listener=log)
    assert not log.ended, "no run is left"


def test_an_interrupted_sweep_leaves_its_runs_to_workers(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    class Interrupting(Log):
        def progress(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", listener=Interrupting())
    work(tmp_path / "s.db")
    log = Log()
    assert [record.status for record in sweep(study, tmp_path / "s.db", listener=log)] == ["done"] * 2
    assert not log.ended


def test_pairs_that_are_not_on_this_machine_are_named(
    study: Study, tiny_pairs: Pairs, tmp_path: Path, run: Run
) -> None:
    place = queued(study, tiny_pairs, tmp_path / "s.db", pairs="/nowhere/pairs")
    with pytest.raises(PairsError, match=f"needs the pairs {place.pairs_hash}, .* /nowhere/pairs: say by --pairs DIR"):
        work(tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        assert all(seen.let_go for seen in store.leases().of_others().values()), "its lease is let go"
    said = run("worker", tmp_path / "s.db", "--pairs", tiny_pairs.folder)
    assert said.code == 0 and "2 runs trained here, no run is left" in said.out


def test_runs_whose_pairs_are_gone_are_left_to_others(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    """As after a study that was interrupted, and whose folder was removed."""
    place = place_of(study, tiny_pairs, Resources())
    one, two = study.configs(tiny_pairs.hash)
    with Store(tmp_path / "s.db") as store:
        store.queue().add([one], place.model_copy(update={"pairs": "/nowhere/pairs"}), {one.id: 1e9})
        store.queue().add([two], place, {two.id: 1.0})
        work(store)
        assert [record.id for record in store.records()] == [two.id]
        assert store.queue().ids() == {one.id}


def test_other_pairs_are_refused(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    queued(study, tiny_pairs, tmp_path / "s.db", pairs_hash="0" * 16)
    with pytest.raises(PairsError, match=f"but {tiny_pairs.folder} holds {load_pairs(tiny_pairs.folder).hash}"):
        work(tmp_path / "s.db", pairs=tiny_pairs.folder)


def test_a_model_that_is_not_on_this_machine_fails_no_run(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    gone = [run.model_copy(update={"model": f"{tmp_path}/gone:1"}) for run in study.configs(tiny_pairs.hash)]
    with Store(tmp_path / "s.db") as store:
        store.queue().add(gone, place_of(study, tiny_pairs, Resources()))
        with pytest.raises(RunError, match="this machine lacks the model of the run"):
            work(store)
        assert store.records() == [] and store.queue().count() == 2


def test_runs_whose_model_is_not_here_are_left_to_others(study: Study, tiny_pairs: Pairs, tmp_path: Path) -> None:
    place = place_of(study, tiny_pairs, Resources())
    one, two = study.configs(tiny_pairs.hash)
    gone = [one.model_copy(update={"model": f"{tmp_path}/gone_%:1", "seed": seed}) for seed in (2, 3)]
    with Store(tmp_path / "s.db") as store:
        store.queue().add([*gone, two], place, {gone[0].id: 1e9, gone[1].id: 1e8, two.id: 1.0})
        work(store)
        assert [record.id for record in store.records()] == [two.id]
        assert store.queue().ids() == {run.id for run in gone}
        assert all(seen.let_go for seen in store.leases().of_others().values())


def test_the_store_comes_from_the_environment(
    study: Study, tiny_pairs: Pairs, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(study, tiny_pairs, tmp_path / "s.db")
    monkeypatch.setenv("EMBUDGET_STORE", str(tmp_path / "s.db"))
    assert "2 runs trained here" in run("worker").out
    assert run("worker", tmp_path / "missing.db").code == 2


def test_a_worker_does_not_wait_for_promised_runs_where_another_machine_is_needed(
    study: Study, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """It would keep the place of one with more memory, or with the model that this one lacks."""
    one, two = study.configs(tiny_pairs.hash)
    gone = two.model_copy(update={"model": f"{tmp_path}/gone:1"})
    with Store(tmp_path / "s.db") as store, store.leases() as driver:
        driver.promise_more()
        store.queue().add([one], place_of(study, tiny_pairs, Resources()))
        store.queue().too_small([one.id], 1e30)
        work(store)
        store.queue().forget([one.id])
        store.queue().add([gone], place_of(study, tiny_pairs, Resources()))
        with pytest.raises(RunError, match="this machine lacks the model of the run"):
            work(store)


@pytest.mark.slow
def test_a_worker_waits_for_promised_runs_and_leaves_when_no_more_come(
    study: Study, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    one, two = study.configs(tiny_pairs.hash)
    place = place_of(study, tiny_pairs, Resources())
    with Store(tmp_path / "s.db") as store, store.leases() as driver:
        driver.promise_more()
        store.queue().add([one], place)
        worker = started(tmp_path / "s.db")
        until(lambda: len(store.ids()) == 1)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(5)
        store.queue().add([two], place)
        until(lambda: len(store.ids()) == 2)
        driver.close()
        out, err = worker.communicate(timeout=60)
        assert "2 runs trained here" in out
        assert 1 <= err.count("no run is free: waiting for those that are to come") <= 2, "once each time"


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_lets_go_and_another_goes_on(
    tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    """SIGTERM, as of a preempted node, costs no attempt and no step; what the run was at is seen in its lease."""
    study = tiny_study(tiny_neox, tiny_pairs, precision="float32", budgets=[5e10], max_epochs=100_000)
    whole = sweep(study, tmp_path / "whole.db")
    queued(study, tiny_pairs, tmp_path / "s.db", checkpoint_seconds=1e9)
    (config,) = study.configs(tiny_pairs.hash)
    worker = started(tmp_path / "s.db", "--name", "node-1")
    with Store(tmp_path / "s.db") as store:
        seen = wait_for_progress(store)
        assert seen.id == config.id and seen.worker == "node-1" and seen.loss > 0 and 0 < seen.pace < 1e6
        worker.send_signal(signal.SIGTERM)
        said = worker.communicate(timeout=120)[1]
        assert worker.returncode == 128 + signal.SIGTERM, said
        assert all(seen.let_go for seen in store.leases().of_others().values()) and store.records() == []
        assert list((tmp_path / "s.db.checkpoints").glob("*/step-*")), said
        work(store)
        assert losses(store.records()) == losses(whole)
        assert [record.attempts for record in store.records()] == [1]


def wait_for_progress(store: Store, seconds: float = 300.0):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a row
    """A lease that says how far its run is."""
    from sqlalchemy import select

    from embudget.study.tables import LEASES

    query = select(LEASES).where(LEASES.c.pace > 0, LEASES.c.token != "")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (row := store._database.read(lambda connection: connection.execute(query).first())) is not None:
            return row
        time.sleep(0.1)
    raise AssertionError("no run has made progress")
