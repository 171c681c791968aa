"""The tables of policies, by hand; and a command that goes on where it was stopped."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import spend
from benchmarks.spend_tables import Row, groups_of, summary_of, tables


def row(policy: str, seed: int, regret: float, held: bool | None = None, kind: str = "chinchilla-shared-small") -> Row:
    """A row with a regret that is all of choice."""
    return {
        "kind": kind, "seed": seed, "times": 30.0, "policy": policy, "regret": regret, "by_search": 0.0,
        "by_choice": regret, "by_rate": 0.0, "searched": 0.5, "runs": 4, "held": held, "seconds": 1.0,
        "final": "a full", "diverged": False,
    }  # fmt: skip


def test_differences_are_paired_and_their_errors_are_of_the_mean() -> None:
    """Worlds that are hard for both cancel: rival minus spend is 0.02 and 0.06, 4 +- 2 points."""
    rows = [
        row("spend", 1, 0.10, True), row("spend", 2, 0.50, False), row("asha", 1, 0.12), row("asha", 2, 0.56),
        row("paper", 1, 0.2), row("paper", 2, 0.6), row("oracle-default", 1, 0.0), row("oracle-default", 2, 0.0),
        row("spend", 3, 0.9),
    ]  # fmt: skip
    summary = summary_of(rows, ["spend", "asha", "paper", "oracle-default"])
    table = summary["tables"]["all 30"]
    assert table["worlds"] == summary["worlds"] == 2  # the third has no row of the others
    ours, asha = table["policies"]["spend"], table["policies"]["asha"]
    assert (ours["mean"], ours["error"]) == (30, pytest.approx(20))
    assert (asha["difference"], asha["difference_error"]) == (pytest.approx(4), pytest.approx(2))
    assert ours["times_best_other"] == pytest.approx(30 / 34, abs=1e-3)  # an oracle is no rival
    assert ours["held"] == 50
    text = tables(summary)
    assert "| asha | 34.0 ± 22.0 | 34.0 |" in text
    assert "0.88 of the best other" in text


def test_narrow_suites_are_apart() -> None:
    """Kinds are counted once among all, and in their class."""
    assert groups_of("narrow:chinchilla-shared-small-bump") == ("all", "narrow")
    assert groups_of("chinchilla-shared-small-bump") == ("all", "wide", "flawed")
    assert groups_of("neither-apart-small") == ("all", "wide", "neither")
    assert groups_of("retrievers:chinchilla-shared-small") == ("all", "wide", "retrievers")
    assert groups_of("replay:micro") == ("replay:micro",)


def test_a_stopped_command_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are there are not run again; more worlds and policies add to them."""
    out = tmp_path / "spend.json"

    def run(worlds: int, *policies: str) -> Row:
        words = ["spend", "--worlds", str(worlds), "--times", "30", "--policies", *policies, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", words)
        spend.main()
        found: Row = json.loads(out.read_text("utf-8"))
        return found

    run(2, "largest")
    rows = out.with_suffix("") / "largest.jsonl"
    before = rows.read_text("utf-8")
    summary = run(3, "largest", "middle")
    assert rows.read_text("utf-8").startswith(before)
    assert len(rows.read_text("utf-8").splitlines()) == 3
    assert summary["tables"]["all 30"]["worlds"] == 3


def test_any_30_worlds_have_one_of_each_kind_and_both_suites() -> None:
    """So that a table of few worlds is of all kinds; 120 have four seeds of each."""
    worlds = [spend.world_of(place) for place in range(240)]
    for block in range(0, 240, 30):
        assert len({kind for kind, _ in worlds[block : block + 30]}) == 30
        assert sum(seed % 2 for _, seed in worlds[block : block + 30]) == 15
    assert len(set(worlds[:120])) == 120
    assert {seed for _, seed in worlds[:120]} == {1000, 1001, 1002, 1003}
    assert {seed for _, seed in worlds[120:]} == {1004, 1005, 1006, 1007}
