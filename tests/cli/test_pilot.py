"""`embudget recipe` where the runs support none: the pilot study, as text, as JSON and as a file."""

import json
from pathlib import Path

import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients, fit
from embudget.study import Study
from embudget.suite import SUITES
from tests.command_line import Run

TRUTH = {"full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)}


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laws of one method, whose simulated pilots are fitted in a fraction of a second."""
    path = tmp_path_factory.mktemp("laws") / "laws.json"
    fit(simulate(World(truth=TRUTH, models=SUITES["smollm2"][::3], noise=0.01)), draws=20).save(path)
    return path


def far(laws: Path) -> tuple[object, ...]:
    return ("recipe", laws, "--budget", "1e17", "--suite", "pythia")


def test_the_first_line_says_why_and_the_file_is_a_study(run: Run, laws: Path, tmp_path: Path) -> None:
    out = tmp_path / "pilot.yaml"
    code, said, _ = run(*far(laws), "--out", out)
    assert code == 0
    first, *rest = said.splitlines()
    assert first.startswith(
        "these runs do not support a recipe for 1e+17 FLOP: 6.25e+03 times outside the budgets that"
    )
    assert first.endswith("no member of pythia was measured, only smollm2-135m")
    assert rest[-1] == f"{out}: next: set its pairs, then embudget sweep {out} --store pilot.db"
    assert any(line.startswith("  expect    a recipe that loses ") and "8 simulated worlds" in line for line in rest)
    study = Study.from_yaml(out)
    assert study.budgets == (2.5e13, 1e14, 4e14)
    assert all(member.startswith("pythia-") for member in study.members)


def test_json_says_that_it_is_not_supported(run: Run, laws: Path) -> None:
    code, said, _ = run(*far(laws), "--json")
    found = json.loads(said)
    assert (code, found["supported"]) == (0, False)
    assert set(found["pilot"]["study"]["methods"])
    assert len(found["pilot"]["regrets"]) == 8
    assert 0.03 < found["pilot"]["share"] < 0.06


def test_forced_it_is_the_far_recipe_with_the_warning_first(run: Run, laws: Path) -> None:
    code, said, _ = run(*far(laws), "--force")
    assert code == 0
    first, second, *_ = said.splitlines()
    assert first.startswith("warning: these runs do not support a recipe for 1e+17 FLOP: 6.25e+03 times outside ")
    assert second.startswith("1e+17 FLOP, 6.25e+03 times outside the measured budgets of the method")
    assert said.count("do not support") == 1
    found = json.loads(run(*far(laws), "--force", "--json").out)
    assert (found["supported"], found["batch_size"]) == (False, 16)
    near = json.loads(run("recipe", laws, "--budget", "4e13", "--json").out)
    assert near["supported"] is True


def test_neither_takes_the_place_of_the_other(run: Run, laws: Path, tmp_path: Path) -> None:
    recipe, study = tmp_path / "recipe.yaml", tmp_path / "pilot.yaml"
    near = ("recipe", laws, "--budget", "4e13")
    assert run(*near, "--out", recipe).code == 0
    before = recipe.read_text()
    refused = run(*far(laws), "--out", recipe)
    assert (refused.code, refused.out, recipe.read_text()) == (2, "", before)
    assert run(*far(laws), "--out", study).code == 0
    assert run(*far(laws), "--out", study).code == 0
    before = study.read_text()
    refused = run(*near, "--out", study)
    assert (refused.code, refused.out, study.read_text()) == (2, "", before)


def test_a_budget_too_small_for_a_pilot_is_one_line_with_the_way_out(run: Run, laws: Path) -> None:
    code, out, err = run("recipe", laws, "--budget", "4e10", "--min-steps", 1)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "do not support a recipe for 4e+10 FLOP: 25 times outside" in err
    assert "--force" in err


def test_just_beyond_the_measured_budgets_the_file_extends_the_runs(run: Run, laws: Path, tmp_path: Path) -> None:
    out = tmp_path / "pilot.yaml"
    code, said, _ = run("recipe", laws, "--budget", "2.72e14", "--out", out)
    assert code == 0
    assert said.splitlines()[0].startswith("these runs do not support a recipe for 2.72e+14 FLOP: 17 times outside")
    assert "  runs      1 on the same pairs (simulated), to be fitted with those of the " in said
    assert said.splitlines()[-1].endswith("--store THEIR_STORE, that of the measured runs")
    study = Study.from_yaml(out)
    assert study.budgets == (1.7e13,)
    assert out.read_text().startswith("# Extends the measured runs for a budget of 2.72e+14 FLOP, with 6 % of it")
