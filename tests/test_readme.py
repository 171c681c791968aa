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
    assert len(study.configs("abc")) == 4 * 3 * 3 + 3 * 2


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


def test_the_findings_on_smollm2_come_from_its_results() -> None:
    folder = ROOT / "results" / "smollm2"
    best = {(row["kind"], row["train_flops"]): row for row in json.loads((folder / "frontier.json").read_text())}
    budgets = sorted({budget for _, budget in best})
    winners = [min(("full", "freeze", "lora"), key=lambda kind: best[kind, budget]["loss"]) for budget in budgets]
    assert winners == ["lora"] * 2 + ["freeze"] * 3
    assert {best["freeze", budget]["method"] for budget in budgets[2:]} == {"freeze:0.5"}
    assert {best["freeze", budget]["model"] for budget in budgets[2:]} == {"smollm2-135m:2"}
    ahead = [100 * (best["lora", budget]["loss"] / best["freeze", budget]["loss"] - 1) for budget in budgets[2:]]
    text = " ".join(README.split())
    assert f"by {min(ahead):.1f} to {max(ahead):.1f} %, about the noise of a run" in text
    scores = json.loads((folder / "downstream.json").read_text())
    assert f"In {scores['runs']} runs" in README
    within, near = scores["spearman_within_budgets"].values(), scores["spearman_near_the_best"].values()
    assert f"with nDCG@10 {max(within):.2f} to {min(within):.2f})" in text
    assert f"less so ({max(near):.2f} to {min(near):.2f})" in text
    verdicts = {one["number"]: one["verdict"] for one in json.loads((folder / "findings.json").read_text())}
    assert (verdicts[1], verdicts[6]) == ("not reproduced", "reproduced")


def test_the_verdict_on_the_forecast_comes_from_its_check() -> None:
    found = json.loads((ROOT / "results" / "smollm2" / "verdict.json").read_text())
    text, page = (" ".join((ROOT / name).read_text().split()) for name in ("README.md", "docs/results.md"))
    low, high = found["interval"]
    line, paper, regret = found["paper_predicted"], found["paper_measured"], found["paper_regret_percent"]
    predicted = f"predicted {found['predicted']:.3f} (90 %: {low:.3f} to {high:.3f})"
    assert f"{predicted}, measured {found['measured']:.3f}" in text
    assert found["best"] == found["recipe"]
    assert len(found["losses"]) == 8
    noise = found["noise_percent"]
    assert f"loses {regret:.1f} % (± {noise:.1f}), and its straight line promised {line:.3f} where" in text
    assert found["inside"]
    assert (
        f"The recipe's loss, {found['measured']:.3f}, is {-found['error_percent']:.1f} % below the prediction" in page
    )
    assert f"its regret is {found['regret_percent']:.1f} %" in page
    assert f"a standard error of {noise:.1f} % ({found['freedom']} degrees of freedom)" in page
    assert f"promised {line:.3f}, and {paper:.3f} was measured, {found['paper_error_percent']:.1f} % more" in page


def test_the_regrets_come_from_the_simulated_studies() -> None:
    folder = ROOT / "results" / "simulation"
    form, neither = (json.loads((folder / f"{name}.json").read_text()) for name in ("regret", "regret_neither"))
    section = README[README.index("## How far to trust it") :]
    rows = [line.split(" | ")[1:] for line in section.splitlines() if re.match(r"\| (embudget|the paper)", line)]
    procedures = [(form, "recipe"), (form, "paper"), (neither, "recipe"), (neither, "paper")]
    assert len(rows) == len(procedures)
    for row, (found, name) in zip(rows, procedures, strict=True):
        regrets = [found["regret"][times][name] for times in ("4", "16", "64")]
        written = [f"{100 * regret['mean']:.2f} ({100 * regret['max']:.1f})" for regret in regrets]
        assert [cell.removesuffix(" |") for cell in row] == written
    held = form["coverage"]["all"]["4"]
    shares = [round(100 * held[what]) for what in ("run", "best", "crossing")]
    assert shares == [int(share) for share in re.findall(r"(\d+) %", section[section.index("hold ") :])[:3]]
