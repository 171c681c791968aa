"""The numbers in the pages' text are those of the files in results/; their tables are made by `studies/publish/`."""

import json
import re
from typing import Any

from tests.docs.pages import ROOT


def words_of(page: str) -> str:
    return " ".join((ROOT / "docs" / page).read_text().split())


def read(name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads((ROOT / "results" / name).read_text())


def test_what_was_best_on_smollm2() -> None:
    best = {(row["kind"], row["train_flops"]): row for row in read("smollm2/frontier.json")}
    budgets = sorted({budget for _, budget in best})
    winners = [min(("full", "freeze", "lora"), key=lambda kind: best[kind, budget]["loss"]) for budget in budgets]
    assert winners == ["lora"] * 2 + ["freeze"] * 3
    assert {best["freeze", budget]["method"] for budget in budgets[2:]} == {"freeze:0.5"}
    assert {best["freeze", budget]["model"] for budget in budgets[2:]} == {"smollm2-135m:2"}
    ahead = [100 * (best["lora", budget]["loss"] / best["freeze", budget]["loss"] - 1) for budget in budgets[2:]]
    text = words_of("results.md")
    assert f"by {min(ahead):.1f} to {max(ahead):.1f} %, about the noise of a run" in text
    (held_out,) = read("smollm2/agreement.json")["tasks"]
    assert f"In {held_out['models']} runs" in text
    within = [one["correlation"]["spearman"] for one in held_out["budgets"]]
    near = [one["near_the_best"]["spearman"] for one in held_out["budgets"]]
    assert f"with nDCG@10 {max(within):.2f} to {min(within):.2f})" in text
    assert f"less so ({max(near):.2f} to {min(near):.2f})" in text
    points = [read(f"{study}/agreement.json")["tasks"][0]["cost"]["points"] for study in ("smollm2", "micro")]
    assert f"costs {points[0]:.1f} and {points[1]:.1f} points of nDCG" in text
    verdicts = {one["number"]: one["verdict"] for one in read("smollm2/findings.json")}
    assert (verdicts[1], verdicts[6]) == ("not reproduced", "undetermined")


def test_what_holds_in_three_minutes() -> None:
    text = words_of("holds.md")
    lineages = read("starts/starts.json")["lineages"]
    retriever, language_model = lineages["minilm retriever"], lineages["smollm2"]
    last = language_model["best"][-1]
    assert f"before its first training step ({retriever['start']['loss']:.2f})" in text
    assert f"after {last['train_flops']:.0e}".replace("+", "") + f" FLOP ({last['loss']:.2f})" in text
    within = [
        one["correlation"]["spearman"]
        for study in ("smollm2", "micro") for one in read(f"{study}/agreement.json")["tasks"][0]["budgets"]
    ]  # fmt: skip
    assert f"rank correlation {max(within):.2f} to {min(within):.2f} within a budget" in text
    regret = read("simulation/backtest.json")["summary"]["all"]["regret"]
    recipe, carry = (f"{100 * regret[what]:.1f} %" for what in ("recipe", "carry"))
    assert f"loses {recipe} against the best measured choice, and carrying the best cell forward {carry}" in text
    assert len(re.sub(r"<!-- verdicts.*?end -->", "", text).split()) < 750, "a page for three minutes"


def test_the_verdict_on_the_forecast_comes_from_its_check() -> None:
    found = read("smollm2/verdict.json")
    text, page = words_of("concepts/uncertainty.md"), words_of("results.md")
    low, high = found["interval"]
    line, paper, regret = found["paper_predicted"], found["paper_measured"], found["paper_regret_percent"]
    predicted = f"Predicted {found['predicted']:.3f} (90 %: {low:.3f} to {high:.3f})"
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
    form, neither, flawed = (read(f"simulation/regret{name}.json") for name in ("", "_neither", "_flawed"))
    page = (ROOT / "docs" / "concepts" / "uncertainty.md").read_text()
    rows = [line.split(" | ")[1:] for line in page.splitlines() if re.match(r"\| (embudget|the paper)", line)]
    procedures = [(found, name) for found in (form, neither, flawed) for name in ("recipe", "paper")]
    rows = rows[-len(procedures) :]
    for row, (found, name) in zip(rows, procedures, strict=True):
        regrets = [found["regret"][times][name] for times in ("4", "16", "64")]
        written = [f"{100 * regret['mean']:.2f} ({100 * regret['max']:.1f})" for regret in regrets]
        assert [cell.removesuffix(" |") for cell in row] == written
    shares = [round(100 * form["coverage"]["all"]["4"][what]) for what in ("run", "best", "crossing")]
    assert shares == [int(share) for share in re.findall(r"(\d+) %", page[page.index("intervals hold ") :])[:3]]


def test_the_backtests_come_from_the_real_studies() -> None:
    found, text = read("simulation/backtest.json")["summary"], words_of("concepts/uncertainty.md")
    for study, name in (("smollm2", "SmolLM2"), ("micro", "micro")):
        one = found[study]
        regrets = " | ".join(f"{100 * one['regret'][what]:.1f}" for what in ("recipe", "carry", "paper"))
        assert (
            f"| {name}, {one['rows']} cuts | {regrets} | {100 * one['held']:.0f} % | {100 * one['bias']:+.1f} % |"
            in text
        )


def test_the_errors_of_the_exponent_come_from_simulated_tables() -> None:
    found, text = read("simulation/size_exponent.json")["summary"]["all"], words_of("concepts/uncertainty.md")
    for row, name in (("law", "laws"), ("parabolas", "parabolas")):
        mean, rms, median = (found[f"{what}_error"][name] for what in ("mean", "rms", "median"))
        assert f"by {'the ' * (row == 'law')}{row} | {mean:.3f} | {rms:.3f} | {median:.3f} |" in text
    assert f"held the truth in {100 * found['held']:.0f} % of the sets" in text
    assert f"{found['tables']} sets, half of them of no form" in text


def test_the_rivals_of_the_quickstart() -> None:
    found, text = read("quickstart/regret.json"), words_of("start/output.md")
    assert f"{found['measured_loss']:.3f} was measured where {found['predicted_loss']:.3f} was predicted" in text
    first, second, third = sorted(found["rivals"].values())
    assert f"reached {first:.3f}, {second:.3f} and {third:.3f}" in text


def test_the_errors_of_a_held_out_loss_come_from_the_studies() -> None:
    found, text = read("yardstick/yardstick.json")["published"], words_of("concepts/yardstick.md")
    smollm2, micro = (found[name] for name in ("smollm2", "micro"))
    left = [one["rates"]["median_percent"] / 4 for one in (smollm2, micro)]
    assert smollm2["rates"]["step"] == micro["rates"]["step"] == 3
    assert f"they leave up to {left[0]:.1f} % of the loss on SmolLM2 and {left[1]:.1f} % on micro" in text
    noise = [one["seeds"]["percent"] for one in (smollm2, micro)]
    assert f"a seed's noise is {noise[0]:.1f} and {noise[1]:.1f} %" in text
    points = [read(f"{study}/agreement.json")["tasks"][0]["cost"]["points"] for study in ("smollm2", "micro")]
    assert f"choosing by loss costs {points[0]:.1f} points of 100 on SmolLM2 and {points[1]:.1f} on micro" in text
    by_budget = [one["percent"] for study in (smollm2, micro) for one in study["seeds_by_budget"].values()]
    *most, largest = sorted(by_budget)
    said = " ".join((ROOT / "src" / "embudget" / "comparison" / "noise.py").read_text().split())
    assert f"it is {most[0]:.1f} to {most[-1]:.1f} % of the loss, and {largest:.1f} % at the lowest budget" in said
    assert largest == smollm2["seeds_by_budget"]["1e+12"]["percent"]


def test_the_budgets_spent_on_two_starts() -> None:
    found, text = read("simulation/spend_laws.json")["rows"], words_of("log.md")
    names = {
        "spend": "spend, as it is now", "spend-before": "spend, its search not yet shrunk", "asha": "ASHA",
        "retriever": "whole MiniLM, full at 2e-5", "largest": "largest of 100 steps, lora:32",
    }  # fmt: skip
    for policy, name in names.items():
        cells = []
        for budget in (4e12, 1.6e13, 6.4e13):
            rows = [row for row in found if (row["policy"], row["budget"]) == (policy, budget)]
            regret, searched = (100 * sum(row[what] for row in rows) / len(rows) for what in ("regret", "searched"))
            cells += [f"{regret:.1f}", f"{searched:.0f} %"]
        assert f"| {name} | {' | '.join(cells)} |" in text
    lines = (ROOT / "results" / "spend_real" / "rows.jsonl").read_text().splitlines()
    first = next(row for row in map(json.loads, lines) if (row["policy"], row["budget"]) == ("retriever", 4e12))
    assert f"ends at {first['loss']:.3f} (nDCG@10 {first['ndcg']:.3f}) with 4e12 FLOP" in text
