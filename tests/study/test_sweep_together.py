"""Sweeps that meet: one that was killed, one that lost workers, one with its store in trouble, and what comes after."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from embudget.errors import ConfigError, StoreError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study, database, execution, sweep
from embudget.study import leases as leases_module
from embudget.study.claims import MAX_ATTEMPTS
from embudget.study.execution import Lost, Orders, OutOfMemory
from embudget.study.executors import local
from embudget.study.leases import Hold
from embudget.study.own_runs import OwnRuns
from embudget.study.trunks import Task
from embudget.training.resources import Resources
from embudget.training.run import OnRunProgress
from tests.command_line import Run
from tests.study.store_contract import as_of_another_process
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log

ORDERS = Orders(Path(), Resources())


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, seeds=[0, 1], schedule="cosine")


class Watching(Log):
    """Remembers what it waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.watched: list[int] = []

    def watching(self, count: int, seconds: float) -> None:
        self.watched.append(count)


def test_the_runs_of_a_sweep_that_is_no_more_are_taken_over_after_its_lease(
    study: Study, tmp_path: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ran on another machine, so that only its silence tells."""
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 1.0)
    log = Watching()
    with Store(tmp_path / "s.db") as other, other.leases() as leases:
        assert leases.claim(study.configs(tiny_pairs.hash)[0]) is Hold.OURS
        as_of_another_process(leases, monkeypatch)
        records = sweep(study, tmp_path / "s.db", listener=log)
    assert [(record.status, record.attempts) for record in records] == [("done", 1)] * 2
    assert log.watched == [1], "told once"
    assert not log.elsewhere


def test_the_runs_of_a_sweep_at_work_elsewhere_are_left_to_it(
    study: Study, tmp_path: Path, tiny_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 2.0)
    config, log, stop = study.configs(tiny_pairs.hash)[0], Watching(), threading.Event()
    with Store(tmp_path / "s.db") as other, other.leases() as leases:
        assert leases.claim(config) is Hold.OURS
        as_of_another_process(leases, monkeypatch)

        def beat() -> None:
            while not stop.wait(0.3):
                leases.renew()

        heart = threading.Thread(target=beat)
        heart.start()
        records = sweep(study, tmp_path / "s.db", listener=log)
        stop.set()
        heart.join()
    assert len(records) == 1
    assert log.elsewhere == [config]


@pytest.fixture
def claimed(study: Study, tmp_path: Path, tiny_pairs: Pairs) -> tuple[Store, RunConfig]:
    return Store(tmp_path / "s.db"), study.configs(tiny_pairs.hash)[0]


def test_a_sweep_that_is_killed_costs_no_attempt_however_often(claimed: tuple[Store, RunConfig]) -> None:
    store, config = claimed
    for _ in range(2 * MAX_ATTEMPTS):
        killed = OwnRuns(store, [config], Log(), ORDERS)
        assert killed.next_task() == (config,)
        leases_module._in_use.discard(killed._leases._token)
    with OwnRuns(store, [config], Log(), ORDERS) as last:
        assert last.next_task() == (config,)
        assert last._leases.losses(config).total == 0
    store.close()


def test_only_losses_without_progress_give_a_run_up(claimed: tuple[Store, RunConfig], tmp_path: Path) -> None:
    store, config = claimed
    log, kept = Log(), Orders(Path(), Resources(checkpoints=tmp_path / "kept"))
    with OwnRuns(store, [config], log, kept) as sweeping:
        for step in range(2 * MAX_ATTEMPTS):
            assert sweeping.next_task() == (config,)
            (tmp_path / "kept" / config.id / f"step-{step:09d}").mkdir(parents=True)
            sweeping.settle(Lost((config,), "signal 9"))
    assert store.records() == []
    with OwnRuns(store, [config], log, kept) as sweeping:  # the loss before it counts
        for _ in range(MAX_ATTEMPTS - 1):
            assert sweeping.next_task() == (config,)
            sweeping.settle(Lost((config,), "signal 9"))
        assert sweeping.next_task() is None
    (record,) = store.records()
    assert (record.status, record.error) == ("failed", "signal 9 (8 attempts)")
    store.close()


def test_a_record_that_was_not_stored_is_added_by_the_next_sweep_in_the_same_process(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep(study, tmp_path / "whole.db")
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    lock = sqlite3.connect(tmp_path / "s.db", isolation_level=None)

    class Locking(Log):
        """Locks the store at the end of the first run, for longer than the sweep has patience."""

        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            if share >= 1 and not lock.in_transaction:
                lock.execute("begin exclusive")

    place = f"sqlite:///{tmp_path}/s.db?timeout=0.1"
    with Store(place) as store:
        with pytest.raises(StoreError, match=r"the finished run is kept in .* and added by the next sweep"):
            sweep(study, store, listener=Locking())
        lock.close()
        log = Log()
        records = sweep(study, store, listener=log)
    assert [record.loss for record in records] == [record.loss for record in whole]
    assert len(log.already) == 1 and len(log.ended) == 1, "its own lease is not another's"
    assert not (tmp_path / "s.db.checkpoints").exists()


def test_a_lock_in_the_middle_of_a_sweep_costs_nothing(study: Study, tmp_path: Path) -> None:
    lock = sqlite3.connect(tmp_path / "s.db", isolation_level=None, check_same_thread=False)

    class Locking(Log):
        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            if share >= 1 and not self.ended and not lock.in_transaction:
                lock.execute("begin exclusive")
                threading.Timer(1.0, lock.rollback).start()

    records = sweep(study, f"sqlite:///{tmp_path}/s.db?timeout=0.1", listener=Locking())
    lock.close()
    assert [record.status for record in records] == ["done", "done"]
    assert not (tmp_path / "s.db.checkpoints").exists()


def test_what_is_no_record_is_left_where_it_lies(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "s.db.checkpoints"
    folder.mkdir()
    (folder / "x.record.json").write_text("[" * 100_000)
    assert len(sweep(study, tmp_path / "s.db")) == 2
    assert (folder / "x.record.json").exists()


@pytest.mark.parametrize("failing", [True, False])
def test_a_sweep_with_failed_runs_ends_with_1_and_one_that_diverged_with_0(
    run: Run, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    from embudget.cli.sweep_bar import SweepBar

    def fail(*_: object) -> None:
        if failing:
            raise MemoryError

    monkeypatch.setattr(SweepBar, "progress", fail)
    chosen = study if failing else study.model_copy(update={"learning_rates": {"full": (1e30,)}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(chosen.model_dump(mode="json", exclude_defaults=True)))
    ended = run("sweep", tmp_path / "study.yaml", "--store", tmp_path / "s.db", "--checkpoint-minutes", "0.5")
    assert ended.code == (1 if failing else 0)
    assert ("0 runs done, 2 failed" if failing else "0 runs done, 2 diverged, 0 failed") in ended.out


def test_the_time_between_checkpoints_reaches_the_runs(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    seen: list[float | None] = []

    def execute(task: Task, orders: Orders, on_progress: OnRunProgress) -> Iterator[RunRecord | OutOfMemory]:
        seen.append(orders.resources.checkpoint_seconds)
        return execution.execute(task, orders, on_progress)

    monkeypatch.setattr(local, "execute", execute)
    sweep(study, tmp_path / "s.db")
    sweep(study, tmp_path / "t.db", checkpoint_seconds=7.0)
    assert seen == [Resources().checkpoint_seconds] * 2 + [7.0] * 2
    for bad in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="checkpoint_seconds must be >= 0"):
            sweep(study, tmp_path / "s.db", checkpoint_seconds=bad)
    assert run("sweep", "study.yaml", "--checkpoint-minutes", "-1").code == 2


def test_a_heartbeat_renews_the_lease_of_a_long_run(
    claimed: tuple[Store, RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 1.0)
    store, config = claimed
    with OwnRuns(store, [config], Log(), ORDERS) as sweeping, store.leases() as other:
        assert sweeping.next_task() == (config,)
        as_of_another_process(sweeping._leases, monkeypatch)
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert other.claim(config) is not Hold.OURS
            time.sleep(0.1)
    store.close()
