"""Whether recipes and their intervals keep what they promise, in 320 simulated studies of known truth."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DISTANCES = ("4", "16", "64")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("regret") / "regret.json"
    command = [sys.executable, "-m", "benchmarks.regret", "--worlds", "20", "--kinds", "form", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found: dict[str, Any] = json.loads(out.read_text())
    assert found["worlds"] == 320
    return found


@pytest.mark.slow
@pytest.mark.parametrize("what", ["run", "best", "crossing"])
def test_nominal_90_percent_intervals_hold_the_truth_in_87_to_93(judged: dict[str, Any], what: str) -> None:
    """At 4 times the largest budget: of a new run's measured loss, of the best loss, of a claimed crossover."""
    assert 0.87 <= judged["coverage"]["all"]["4"][what] <= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("times", DISTANCES)
def test_the_regret_is_at_most_half_of_the_papers_procedures(judged: dict[str, Any], times: str) -> None:
    assert judged["times_paper"][times] <= 0.5


@pytest.mark.slow
def test_every_study_gives_a_recipe_at_every_distance(judged: dict[str, Any]) -> None:
    assert judged["refused"] == []


@pytest.mark.slow
def test_no_recipe_loses_5_percent_at_4_times_the_budget(judged: dict[str, Any]) -> None:
    assert judged["over_limit"] == []
