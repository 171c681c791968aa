"""What the commands say of trunks: the savings of a dry run, the schedule of a single run."""

from pathlib import Path

import pytest
import yaml

import embudget.training.run
from embudget.pairs import Pairs
from embudget.records import RunConfig, RunRecord
from embudget.study import Store
from tests.command_line import Run


@pytest.fixture
def study_file(tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path) -> Path:
    values = {
        "members": [f"{tiny_neox}:1", f"{tiny_neox}:2"],
        "methods": ["full"],
        "budgets": [2e9, 4e9, 8e9],
        "pairs": str(tiny_pairs.folder),
        "batch_size": {"at": 4e9, "pairs": 12, "exponent": 0.5},
        "max_length": 32,
        "min_steps": 1,
        "eval_pairs": 32,
        "eval_candidates": 32,
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "study.yaml"


def with_wsd(study_file: Path) -> Path:
    study_file.write_text(study_file.read_text() + "schedule: wsd\n")
    return study_file


def test_a_dry_run_says_what_trunks_save(run: Run, study_file: Path, tmp_path: Path) -> None:
    out = run("sweep", with_wsd(study_file), "--store", tmp_path / "s.db", "--dry-run").out
    assert "6 runs, 1.84e+10 FLOP, 0 left out; 6 to do" in out
    assert "the same runs one by one would take 2.8e+10 FLOP, 1.52 times as much" in out
    assert "one batch size for all budgets: 12 pairs, the rule's at their geometric middle, 4e+09 FLOP" in out


def test_a_dry_run_says_what_trunks_would_save(run: Run, study_file: Path, tmp_path: Path) -> None:
    study_file.write_text(study_file.read_text() + "schedule: cosine\n")
    out = run("sweep", study_file, "--store", tmp_path / "s.db", "--dry-run").out
    assert "6 runs, 2.8e+10 FLOP" in out
    assert "with schedule: wsd they would take 1.84e+10 FLOP, 1.52 times less" in out
    assert "batch size" not in out


def test_nothing_is_said_of_trunks_with_one_budget(run: Run, study_file: Path, tmp_path: Path) -> None:
    study_file.write_text(study_file.read_text().replace("- 4000000000.0\n", "").replace("- 8000000000.0\n", ""))
    out = run("sweep", study_file, "--store", tmp_path / "s.db", "--dry-run").out
    assert "2 runs, 4e+09 FLOP" in out
    assert "wsd" not in out


@pytest.mark.parametrize("status", ["done", "diverged"])
def test_records_show_a_schedule_where_there_is_one(run: Run, tmp_path: Path, status: str) -> None:
    config = RunConfig(model="m", method="full", train_flops=1e9, pairs="p", batch_size=8, learning_rate=1e-3)
    other = config.model_copy(update={"schedule": "wsd"})
    with Store(tmp_path / "s.db") as store:
        store.add(RunRecord(config=config, status="done", loss=1.0))
        assert "schedule" not in run("records", tmp_path / "s.db").out
        store.add(RunRecord.model_validate({"config": other, "status": status}))
    header, first, second = run("records", tmp_path / "s.db").out.splitlines()
    assert header.split()[-2:] == ["schedule", "id"]
    assert first.split()[-2:] == ["cosine", config.id[:8]]
    assert second.split()[-3:] == [status, "wsd", other.id[:8]]


def test_a_single_run_may_have_the_schedule(
    run: Run, tiny_neox: Path, tiny_pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[RunConfig] = []

    def train(config: RunConfig, *_: object, **__: object) -> tuple[None, RunRecord]:
        asked.append(config)
        return None, RunRecord(
            config=config, status="done", train_flops=1e8, seconds=1, tokens=1, steps=1, loss=1, accuracy=1
        )

    monkeypatch.setattr(embudget.training.run, "train", train)
    options = ["--model", tiny_neox, "--method", "full", "--pairs", tiny_pairs.folder, "--out", tmp_path / "m"]
    assert run("train", *options, "--budget", "1e8", "--schedule", "wsd").code == 0
    assert run("train", *options, "--budget", "1e8").code == 0
    assert [(config.schedule, config.warmup) for config in asked] == [("wsd", 0.1), ("cosine", 0.1)]
