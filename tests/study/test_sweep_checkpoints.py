"""What a sweep keeps of runs in training until their records are in the store."""

import logging
from functools import partial
from pathlib import Path

import pytest
import yaml

import embudget.study
from embudget.errors import StoreError
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study
from embudget.training.checkpoints import newest_checkpoint
from embudget.training.state import trunk_name
from tests.command_line import Run
from tests.study.studies import tiny_study
from tests.study.test_sweep import Log

sweep = partial(embudget.study.sweep, checkpoint_seconds=0)
"""A sweep that writes a checkpoint after each step."""


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, schedule="cosine")


class Steps(Log):
    """Remembers the share of the budget after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[tuple[float, float]] = []

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        self.shares.append((config.train_flops, share))


def results(records: list[RunRecord]) -> list[tuple[object, ...]]:
    return [(record.status, record.loss, record.loss_curve) for record in records]


def broken_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes no record the first time."""
    original = Store.add

    def add(self: Store, record: RunRecord, *_: object) -> bool:
        monkeypatch.setattr(Store, "add", original)
        raise StoreError("cannot use the store: database or disk is full")

    monkeypatch.setattr(Store, "add", add)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_record_that_is_not_stored_does_not_cost_the_training(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    whole = sweep(study, tmp_path / "whole.db", workers)
    broken_at_the_first(monkeypatch)
    with pytest.raises(StoreError, match=r"disk is full; the finished run is kept in .*s.db.checkpoints"):
        sweep(study, tmp_path / "s.db", workers)
    (kept,) = (tmp_path / "s.db.checkpoints").glob("*.record.json")
    assert kept.name == f"{whole[0].id}.record.json"
    kept.unlink()
    found = newest_checkpoint(tmp_path / "s.db.checkpoints" / whole[0].id)
    assert found is not None and len(found.numbers["losses"]) == whole[0].steps
    log = Steps()
    assert results(sweep(study, tmp_path / "s.db", workers, log)) == results(whole)
    assert not log.shares, "all of the steps had been done"
    assert not (tmp_path / "s.db.checkpoints").exists()


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_trunk_waits_until_the_record_of_its_branch_is_stored(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    trunk = study.model_copy(update={"schedule": "wsd", "budgets": (1e9, 2e9)})
    whole = sweep(trunk, tmp_path / "whole.db", workers)
    broken_at_the_first(monkeypatch)
    log = Steps()
    with pytest.raises(StoreError, match="disk is full"):
        sweep(trunk, tmp_path / "s.db", workers, log)
    assert {budget for budget, _ in log.shares} == {1e9}
    for kept in (tmp_path / "s.db.checkpoints").glob("*.record.json"):
        kept.unlink()  # as if the disk had been full for it too
    again = Steps()
    assert results(sweep(trunk, tmp_path / "s.db", workers, again)) == results(whole)
    assert not [share for budget, share in again.shares if budget == 1e9], "the trunk and its branch are there already"
    assert not (tmp_path / "s.db.checkpoints").exists()


class Stopping(Steps):
    """Presses Ctrl-C after the second step."""

    def progress(self, config: RunConfig, share: float, loss: float) -> None:
        super().progress(config, share, loss)
        if len(self.shares) == 2:
            raise KeyboardInterrupt


def test_a_database_without_a_place_for_checkpoints_takes_a_folder(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept" / "here"
    whole = sweep(study, tmp_path / "whole.db")
    with Store("sqlite://") as store:
        with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
            sweep(study, store, listener=Stopping(), checkpoints=str(folder))
        assert newest_checkpoint(folder / whole[0].id) is not None
        log = Steps()
        assert results(sweep(study, store, listener=log, checkpoints=folder)) == results(whole)
    assert len(log.shares) == len(whole[0].loss_curve) - 2
    assert not folder.exists()
    assert "no checkpoints" not in caplog.text


def test_a_folder_that_is_given_goes_before_the_one_beside_the_store(study: Study, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", listener=Stopping(), checkpoints=tmp_path / "kept")
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / "s.db.checkpoints").exists()


def test_no_place_for_checkpoints_is_told_of_once(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Store("sqlite://") as store:
        (record,) = sweep(study, store)
    assert record.status == "done"
    assert [entry.message for entry in caplog.records] == [
        "no checkpoints are kept: the store is no SQLite file, and no folder for checkpoints was given"
    ]


def test_a_folder_for_checkpoints_that_cannot_be_made_is_refused_before_training(
    run: Run, study: Study, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json", exclude_defaults=True)))
    ended = run(
        "sweep", tmp_path / "study.yaml", "--store", tmp_path / "s.db", "--checkpoints", tmp_path / "file" / "x"
    )
    assert ended.code == 2
    (said,) = ended.err.splitlines()
    assert "checkpoints must be a folder that can be made, got" in said and said.endswith("Not a directory")
    with Store(tmp_path / "s.db") as store:
        assert not store.records()


def test_a_run_that_failed_keeps_its_checkpoints_and_one_that_diverged_none(study: Study, tmp_path: Path) -> None:
    kept = tmp_path / "s.db.checkpoints"

    class Failing(Log):
        """Fails in the last step of a run."""

        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            if share >= 1:
                raise MemoryError

    both = study.model_copy(update={"learning_rates": {"full": (1e30, 1e-3)}})
    diverged, failed = sweep(both, tmp_path / "s.db", listener=Failing())
    assert (diverged.status, failed.status) == ("diverged", "failed")
    assert [path.name for path in kept.iterdir()] == [failed.id]
    log = Steps()
    sweep(both, tmp_path / "s.db", listener=log, retry_failed=True)
    assert not log.shares
    assert not kept.exists()


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_what_a_killed_sweep_left_of_stored_runs_is_removed(study: Study, tmp_path: Path, schedule: str) -> None:
    one = study.model_copy(update={"schedule": schedule})
    (record,) = sweep(one, tmp_path / "s.db")
    name = record.id if schedule == "cosine" else trunk_name(record.config)
    left = tmp_path / "s.db.checkpoints" / name / "step-000000007"
    left.mkdir(parents=True)
    elsewhere = tmp_path / "s.db.checkpoints" / "of another run"
    elsewhere.mkdir()
    sweep(one, tmp_path / "s.db")
    assert [path.name for path in (tmp_path / "s.db.checkpoints").iterdir()] == [elsewhere.name]
