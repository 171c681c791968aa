"""What the README shows is true: its Python, its YAML, its commands and its numbers."""

import ast
import inspect
import json
import re
from pathlib import Path

import yaml

import embudget
from embudget.records import RunRecord
from embudget.study import Study
from tests.command_line import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_call_in_the_python_example_fits_the_function() -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(block("python")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("eb.")
    ]
    assert len(calls) == 7
    for call in calls:
        function: object = embudget
        for name in ast.unparse(call.func).split(".")[1:]:
            function = getattr(function, name)
        assert callable(function)
        inspect.signature(function).bind(*call.args, **{word.arg or "": word.value for word in call.keywords})


def test_the_study_example_is_a_study() -> None:
    study = Study.read(yaml.safe_load(block("yaml")), "README.md")
    assert len(study.configs("abc")) == 4 * 3 * 3


def test_every_command_and_option_exists(run: Run) -> None:
    section = README[README.index("## Commands") :]
    lines = [line.strip() for line in re.findall(r"^ {4}embudget .*$", section, re.MULTILINE)]
    assert len(lines) == 14
    for line in lines:
        words = line.split()
        groups = {"suite", "pairs"}
        names = [part.split()[0] for part in line.split(" ", 2)[2].split(" | ")] if words[1] in groups else [""]
        text = "".join(run(*[words[1], *([name] if name else [])], "--help").out for name in names)
        assert "Usage:" in text, line
        for option in re.findall(r"--[a-z-]+", line):
            assert option in text, (line, option)


def test_the_numbers_come_from_the_records() -> None:
    regret = json.loads((ROOT / "results" / "quickstart" / "regret.json").read_text())
    lines = (ROOT / "results" / "quickstart" / "records.jsonl").read_text().splitlines()
    records = [RunRecord.model_validate_json(line) for line in lines]
    losses = {
        f"{r.config.model} {r.config.method}": r.loss for r in records if r.config.train_flops == regret["train_flops"]
    }
    assert round(losses.pop(regret["recipe"]) or 0, 4) == regret["measured_loss"]
    assert {name: round(loss or 0, 4) for name, loss in losses.items()} == regret["rivals"]
    assert f"predicted {regret['predicted_loss']:.3f}" in README
    assert f"measured {regret['measured_loss']:.3f}" in README
