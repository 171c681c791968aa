"""The tables of the page of results say what the studies' files say, and the page is filled in."""

import json
from pathlib import Path
from typing import Any

import pytest

from studies.publish import tables
from studies.publish.starts import row_of
from tests.studies.publish.made import record

ROOT = Path(__file__).parents[3]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a function
    monkeypatch.setattr(tables, "ROOT", tmp_path)

    def write(name: str, value: object, study: str = "s") -> None:
        path = tmp_path / "results" / study / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    return write


@pytest.mark.parametrize("page", ["results.md", "holds.md", "concepts/yardstick.md"])
def test_the_tables_are_up_to_date(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert "<!-- end -->" in text
    assert tables.filled(text) == text, f"run make results, or python -m studies.publish.tables docs/{page}"


def test_only_what_stands_between_the_marks_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tables.TABLES, "spent", lambda studies: f"of {studies}")
    text = "before\n<!-- spent a+b -->\nold\n<!-- end -->\nafter <!-- a remark -->\n"
    once = tables.filled(text)
    assert once == "before\n<!-- spent a+b -->\nof a+b\n<!-- end -->\nafter <!-- a remark -->\n"
    assert tables.filled(once) == once


def test_the_frontier_marks_the_lowest_loss_of_each_budget(write: Any) -> None:  # noqa: ANN401
    cell = {"kind": "full", "train_flops": 1e12, "model": "m:1", "method": "full", "loss": 3.5, "seeds": 1,
            "vertex": False}  # fmt: skip
    other = cell | {"kind": "lora", "model": "m:2", "method": "lora:8", "loss": 3.25, "seeds": 3, "vertex": True}
    write("frontier.json", [cell, other, other | {"train_flops": 2e12, "loss": 3.0}])
    assert tables.frontier("s").splitlines()[2:] == [
        "| 1e12 | 3.500 (1 block) | **3.250**† (lora:8, 2 blocks, 3 seeds) |",
        "| 2e12 |  | **3.000**† (lora:8, 2 blocks, 3 seeds) |",
    ]


def test_starts_have_a_column_for_each_budget_and_no_score_where_none_was_measured(write: Any) -> None:  # noqa: ANN401
    best = row_of(record(2.5))
    scored = best | {"train_flops": 2e12, "error": 0.04, "ndcg": 0.5}
    start = {"model": "m:1", "loss": 3.0, "ndcg": None}
    write("starts.json", {"lineages": {"m": {"start": start, "best": [best, scored]}}})
    choice = "full, 2 blocks, rate 0.001"
    assert tables.starts("s").splitlines()[2:] == [
        f"| m | 3.000: 1 block | 2.500: {choice} | 2.500 ± 0.040 (nDCG 0.500): {choice} |"
    ]


def test_every_finding_has_its_verdict_and_its_numbers(write: Any) -> None:  # noqa: ANN401
    found = {"number": 1, "statement": "A.", "verdict": "undetermined", "numbers": "", "why": "no runs"}
    write("findings.json", [found, found | {"number": 2, "verdict": "not reproduced", "numbers": "5 %", "why": None}])
    write("agreement.json", {"tasks": [], "finding": found | {"number": 8, "statement": "B.", "numbers": "-0.9"}})
    assert tables.findings("s").splitlines() == [
        "1. A. **Undetermined**: no runs.", "2. A. **Not reproduced**: 5 %.", "8. B. **Undetermined**: -0.9; no runs."
    ]  # fmt: skip


def test_verdicts_of_several_studies_stand_side_by_side(write: Any) -> None:  # noqa: ANN401
    for study, verdicts in {"s": ("undetermined", "reproduced"), "t": ("not reproduced", "undetermined")}.items():
        write("findings.json", [{"number": 1, "statement": "A.", "verdict": verdicts[0]}], study)
        write("agreement.json", {"finding": {"number": 8, "statement": "B.", "verdict": verdicts[1]}}, study)
    lines = tables.verdicts("s+t").splitlines()
    assert lines[0] == "| the paper's finding | s | t |"
    assert lines[2] == "| 1. A. | undetermined | not reproduced |"
    assert lines[3] == "| 8. B. | reproduced | undetermined |"


def test_the_models_of_the_package_stand_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"name": "micro-1m", "model_params": 1000000, "embedding_params": 5000, "heldout_perplexity": 12.34}
    path = tmp_path / "src" / "embudget" / "data" / "models" / "pretrain.json"
    path.parent.mkdir(parents=True)
    others = [one | {"name": "micro-9k", "model_params": 9000}, one | {"name": "large-1m"}]
    path.write_text(json.dumps({"members": [one, *others]}))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert tables.sizes("micro").splitlines()[2:] == [
        "| micro-9k | 9,000 | 5,000 | 12.3 |", "| micro-1m | 1,000,000 | 5,000 | 12.3 |"
    ]  # fmt: skip


def test_sizes_of_an_unknown_suite_are_refused() -> None:
    with pytest.raises(SystemExit, match="got llama"):
        tables.sizes("llama")


def test_the_forecast_is_set_against_what_was_measured(write: Any) -> None:  # noqa: ANN401
    rival = {"model": "m:2", "method": "full", "predicted_loss": 2.9, "loss_interval": [2.8, 3.0]}
    recipe = {"model": "m:4", "method": "lora:8", "predicted_loss": 2.8, "predicted_interval": [2.7, 2.9]}
    paper = rival | {"model": "m:6", "loss_by_its_line": 2.1}
    write("forecast.json", {"recipe": recipe, "rivals": [rival], "paper": paper})
    write("added.json", {"rivals": [rival | {"model": "m:8", "predicted_loss": 2.95}]})
    losses = {"m:4 lora:8": [2.75, 2.85], "m:2 full": [2.5, 2.54], "m:6 full": [3.0], "m:8 full": [3.1]}
    regrets = {"m:4 lora:8": 11.11, "m:2 full": 0.0, "m:6 full": 20.0, "m:8 full": 24.0}
    write(
        "verdict.json",
        {"recipe": "m:4 lora:8", "paper": "m:6 full", "losses": losses, "regrets_percent": regrets},
    )
    assert tables.forecast("s").splitlines()[2:] == [
        "| full on 2 blocks |  | 2.900 | 2.800 to 3.000 | 2.500, 2.540 | 0.0 % |",
        "| lora:8 on 4 blocks | the recipe | 2.800 | 2.700 to 2.900 | 2.750, 2.850 | 11.1 % |",
        "| full on 6 blocks | the paper's procedure, which predicts 2.100 | 2.900 | 2.800 to 3.000 | 3.000 | 20.0 % |",
        "| full on 8 blocks |  | 2.950 | 2.800 to 3.000 | 3.100 | 24.0 % |",
    ]


def test_a_difference_is_bold_where_it_is_outside_the_noise(write: Any) -> None:  # noqa: ANN401
    rates = [{"rate": 6e-4, "at_an_end": False}, {"rate": 3e-4, "at_an_end": True}]
    base = {"change": "full", "rates": rates, "losses": [4.0, 3.0, 3.5]}
    change = {"change": "batch_size 8", "base": "full", "rates": rates, "learned": True}
    change |= {"differences": [0.07, -0.07, 0.0], "at_first_rates": [0.01, -0.02, 0.0]}
    change |= {"at_rates_of_other_seeds": [0.03, -0.04, 0.0], "runs_below_the_base": [2, 5]}
    none = change | {"change": "pooling lasttoken", "learned": False}
    noise = {"standard_error": [0.02, 0.03, 0.01], "outside_the_noise": [0.06, 0.09, 0.03]}
    write("ablations.json", {"budgets": [1e12, 4e12], "bases": [base], "changes": [change, none], **noise})
    assert tables.ablations("s").splitlines() == [
        "| change | rates | 1e12 | 4e12 | mean of both |",
        "| --- | --- | --- | --- | --- |",
        "| *full: loss* | 0.0006, 0.0003* | 4.000 | 3.000 | 3.500 |",
        "| batch_size 8 (against full) | 0.0006, 0.0003* | **+0.070** | -0.070 | +0.000 |",
        "| pooling lasttoken (against full) | 0.0006, 0.0003* | learns nothing | learns nothing | learns nothing |",
        "| *standard error* |  | 0.020 | 0.030 | 0.010 |",
        "| *outside the noise from* |  | 0.060 | 0.090 | 0.030 |",
    ]
    heads, _, *rows = tables.other_rates("s").splitlines()
    ways = [f"{way}, {budget}" for way in ("rates of seed 0", "rates of the other seeds", "runs below the base")
            for budget in ("1e12", "4e12")]  # fmt: skip
    assert heads == f"| change | {' | '.join(ways)} |"
    assert rows == ["| batch_size 8 (against full) | +0.010 | -0.020 | +0.030 | -0.040 | 2 | 5 |"]


def test_the_check_of_a_forecast_has_its_own_line_of_what_was_spent(write: Any) -> None:  # noqa: ANN401
    took = {"runs": 3, "train_flops": 1.5e12, "hours": 0.5, "median_flops_per_second": 5e10}
    write("spent.json", took)
    assert tables.spent("s").splitlines()[2:] == ["| s | 3 | 1.5e12 | 0.5 | 50 |"]
    write("verdict.json", {"spent": took | {"runs": 2}})
    assert tables.spent("s").splitlines()[3:] == ["| s, the forecast's check | 2 | 1.5e12 | 0.5 | 50 |"]
