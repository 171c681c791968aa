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
    assert len(calls) == 7
    for call in calls:
        function = getattr(embudget, ast.unparse(call.func).removeprefix("eb."))
        inspect.signature(function).bind(*call.args, **{word.arg or "": word.value for word in call.keywords})


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On pairs that are made up and on a hundredth of its budgets."""
    monkeypatch.chdir(tmp_path)
    write_faq(Path("faq.csv"), 13_500)
    code = PYTHON
    for real, small in [
        ('["docstrings"], ', '["files:faq.csv"], query_column="question", positive_column="answer", '),
        ("[5e10, 2e11, 8e11], ", "[4e9, 1.6e10, 6.4e10], batch_size=4, min_steps=2, "),
        ("3.2e12", "2.56e11"),
    ]:
        assert real in code
        code = code.replace(real, small)
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_its_commands_run(run: Run) -> None:
    lines = re.findall(r"^ {4}(embudget .*)$", README, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert run(*line.split()[1:]).code == 0, line


def test_its_output_comes_from_the_records(run: Run, tmp_path: Path) -> None:
    from embudget import find_shape, fit
    from embudget.methods import parse_method
    from embudget.records import RunRecord

    folder = ROOT / "results" / "quickstart"
    regret = json.loads((folder / "regret.json").read_text())
    records = [RunRecord.model_validate_json(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    budget = regret["train_flops"]
    losses = {f"{r.config.model} {r.config.method}": r.loss for r in records if r.config.train_flops == budget}
    assert round(losses.pop(regret["recipe"]) or 0, 4) == regret["measured_loss"]
    assert {name: round(loss or 0, 4) for name, loss in losses.items()} == regret["rivals"]
    assert f"predicted {regret['predicted_loss']:.3f}" in README
    assert f"measured {regret['measured_loss']:.3f}" in README

    measured = [record for record in records if record.config.train_flops < budget]
    assert f"It trains {len(measured)} short runs" in TEXT
    laws = fit(measured)
    members = [find_shape(f"smollm2-135m:{depth}") for depth in (1, 2, 3)]
    lora = parse_method("lora:32")
    expected = [laws.predict(str(lora), shape.model_params, budget / lora.flops_per_token(shape)) for shape in members]
    assert f"expect {min(expected):.2f} of LoRA" in TEXT
    laws.save(tmp_path / "laws.json")
    shown = README[README.index("9.6e+12 FLOP, 4 times") : README.index("\nheld-out loss: predicted")]
    compare(shown.replace("\n", "\n...\n"), run("recipe", tmp_path / "laws.json", "--budget", "9.6e12").out)


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
