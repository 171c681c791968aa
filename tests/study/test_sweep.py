import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from embudget.errors import ConfigError, ModelError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Plan, Store, Study, SweepListener, sweep
from embudget.study.claims import MAX_ATTEMPTS
from embudget.study.executors import process
from embudget.study.leases import Hold
from tests.study.studies import tiny_study
from tests.training.batches import LOSS_ROUNDING


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, members=[f"{tiny_neox}:1", f"{tiny_neox}:2"], methods=["full", "lora:4"])


class Log(SweepListener):
    """Remembers what a sweep tells."""

    def __init__(self) -> None:
        self.ended: list[RunRecord] = []
        self.already: list[RunRecord] = []
        self.losses: list[tuple[str, int]] = []
        self.elsewhere: list[RunConfig] = []

    def held(self, config: RunConfig) -> None:
        self.elsewhere.append(config)

    def planned(self, plan: Plan, done: Sequence[RunRecord]) -> None:
        self.already = list(done)

    def finished(self, record: RunRecord) -> None:
        self.ended.append(record)

    def lost(self, config: RunConfig, reason: str, attempt: int) -> None:
        self.losses.append((reason, attempt))


class Interrupting(Log):
    """Presses Ctrl-C in the second run."""

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        if len(self.ended) == 1:
            raise KeyboardInterrupt


class Killing(Log):
    """Kills the process of the first run to report progress, as often as it is told to."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.victim: str | None = None

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        self.victim = self.victim or config.id
        if config.id == self.victim and len(self.losses) < self.times:
            for child in multiprocessing.active_children():
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)


def test_a_sweep_does_every_run_once(study: Study, tmp_path: Path) -> None:
    first, second = Log(), Log()
    records = sweep(study, tmp_path / "s.db", listener=first)
    assert [record.status for record in records] == ["done"] * 4
    assert len(first.ended) == 4
    assert sweep(study, tmp_path / "s.db", listener=second) == records
    assert not second.ended
    assert len(second.already) == 4


def test_an_interrupted_sweep_does_only_what_is_missing(study: Study, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", listener=Interrupting())
    log = Log()
    records = sweep(study, tmp_path / "s.db", listener=log)
    assert len(records) == 4
    assert len(log.ended) == 3
    assert {record.attempts for record in records} == {1}, "an interruption is not the run's fault"


def test_a_worker_whose_driver_was_killed_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours, theirs = multiprocessing.Pipe()

    def execute(task: object, orders: object, on_progress: Callable[..., None]) -> Iterator[None]:
        ours.close()
        on_progress("a run", 0.5, 1.0)
        yield None

    monkeypatch.setattr(process, "execute", execute)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    ours.send(("a task", "its orders"))
    assert process._serve(theirs, 0, 1) == 0
    assert ours.closed


def test_a_run_that_cannot_be_done_does_not_end_the_sweep(study: Study, tmp_path: Path) -> None:
    bad = study.model_copy(update={"learning_rates": {"full": (1e30, 1e-3)}})
    records = sweep(bad, tmp_path / "s.db")
    failed = [record for record in records if record.status == "diverged"]
    assert len(records) == 6
    assert {record.config.learning_rate for record in failed} == {1e30}
    assert all("the loss became nan" in (record.error or "") for record in failed)
    assert all(record.loss is None for record in failed)
    log = Log()
    sweep(bad, tmp_path / "s.db", listener=log)
    sweep(bad, tmp_path / "s.db", listener=log, retry_failed=True)
    assert not log.ended, "it would diverge again"


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_trouble_that_is_not_the_runs_fault_ends_the_sweep(
    study: Study, tmp_path: Path, tiny_neox: Path, workers: int
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_neox, broken)
    (broken / "model.safetensors").write_bytes(b"cut short")
    unusable = study.model_copy(update={"members": (f"{broken}:1",)})
    with pytest.raises(ModelError, match="cannot load"):
        sweep(unusable, tmp_path / "s.db", workers=workers)
    with Store(tmp_path / "s.db") as store:
        assert store.records() == []


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_run_done_again(study: Study, tmp_path: Path) -> None:
    log = Killing(times=1)
    one = study.model_copy(update={"members": study.members[:1], "methods": ("full",)})
    (record,) = sweep(one, tmp_path / "s.db", workers=2, listener=log)
    assert record.status == "done"
    assert record.attempts == 2
    assert log.losses == [("its process ended with signal 9", 1)]


@pytest.mark.slow
def test_a_run_whose_worker_dies_each_time_is_given_up(study: Study, tmp_path: Path) -> None:
    log = Killing(times=MAX_ATTEMPTS)
    one = study.model_copy(update={"members": study.members[:1], "methods": ("full",)})
    (record,) = sweep(one, tmp_path / "s.db", workers=2, listener=log)
    assert record.status == "failed"
    assert record.attempts == MAX_ATTEMPTS
    assert record.error == "its process ended with signal 9 (3 attempts)"


@pytest.mark.slow
def test_worker_processes_give_the_same_records(study: Study, tmp_path: Path) -> None:
    alone = sweep(study, tmp_path / "a.db")
    shared = sweep(study, tmp_path / "b.db", workers=2)
    assert [record.loss for record in alone] == pytest.approx([record.loss for record in shared], abs=LOSS_ROUNDING)


def test_a_run_that_another_sweep_holds_is_left_to_it(study: Study, tmp_path: Path, tiny_pairs: Pairs) -> None:
    held = study.configs(tiny_pairs.hash)[0]
    log = Log()
    with Store(tmp_path / "s.db") as other, other.leases() as leases:
        assert leases.claim(held) is Hold.OURS
        records = sweep(study, tmp_path / "s.db", listener=log)
    assert len(records) == 3
    assert held.id not in {record.id for record in records}
    assert log.elsewhere == [held]


def test_nothing_worth_doing_and_no_workers(study: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run of the study is worth doing"):
        sweep(study.model_copy(update={"min_steps": 10**6}), tmp_path / "s.db")
    with pytest.raises(ConfigError, match="workers must be >= 1, got 0"):
        sweep(study, tmp_path / "s.db", workers=0)
