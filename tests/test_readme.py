"""What the README shows is true: its Python, its commands, its output and its numbers; and it stays short."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest

import embudget
from tests.command_line import Run
from tests.docs.faq import write_faq
from tests.docs.pages import ROOT, blocks_of, compare

README = (ROOT / "README.md").read_text()
TEXT = " ".join(README.split())
PYTHON = next(block.text for block in blocks_of(README) if block.language == "python")


def test_it_is_short_and_python_is_on_the_first_screen() -> None:
    assert len(README.split()) < 900
    assert README[: README.index("```python")].count("\n") < 20


def test_every_call_in_the_python_example_fits_the_function() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(PYTHON))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("eb.")
    ]
    assert len(calls) == 3
    for call in calls:
        function = getattr(embudget, ast.unparse(call.func).removeprefix("eb."))
        inspect.signature(function).bind(*call.args, **{word.arg or "": word.value for word in call.keywords})


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On pairs that are made up, on small models and a two-thousandth of its budget."""
    monkeypatch.chdir(tmp_path)
    write_faq(Path("faq.csv"), 13_500)
    code = PYTHON
    for real, small in [
        ('["docstrings"], ', '["files:faq.csv"], query_column="question", positive_column="answer", '),
        ('"2e13", suite="smollm2,minilm"', '"1e10", suite="micro", batch_size=4, methods=["full", "lora:8"]'),
    ]:
        assert real in code
        code = code.replace(real, small)
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


def test_its_commands_run(run: Run) -> None:
    lines = re.findall(r"^ {4}(embudget .*)$", README, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert run(*line.split()[1:]).code == 0, line


def test_its_output_comes_from_the_quickstart() -> None:
    """The lines shown are those of the run's own log, and their numbers those of its ledger and scores."""
    folder = ROOT / "results" / "quickstart_spend"
    shown = README[README.index("ledger: ") : README.index("```\n\n*`make quickstart`")]
    compare(shown.replace("\n", "\n...\n"), (folder / "quickstart.log").read_text())
    ledger = json.loads((folder / "ledger.json").read_text())
    assert f"{ledger['measured_loss']:.3f}" in shown
    scores = json.loads((folder / "evaluation.json").read_text())
    assert f"{scores['scores']['model']['ndcg_at_10']:.3f}" in shown


def test_its_regrets_of_spending_come_from_the_simulated_worlds() -> None:
    found = json.loads((ROOT / "results" / "simulation" / "spend.json").read_text())
    at_30, at_300 = (found["tables"][f"all {times}"]["policies"] for times in (30, 300))
    others = {name for name in at_30 if name not in {"spend", "oracle-default"}}
    best = [min(at[name]["mean"] for name in others) for at in (at_30, at_300)]
    spend = [f"{at['spend']['mean']:.1f} ± {at['spend']['error']:.1f} %" for at in (at_30, at_300)]
    assert f"In {found['worlds']} simulated worlds" in TEXT
    assert f"ended {spend[0]} above the best possible loss at 30 times" in TEXT and f"and {spend[1]} at 300" in TEXT
    assert f"the best other policy {best[0]:.1f} and {best[1]:.1f} %" in TEXT
    replays = json.loads((ROOT / "results" / "simulation" / "spend_replays.json").read_text())["tables"].values()
    for one in replays:
        policies = one["policies"]
        assert policies["spend"]["mean"] > min(policies[name]["mean"] for name in ("largest", "middle", "carry-1"))


def test_its_regrets_come_from_the_simulated_studies() -> None:
    found = json.loads((ROOT / "results" / "simulation" / "regret.json").read_text())
    regret, held = found["regret"]["4"]["recipe"], found["coverage"]["all"]["4"]["run"]
    assert (
        f"lost {100 * regret['mean']:.2f} % against the best choice on average and {100 * regret['max']:.1f} %" in TEXT
    )
    assert f"its 90 % intervals held {100 * held:.0f} % of the new runs" in TEXT


def test_its_backtests_come_from_the_real_studies() -> None:
    found = json.loads((ROOT / "results" / "simulation" / "backtest.json").read_text())["summary"]["all"]
    ours, carried = (f"{100 * found['regret'][name]:.1f} %" for name in ("recipe", "carry"))
    assert (
        f"a recipe loses {ours} against the best measured choice; carrying the best cell forward loses {carried}"
        in TEXT
    )
    assert f"intervals held {100 * found['held']:.0f} % of those runs" in TEXT


def test_its_forecast_comes_from_the_check() -> None:
    found = json.loads((ROOT / "results" / "smollm2" / "verdict.json").read_text())
    low, high = found["interval"]
    assert f"predicted {found['predicted']:.3f} ({low:.3f} to {high:.3f}), measured {found['measured']:.3f}" in TEXT
    assert (found["best"], len(found["losses"])) == (found["recipe"], 8)
    assert found["inside"]
