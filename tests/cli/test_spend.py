"""`embudget spend`: bad input is one line before anything is written, and the screen says why a model was chosen."""

import json
import re
from pathlib import Path

import pytest

from embudget.cli.spend_screen import SpendScreen
from embudget.cli.spend_text import describe, standings
from embudget.pairs import Pairs
from embudget.spending.allocation import Measurement, Purchase
from embudget.spending.changes import WIDTH, what_changed, why_bought
from tests.command_line import Outcome, Run
from tests.spending.test_ledger import allocation, buy, decision, made, record, setting


@pytest.fixture
def suite(tiny_neox: Path, tmp_path: Path) -> Path:
    file = tmp_path / "members.yaml"
    file.write_text("".join(f"- {tiny_neox}:{depth}\n" for depth in (1, 2, 4)))
    return file


@pytest.fixture
def few_pairs(tmp_path: Path) -> Path:
    from embudget.pairs import build_pairs

    with (tmp_path / "few.jsonl").open("w") as file:
        for number in range(120):
            row = {
                "query": f"question {number} of all",
                "positive": f"answer {number} to it",
                "group": str(number % 12),
            }
            file.write(json.dumps(row) + "\n")
    return build_pairs([f"files:{tmp_path / 'few.jsonl'}"], tmp_path / "few").folder


def asked(run: Run, suite: Path, pairs: Path, out: Path, *options: str, budget: str | None = "1e10") -> Outcome:
    given = () if budget is None else ("--budget", budget)
    return run("spend", *given, "--suite", suite, "--pairs", pairs, "--out", out, "--batch-size", "8", *options)


def test_a_dry_run_says_what_would_be_first_and_writes_nothing(
    run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    done = asked(run, suite, tiny_pairs.folder, tmp_path / "out", "--dry-run")
    assert done.code == 0, done.err
    assert "budget     1e+10 FLOP for search and final run together" in done.out
    assert "arms       9: " in done.out, "three members by three methods"
    assert "leading   " in done.out and "at the end, best with" in done.out
    assert "\nfirst      1 run of the " in done.out
    assert not (tmp_path / "out").exists()


BAD = {
    "two budgets": (("--hours", "2"), "give exactly one of budget, --hours, --gpu-hours and --dollars"),
    "no number": (("--budget", "much"), "--budget must be"),
    "too little": (("--budget", "1e4"), "the least that works is"),
    "unknown method": (("--methods", "full,prefix"), "--methods: method must be"),
    "unknown laws": (("--laws", "nobody"), "cannot read nobody: no such file"),
    "no search": (
        ("--search-share", "0.2", "--max-runs", "0"),
        "--max-runs must be >= 1, got 0, and --search-share=0.2",
    ),
    "all of it": (("--search-share", "1"), "--search-share must be > 0 and < 1"),
    "too many kept": (("--keep", "60"), "--keep must be at most"),
    "no worker": (("--workers", "0"), "--workers: must be >"),
    "negatives": (("--negatives", "some"), "--negatives must be whole numbers"),
    "none there": (("--negatives", "3"), "negatives"),
    "no member that fits": (("--device-memory", "2MB"), "no member fits into the memory of the device, 2 MB:"),
    "a batch of one": (("--batch-size", "1"), "--batch-size"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path, name: str) -> None:
    options, said = BAD[name]
    budget = None if "--budget" in options else "1e10"
    done = asked(run, suite, tiny_pairs.folder, tmp_path / "out", *options, budget=budget)
    assert done.code == 2 and done.out == ""
    assert said in done.err and done.err.count("\n") == 1, done.err
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_a_store_that_cannot_be_made_leaves_no_folder(run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = asked(run, suite, tiny_pairs.folder, tmp_path / "out", "--store", str(tmp_path / "nobody" / "runs.db"))
    assert done.code == 2 and "cannot make the store" in done.err.splitlines()[-1]
    assert not (tmp_path / "out").exists(), "nothing is written"


def test_the_screen_says_why_a_run_is_of_no_use(capsys: pytest.CaptureFixture[str]) -> None:
    """A final run no better than chance ends with exit code 1; its loss alone would not say why."""
    chosen = setting("smollm2-135m:4")
    final = buy([], chosen, 3.4e12, 7.8, "final")
    told = {"status": "no_gain", "error": "the held-out loss 7.8 nats is no better than chance, 5.2"}
    with SpendScreen() as screen:
        screen.planned(allocation(), ())
        screen.measured(final, record(final, 9.0).model_copy(update=told))
    assert "no_gain: the held-out loss 7.8 nats is no better than chance, 5.2" in capsys.readouterr().out


def test_too_few_pairs(run: Run, suite: Path, few_pairs: Path, tmp_path: Path) -> None:
    done = asked(run, suite, few_pairs, tmp_path / "out", "--batch-size", "64")
    assert done.code == 2 and "pairs" in done.err and done.err.count("\n") == 1, done.err


@pytest.mark.slow
def test_a_time_shorter_than_loading(run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = asked(run, suite, tiny_pairs.folder, tmp_path / "out", "--hours", "0.0001", budget=None)
    line = done.err.splitlines()[-1]
    assert done.code == 2 and "--hours must pay for " in line, done.err
    assert "got 0.0001 hours: the least that works is " in line and not (tmp_path / "out").exists()


def test_an_unknown_suite(run: Run, tiny_pairs: Pairs, tmp_path: Path) -> None:
    done = run("spend", "--budget", "1e10", "--suite", "nobody", "--pairs", tiny_pairs.folder, "--out", tmp_path / "o")
    assert done.code == 2 and "suite must be one of" in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize("name", ["ledger.json", "model", "decisions.jsonl", "runs.db", "evaluation.json"])
def test_the_folder_of_somebody_is_left_alone(
    run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / name).write_text("mine")
    done = asked(run, suite, tiny_pairs.folder, out)
    assert done.code == 2 and f"mine holds {name}, and no start.json" in done.err
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == "mine"


def test_a_folder_that_cannot_be_made(run: Run, suite: Path, tiny_pairs: Pairs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = asked(run, suite, tiny_pairs.folder, tmp_path / "file" / "out")
    assert done.code == 2 and "out must be a folder" in done.err and done.err.count("\n") == 1


def test_the_screen_says_what_was_bought_why_and_what_it_changed(capsys: pytest.CaptureFixture[str]) -> None:
    measured: list[Measurement] = []
    large = setting("smollm2-135m:4")
    first = decision(large, 0.31).model_copy(update={"round": 0})
    second = decision(large, 0.62).model_copy(update={"round": 1})
    with SpendScreen() as screen:
        screen.planned(allocation(), ())
        step = Purchase(setting=large, train_flops=2e11, cost=2e11, why=why_bought(large, ()))
        screen.decided(
            first.model_copy(update={"purchases": (step,), "why": "it tells most"}), what_changed(None, first)
        )
        screen.measured(buy(measured, large, 2e11, 4.4), None)
        longer = Purchase(setting=large, train_flops=8e11, cost=6.4e11, why=why_bought(large, measured))
        screen.decided(second.model_copy(update={"purchases": (longer,)}), what_changed(first, second))
        screen.progress(record(buy(measured, large, 8e11, 3.9), 9.0).config, 0.5, 4.0)
        screen.measured(measured[-1], None)
        final = Purchase(setting=large, train_flops=3.4e12, cost=2.76e12, purpose="final")
        screen.training(final, 1, 1)
        screen.measured(buy(measured, large, 3.4e12, 3.1, "final"), None)
        screen.done(made())
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= WIDTH
    told = re.sub(r"\n {12}(?=\S)", " ", told)  # lines are continued below their text
    wanted = [
        "4e+12 FLOP for search and final run together",
        "round 1, 0 % of the budget spent",
        "changed   lora:32 on smollm2-135m:4 leads before any run, best with 31 %",
        "leading   3.000 at the end, best with  31 %: lora:32 on smollm2-135m:4",
        "3.200 at the end, best with  20 %: full on smollm2-135m:1",
        "why       it tells most",
        "buys      lora:32 on smollm2-135m:4, rate 0.004, batch 16, 2e+11 FLOP, 5 % of the budget: the first run",
        "measured  loss 4.400 ± 0.030 of lora:32 on smollm2-135m:4, rate 0.004, batch 16, 2e+11 FLOP",
        "round 2, 5 % of the budget spent",
        "changed   lora:32 on smollm2-135m:4 still best with 62 %, was 31 %",
        "8e+11 FLOP, 16 % of the budget: goes on from its run of 2e+11 FLOP",
        "final run: lora:32 on smollm2-135m:4, rate 0.004, batch 16, 3.4e+12 FLOP",
        "loss 3.100",
        "ledger: ",
    ]
    places = [told.find(line) for line in wanted]
    assert -1 not in places, f"{wanted[places.index(-1)]!r} is not in\n{told}"
    assert places == sorted(places)


def test_a_later_start_goes_on_counting_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """A round has one number, whichever start prints it: one less than that stands in decisions.jsonl."""
    chosen = setting("smollm2-135m:4")
    with SpendScreen() as screen:
        screen.planned(allocation(), [buy([], chosen, 2e11, 4.4)])
        screen.decided(decision(chosen).model_copy(update={"round": 3}), "nothing")
        screen.decided(decision(chosen).model_copy(update={"round": 4}), "nothing")
    told = capsys.readouterr().out
    assert re.findall(r"^round \d+", told, re.MULTILINE) == ["round 4", "round 5"]


def test_the_leader_is_among_the_leading_even_where_its_chance_is_low() -> None:
    """The standings hold the highest chances; a screen that does not list the arm it calls best is a riddle."""
    best = setting("smollm2-135m:30")
    one = decision(best, 0.13)
    outside = one.model_copy(update={"standings": (("smollm2-135m:1", "full", 0.3, 3.2),)})
    assert "3.000 at the end, best with  13 %: lora:32 on smollm2-135m:30" in standings(outside)[0]


def test_the_description_names_the_shortest_run_and_the_caps() -> None:
    told = " ".join(describe(allocation().model_copy(update={"search_share": 0.2, "max_runs": 7})).split())
    assert "10 steps of 16 pairs: 1.36e+11 FLOP with lora:32 on smollm2-135m:1, 1/29 of the budget" in told
    assert "20 % of the budget at most, 7 runs at most; what is left trains the choice" in told
