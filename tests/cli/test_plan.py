"""What `embudget plan` says of a budget and of a study, and what it refuses, each in one line."""

import inspect
import json
import re
from pathlib import Path

import pytest

from embudget.cli import plan as cli_plan
from embudget.cli import spend as cli_spend
from embudget.pairs import Pairs
from tests.command_line import Run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBUDGET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("embudget.spending.probe.SECONDS", 3.0)


ASKED = ("--suite", "micro", "--methods", "full,lora:8", "--worlds", "1", "--batch-size", "4")


def test_a_budget_is_played_through(run: Run, tiny_pairs: Pairs) -> None:
    done = run("plan", "--budget", "4e10", "--pairs", tiny_pairs.folder, "--no-probe", *ASKED, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert 0 <= found["searched"] < 1
    assert found["search_flops"] + found["final_flops"] <= 4e10 * (1 + 1e-6)
    assert found["search_seconds"] is None
    low, high = found["interval"]
    assert low < found["expected_loss"] < high
    assert [one["what"] for one in found["cases"]] == ["half the budget", "twice the budget", "twice the pairs"]
    assert found["memory_of"] == "micro-3m full"


def test_hours_are_what_search_and_final_run_take_together(run: Run, tiny_pairs: Pairs) -> None:
    given = ("--hours", "0.02", "--dollars-per-hour", "3", "--pairs", tiny_pairs.folder, *ASKED)
    done = run("plan", *given, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["search_seconds"] + found["final_seconds"] == pytest.approx(72, rel=0.02)
    assert found["dollars"] == pytest.approx(0.06, rel=0.02)
    assert "FLOP/s" in found["speed"]


def test_a_study_is_timed_too(run: Run, tiny_pairs: Pairs, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(
        f"members: [micro-200k]\nmethods: [full]\nbudgets: [2e9, 8e9]\npairs: {tiny_pairs.folder}\nbatch_size: 4\n"
        "min_steps: 1\neval_pairs: 16\neval_candidates: 8\nmax_epochs: 50\n"
    )
    done = run("plan", study)
    assert done.code == 0, done.err
    assert "2 runs" in done.out
    assert re.search(r"time      \d+ s of one device: \d+ s to train, ", done.out), "not as 0.00052 hours"
    assert "timed on" in done.out
    refused = run("plan", study, "--device-memory", "2MB", "--no-probe")
    assert refused.code == 2
    assert "--device-memory must be at least" in refused.err
    dropped = run("plan", study, "--search-share", "0.2", "--no-probe")
    assert dropped.code == 2 and "--search-share goes with a budget" in dropped.err, "not ignored in silence"
    both = run("plan", study, "--budget", "1e9")
    assert "either a study or a budget" in both.err


def test_it_has_each_option_by_which_a_spending_differs(run: Run, tiny_pairs: Pairs) -> None:
    """What is planned is what is spent: a plan without --keep would be of another spending."""
    asked = ("--budget", "4e10", "--pairs", tiny_pairs.folder, "--no-probe", *ASKED, "--json")
    one, two = (json.loads(run("plan", *asked, "--keep", keep, "--max-runs", "2").out) for keep in ("1", "2"))
    assert two["runs"] <= 2
    assert two["disk_bytes"] > one["disk_bytes"], "each of two final runs leaves a model"
    only_of_spending = {"out", "store", "dry_run", "checkpoints", "slurm", "ray", "ray_options", "report"}
    spend, plan = (set(inspect.signature(module.command).parameters) for module in (cli_spend, cli_plan))
    assert spend - plan == only_of_spending


PAPER = Path(__file__).parents[2] / "studies" / "paper.yaml"


def test_a_study_is_planned_for_devices_that_are_not_here(run: Run) -> None:
    done = run("plan", PAPER, "--device", "h100", "--count", "64", "--mfu", "0.4", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["device"], found["count"], found["mfu"]) == ("h100", 64, 0.4)
    text = run("plan", PAPER, "--device", "h100", "--count", "64", "--mfu", "0.4").out
    assert f"{found['runs']} runs" in text
    for word in ("tokens", "pairs", "time", "money", "memory", "storage"):
        assert f"\n  {word} " in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--count", "64"), "--count with a study goes with --device"),
        (("--mfu", "0.4"), "--mfu with a study goes with --device"),
        (("--device", "h100", "--count", "0"), "--count must be >= 1"),
        (("--device", "h100", "--mfu", "2"), "--mfu must be <= 1"),
        (("--device", "abacus"), "--device must be one of"),
        (("--device", "h100", "--no-probe"), "is about this machine"),
        (("--device", "h100", "--device-memory", "10MB"), "--device-memory must be at least"),
        (("--device", "h100", "--dollars-per-hour", "0"), "--dollars-per-hour must be"),
        (("--device", "h100", "--search-share", "0.2"), "--search-share goes with a budget"),
        ((), "pairs folder"),
    ],
)
def test_what_does_not_go_with_a_study_is_one_line(run: Run, options: tuple[str, ...], said: str) -> None:
    done = run("plan", PAPER, *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "exactly one of"),
        (("--budget", "4e9", "--count", "2"), "--count goes with a study"),
        (("--budget", "4e9", "--hours", "1"), "exactly one of"),
        (("--budget", "1e6", "--no-probe"), "the least that works is"),
        (("--hours", "1", "--no-probe"), "hours need the speed of this machine"),
        (("--budget", "4e9", "--device-memory", "2MB", "--no-probe"), "no member fits into the memory"),
        (("--budget", "4e9", "--device-memory", "many", "--no-probe"), "--device-memory must be > 0"),
        (("--budget", "4e9", "--devices", "2"), "devices goes with hours"),
        (("--budget", "4e9", "--keep", "60", "--no-probe"), "--keep must be at most"),
        (("--budget", "4e9", "--negatives", "some", "--no-probe"), "--negatives must be whole numbers"),
    ],
)
def test_bad_input_is_one_line(run: Run, tiny_pairs: Pairs, options: tuple[str, ...], said: str) -> None:
    done = run("plan", "--pairs", tiny_pairs.folder, *ASKED, *options)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
