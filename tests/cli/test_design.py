"""What `embudget design` lays out for a budget and a target, and what it refuses, each in one line."""

import json
from pathlib import Path

import pytest

from embudget.study import Study
from tests.command_line import Run


def test_a_study_within_the_budget_is_written(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "study.yaml"
    done = run("design", "pythia", "--budget", "5e15", "--target", "1e17", "--worlds", "1", "--out", out)
    assert done.code == 0, done.err
    assert "at most 5e+15" in done.out
    study = Study.from_yaml(out)
    assert max(study.budgets) < 5e15
    assert all(name.startswith("pythia") for name in study.members)


def test_the_members_and_methods_of_a_study_are_kept_to(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "members: [pythia-14m, pythia-31m, pythia-70m, pythia-160m]\nmethods: ['lora:32']\nbudgets: [1e13]\n"
        "pairs: here\n"
    )
    done = run("design", mine, "--budget", "1.5e16", "--target", "1e17", "--worlds", "1", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["study"]["methods"] == ["lora:32"]
    assert set(found["study"]["members"]) <= {"pythia-14m", "pythia-31m", "pythia-70m", "pythia-160m"}
    assert found["study"]["pairs"].endswith("here")
    assert found["train_flops"] <= 1.5e16


def test_a_list_of_members_is_a_suite_whatever_its_comments_say(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("# by all methods\n- pythia-14m\n- pythia-31m\n- pythia-70m\n- pythia-160m\n")
    done = run("design", mine, "--budget", "1.5e16", "--target", "1e17", "--worlds", "1", "--json")
    assert done.code == 0, done.err
    assert all(name.startswith("pythia") for name in json.loads(done.out)["study"]["members"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("pythia", "--budget", "1e12", "--target", "1e17"), "budget must pay for a study"),
        (("pythia", "--budget", "2e17", "--target", "1e17"), "budget must be below the target"),
        (("nothing", "--budget", "1e16", "--target", "1e17"), "suite must be one of"),
        (("pythia", "--budget", "many", "--target", "1e17"), "budget must be a number"),
        (("pythia", "--budget", "1e16", "--target", "1e17", "--laws", "none.json"), "none.json"),
    ],
)
def test_bad_input_is_one_line(run: Run, options: tuple[str, ...], said: str) -> None:
    done = run("design", *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.strip().count("\n") == 0


def test_the_least_budget_that_is_named_is_enough(run: Run) -> None:
    refused = run("design", "pythia", "--budget", "1e12", "--target", "1e17")
    least = refused.err.partition("steps, ")[2].partition(" FLOP")[0]
    done = run("design", "pythia", "--budget", least, "--target", "1e17", "--worlds", "1", "--json")
    assert done.code == 0, done.err
