"""What came of a forecast: two seeds of every choice, and a verdict that follows from the records."""

import json
from pathlib import Path

import pytest

from embudget.records import RunRecord
from studies.publish.check import regrets_of, runs_due, verdict
from studies.publish.forecast import choices_of, read_forecast
from tests.studies.publish.made import FORECAST

ROOT = Path(__file__).parents[3]


def test_regret_and_error_are_of_the_means_over_the_seeds() -> None:
    losses = {("m:2", "full"): {0: 2.7, 1: 2.8}, ("m:1", "full"): {0: 2.1, 1: 2.3}, ("m:4", "full"): {0: 4.25, 1: 4.55}}
    found = regrets_of(FORECAST, losses)
    assert found["error_percent"] == pytest.approx(10.0)
    assert not found["inside"]
    assert (found["best"], found["regret_percent"]) == ("m:1 full", 25.0)
    assert (found["paper_error_percent"], found["paper_regret_percent"]) == (120.0, 100.0)
    assert found["noise_percent"] == pytest.approx(100 * 0.1 / 2**0.5 / 2.2, abs=0.001)  # the seeds' 0.1, 0.2 and 0.3


def test_the_published_verdict_is_that_of_the_runs() -> None:
    folder = ROOT / "results" / "smollm2"
    assert verdict(folder) == json.loads((folder / "verdict.json").read_text())


def test_all_choices_are_checked_with_one_seed_and_then_with_another() -> None:
    made = read_forecast(ROOT / "results" / "smollm2")
    due = runs_due(made, [])
    expected = [(*choice, seed) for seed in (0, 1) for choice in choices_of(made)]
    assert [(config.model, config.method, config.seed) for config in due] == expected
    records = [RunRecord(config=config, status="done", loss=2.0) for config in due[:5]]
    assert runs_due(made, records) == due[5:]
