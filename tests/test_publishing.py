"""What is published of a study: the verdict on the downstream score, losses of diverged runs, a forecast's verdict."""

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from embudget.records import RunConfig, RunRecord

Load = Any


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module


def record(loss: float | None, ndcg: float | None = None, status: str = "done", **config: object) -> RunRecord:
    values = {"model": "m:2", "method": "full", "train_flops": 1e12, "learning_rate": 1e-3, "batch_size": 16}
    return RunRecord.model_validate(
        {
            "config": RunConfig.model_validate(values | {"pairs": "abc"} | config),
            "status": status,
            "loss": loss,
            "ndcg": ndcg,
        }
    )


@pytest.mark.parametrize(
    ("slopes", "expected"),
    [((-1, -1), "reproduced"), ((1, 1), "not reproduced"), ((-1, 1), "undetermined")],
)
def test_every_budget_must_agree_on_the_downstream_score(load: Load, slopes: tuple[int, int], expected: str) -> None:
    runs = [
        record(3 + place / 10, 0.5 + slope * place / 100, train_flops=budget, seed=place)
        for budget, slope in zip((1e12, 2e12), slopes, strict=True)
        for place in range(8)
    ]
    found = load("publish").downstream(runs)
    assert found["verdict"] == expected
    assert found["spearman_within_budgets"] == {"1e+12": float(slopes[0]), "2e+12": float(slopes[1])}


def test_few_runs_say_nothing_about_the_downstream_score(load: Load) -> None:
    few = [record(3 + place / 10, 0.5, seed=place) for place in range(7)]
    assert load("publish").downstream(few) == {"runs": 7, "verdict": "undetermined"}


def test_a_run_that_diverged_counts_as_chance_and_one_that_failed_not_at_all(load: Load) -> None:
    files = load("results_files")
    assert files.loss_or_chance(record(2.5)) == 2.5
    small = record(None, status="diverged", eval_pairs=64, eval_candidates=64)
    assert files.loss_or_chance(small) == pytest.approx(math.log(64))
    assert files.loss_or_chance(record(None, status="failed")) is None


def test_records_come_back_from_their_lines(load: Load, tmp_path: Path) -> None:
    files: ModuleType = load("results_files")
    records = [record(2.5, 0.5), record(2.75, seed=1)]
    files.write_lines(tmp_path / "records.jsonl", records)
    assert files.read_records(tmp_path) == records


def test_regret_and_error_are_of_the_means_over_the_seeds(load: Load) -> None:
    recipe = type(
        "R", (), {"model": "m:2", "method": "full", "train_flops": 1e12, "predicted_loss": 2.5,
                  "predicted_interval": (2.4, 2.6)},
    )  # fmt: skip
    forecast = {"paper": {"model": "m:4", "method": "full", "loss_by_its_line": 2.0}}
    runs = [record(2.7), record(2.8, seed=1), record(2.2, model="m:1"), record(None, status="diverged", model="m:4")]
    found = load("forecast").verdict(recipe, forecast, runs)
    assert found["error_percent"] == pytest.approx(10.0)
    assert not found["inside"]
    assert (found["best"], found["regret_percent"]) == ("m:1 full", 25.0)
    assert found["paper_measured"] == pytest.approx(math.log(512), abs=1e-4)
