"""The options of `fit` and `recipe` reach the functions behind them."""

import json
from pathlib import Path

import pytest

from embudget.laws import Coefficients, write_records_csv
from embudget.simulate import World, simulate
from tests.command_line import Run

TRUTH = {"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)}
"""Larger is always better."""


@pytest.fixture
def laws(run: Run, tmp_path: Path) -> Path:
    world = World(truth=TRUTH, models=("smollm2-135m:1", "smollm2-135m:2"), noise=0.01)
    write_records_csv(simulate(world), tmp_path / "records.csv")
    assert run("fit", tmp_path / "records.csv", "--draws", 20, "--out", tmp_path / "laws.json").code == 0
    return tmp_path / "laws.json"


def test_steps_and_sizes_can_be_allowed(run: Run, laws: Path) -> None:
    near = json.loads(run("recipe", laws, "--budget", "4e12", "--json").out)
    assert near["model"] == "smollm2-135m:2"
    far = json.loads(
        run("recipe", laws, "--budget", "4e12", "--allow-unmeasured-sizes", "--min-steps", 1, "--json").out
    )
    assert far["model"] == "smollm2-135m:30"
    refused = run("recipe", laws, "--budget", "4e12", "--min-steps", 10**6)
    assert refused.code == 2
    assert "unless min_steps is set lower" in refused.err


def test_a_negative_seed_is_refused(run: Run, tmp_path: Path) -> None:
    refused = run("fit", tmp_path / "records.csv", "--seed", -1)
    assert refused.code == 2
    assert "--seed" in refused.err
    assert len(refused.err.splitlines()) == 1
