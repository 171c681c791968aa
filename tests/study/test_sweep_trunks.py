"""Sweeps with `schedule: wsd`: a trunk is one task, its runs are recorded one by one. The training is a stand-in."""

from pathlib import Path

import pytest

import embudget.training.trunk
from embudget.cli.sweep_bar import SweepBar, label
from embudget.pairs import Pairs, load_pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store, Study, driver, plan, sweep
from embudget.study.claims import MAX_ATTEMPTS
from embudget.study.leases import Hold
from tests.study.fake_trunk import FOLDER, FakingPath, train_trunk
from tests.study.studies import tiny_study
from tests.study.test_sweep import Interrupting, Log

BUDGETS = (2e9, 4e9, 8e9)


@pytest.fixture
def trunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in for the training writes what it was asked for."""
    folder = tmp_path / "trunks"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setattr(embudget.training.trunk, "train_trunk", train_trunk)
    monkeypatch.setattr(driver, "load_pairs", faking_pairs)
    return folder


def faking_pairs(folder: str | Path) -> Pairs:
    """Pairs whose path brings the stand-in into worker processes."""
    found = load_pairs(folder)
    return Pairs(FakingPath(found.folder), found.info)


@pytest.fixture
def study(tiny_neox: Path, tiny_pairs: Pairs) -> Study:
    return tiny_study(tiny_neox, tiny_pairs, budgets=BUDGETS, schedule="wsd")


def asked(trunks: Path) -> list[str]:
    return (trunks / "asked").read_text().splitlines()


def attempts(records: list[RunRecord]) -> dict[float, int]:
    return {record.config.train_flops: record.attempts for record in records}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_one_trunk_serves_all_budgets(study: Study, trunks: Path, tmp_path: Path, workers: int) -> None:
    both = study.model_copy(update={"methods": ("full", "lora:4")})
    log = Log()
    records = sweep(both, tmp_path / "s.db", workers, log)
    assert asked(trunks) == ["2e+09 4e+09 8e+09"] * 2
    assert [record.status for record in records] == ["done"] * 6
    assert len(log.ended) == 6
    assert set(attempts(records).values()) == {1}
    assert sweep(both, tmp_path / "s.db", workers) == records
    assert len(asked(trunks)) == 2


def test_only_what_is_missing_of_a_trunk_is_trained(study: Study, trunks: Path, tmp_path: Path) -> None:
    sweep(study.model_copy(update={"budgets": BUDGETS[:2]}), tmp_path / "s.db")
    records = sweep(study, tmp_path / "s.db")
    assert asked(trunks) == ["2e+09 4e+09", "8e+09"]
    assert len(records) == 3


def test_an_interrupted_trunk_keeps_the_runs_that_have_ended(study: Study, trunks: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        sweep(study, tmp_path / "s.db", listener=Interrupting())
    records = sweep(study, tmp_path / "s.db")
    assert asked(trunks) == ["2e+09 4e+09 8e+09", "4e+09 8e+09"]
    assert set(attempts(records).values()) == {1}


@pytest.mark.slow
def test_a_trunk_whose_process_is_lost_is_redone_from_there(study: Study, trunks: Path, tmp_path: Path) -> None:
    (trunks / "4e+09").write_text("kill 1")
    log = Log()
    records = sweep(study, tmp_path / "s.db", workers=2, listener=log)
    assert asked(trunks) == ["2e+09 4e+09 8e+09", "4e+09 8e+09"]
    assert log.losses == [("its process ended with signal 9", 1)]
    assert [record.status for record in records] == ["done"] * 3
    assert attempts(records) == {2e9: 1, 4e9: 2, 8e9: 1}


@pytest.mark.slow
def test_a_run_that_loses_its_process_each_time_does_not_cost_the_others(
    study: Study, trunks: Path, tmp_path: Path
) -> None:
    (trunks / "4e+09").write_text(f"kill {MAX_ATTEMPTS}")
    first, second, third = sweep(study, tmp_path / "s.db", workers=2)
    assert (first.status, second.status, third.status) == ("done", "failed", "done")
    assert second.error == "its process ended with signal 9 (3 attempts)"
    assert asked(trunks)[-1] == "8e+09"


def test_a_run_that_fails_ends_its_trunk(study: Study, trunks: Path, tmp_path: Path) -> None:
    (trunks / "4e+09").write_text("fail")
    records = sweep(study, tmp_path / "s.db")
    assert [(record.status, record.error) for record in records] == [
        ("done", None), ("failed", "no more pairs"), ("failed", "no more pairs"),
    ]  # fmt: skip
    (trunks / "4e+09").unlink()
    records = sweep(study, tmp_path / "s.db", retry_failed=True)
    assert [record.status for record in records] == ["done"] * 3
    assert asked(trunks)[-1] == "4e+09 8e+09"


def test_a_run_that_diverged_is_not_done_again(study: Study, trunks: Path, tmp_path: Path) -> None:
    (trunks / "8e+09").write_text("diverge")
    records = sweep(study, tmp_path / "s.db")
    assert [record.status for record in records] == ["done", "done", "diverged"]
    assert sweep(study, tmp_path / "s.db", retry_failed=True) == records
    assert len(asked(trunks)) == 1


def test_a_trunk_that_another_sweep_is_on_is_left_to_it(
    study: Study, trunks: Path, tmp_path: Path, tiny_pairs: Pairs
) -> None:
    configs = study.configs(tiny_pairs.hash)
    two = study.model_copy(update={"methods": ("full", "lora:4")})
    log = Log()
    with Store(tmp_path / "s.db") as other, other.leases() as leases:
        other.add(RunRecord(config=configs[0], status="done", loss=1.0))
        assert leases.claim(configs[1]) is Hold.OURS
        records = sweep(two, tmp_path / "s.db", listener=log)
    assert log.elsewhere == configs[1:]
    assert {record.config.method for record in records[1:]} == {"lora:4"}
    assert len(records) == 4


def test_the_run_under_way_is_held_until_its_trunk_ends(study: Study, trunks: Path, tmp_path: Path) -> None:
    class Rival(Log):
        """Tries to take each run of the trunk at every step."""

        def progress(self, config: RunConfig, share: float, loss: float) -> None:
            with Store(tmp_path / "s.db") as rival, rival.leases() as leases:
                assert leases.claim(config) is Hold.HELD

    assert len(sweep(study, tmp_path / "s.db", listener=Rival())) == 3


def test_the_bar_counts_what_runs_share_once(study: Study, tiny_pairs: Pairs) -> None:
    planned = plan(study, tiny_pairs)
    first, second, third = [run.config for run in planned.runs]
    with SweepBar() as bar:
        bar.planned(planned, [])
        (task,) = bar._bar.tasks
        assert task.total == pytest.approx(8e9 + 0.2 * 6e9)
        bar.progress(first, 0.5, 2.0)
        assert task.completed == pytest.approx(1e9)
        bar.finished(RunRecord(config=first, status="done", loss=1.0))
        bar.progress(second, 0.4, 2.0)  # at the branching point of the first
        assert task.completed == pytest.approx(2e9)
        bar.progress(second, 1.0, 2.0)
        assert task.completed == pytest.approx(2e9 + 4e9 - 1.6e9)
        bar.finished(RunRecord(config=second, status="done", loss=1.0))
        bar.progress(third, 1.0, 2.0)
        assert task.completed == pytest.approx(task.total)


def test_what_is_said_of_a_run_stays_one_line_as_it_is(
    study: Study, tiny_pairs: Pairs, capsys: pytest.CaptureFixture[str]
) -> None:
    config = plan(study, tiny_pairs).runs[0].config
    reason = f"[bold]{'a long reason ' * 10}[Errno 2] lora:100:alpha=32"
    with SweepBar() as bar:
        bar.lost(config, reason, 1)
    assert capsys.readouterr().err.splitlines() == [f"{label(config)}: {reason} in attempt 1"]
