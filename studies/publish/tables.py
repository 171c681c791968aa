"""The tables in the pages of results, made from the files of the published studies.

    .venv/bin/python -m studies.publish.tables docs/results.md

Text is written by hand; what stands between `<!-- NAME STUDY -->` and `<!-- end -->` is replaced by the table of that
name, made from the files in results/STUDY:

    frontier     frontier.json: the best cell of each kind of method at each budget
    findings     findings.json and agreement.json: the paper's statements with verdicts and numbers
    verdicts     the same files of several studies: the verdicts side by side
    forecast     forecast.json and verdict.json: what was forecast, and what came of it
    ablations    ablations.json: what each change of a default does to the loss
    other_rates  the same file: what each change does where the learning rate was chosen on other seeds
    leaderboard  scores.json: benchmark scores of systems, beside what they cost
    starts       starts.json: the best run of each lineage at each budget
    forecasts    the same file: the best start of each lineage at larger budgets, by the laws
    spent        spent.json: runs, FLOP and hours
    sources      yardstick.json: the sources of error of a held-out loss
    sets         the same file: how two disjoint held-out sets rank the same choices
    sizes        data/models/pretrain.json: the models of a suite in the package; STUDY is the suite's name

Several studies are joined by +, as in `<!-- verdicts smollm2+micro -->`.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from studies.publish.ablation_rows import ablation_rows, other_rate_rows
from studies.publish.cells import flops, member_text
from studies.publish.files import read_json
from studies.publish.forecast import read_forecast
from studies.publish.yardstick import sets_rows, sources_rows

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(<!-- (\w+) ([\w+/]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Fill in the tables of the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    for page in parser.parse_args().pages:
        write_whole(page, filled(page.read_text()))


def filled(text: str) -> str:
    """A page's text with its tables made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]](found[3])}\n{found[4]}", text)


def read(study: str, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a file of a study's results."""
    return read_json(ROOT / "results" / study / name)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def frontier(study: str) -> str:
    """Budgets down, kinds of method across; the lowest loss at a budget is bold."""
    cells = {(row["kind"], row["train_flops"]): row for row in read(study, "frontier.json")}
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    rows = []
    for budget in sorted({budget for _, budget in cells}):
        lowest = min(row["loss"] for (_, at), row in cells.items() if at == budget)
        found = [cells.get((kind, budget)) for kind in kinds]
        rows.append([flops(budget), *("" if row is None else best_cell(row, lowest) for row in found)])
    return table(["budget, FLOP", *kinds], rows)


def best_cell(row: dict[str, Any], lowest: float) -> str:
    """A cell's loss, method, member and seeds; a dagger says that the loss is the lowest point of a parabola."""
    loss = f"**{row['loss']:.3f}**" if row["loss"] == lowest else f"{row['loss']:.3f}"
    choice = [row["method"], member_text(row["model"]), f"{row['seeds']} seeds"]
    told = choice[row["method"] == row["kind"] : 3 if row["seeds"] > 1 else 2]
    return f"{loss}{'†' if row['vertex'] else ''} ({', '.join(told)})"


def findings(study: str) -> str:
    """A numbered list: each statement with the verdict on it, the numbers and what is missing."""
    found = [*read(study, "findings.json"), read(study, "agreement.json")["finding"]]
    return "\n".join(
        f"{one['number']}. {one['statement']} **{one['verdict'][0].upper()}{one['verdict'][1:]}**: "
        f"{'; '.join(filter(None, [one['numbers'], one['why']]))}."
        for one in found
    )


def verdicts(studies: str) -> str:
    """The paper's statements down, studies across, a verdict in each field."""
    names = studies.split("+")
    found = [
        {one["number"]: one for one in [*read(study, "findings.json"), read(study, "agreement.json")["finding"]]}
        for study in names
    ]
    rows = [
        [f"{number}. {one['statement']}", *(verdicts_of[number]["verdict"] for verdicts_of in found)]
        for number, one in found[0].items()
    ]
    return table(["the paper's finding", *names], rows)


def sizes(suite: str) -> str:
    """The models of a suite in the package, from the smallest."""
    members = read_json(ROOT / "src" / "embudget" / "data" / "models" / "pretrain.json")["members"]
    rows = [
        [one["name"], f"{one['model_params']:,}", f"{one['embedding_params']:,}", f"{one['heldout_perplexity']:.1f}"]
        for one in sorted(members, key=lambda one: int(one["model_params"]))
        if one["name"].startswith(f"{suite}-")
    ]
    if not rows:
        sys.exit(f"sizes must be of a suite that comes with the package, got {suite}")
    return table(["model", "N", "input embedding", "held-out perplexity"], rows)


def forecast(study: str) -> str:
    """What was forecast and trained, a choice a row, the best measured loss first."""
    made, verdict = read_forecast(ROOT / "results" / study), read(study, "verdict.json")
    recipe, paper = made["recipe"], made["paper"]
    expected = {f"{one['model']} {one['method']}": one for one in [paper, *made["rivals"]]}
    expected[verdict["recipe"]] = {
        "predicted_loss": recipe["predicted_loss"], "loss_interval": recipe["predicted_interval"]
    }  # fmt: skip
    roles = {verdict["recipe"]: ["the recipe"]}
    by_line = f"the paper's procedure, which predicts {paper['loss_by_its_line']:.3f}"
    roles.setdefault(verdict["paper"], []).append(by_line)
    measured = {name: statistics.mean(losses) for name, losses in verdict["losses"].items()}
    rows = []
    for name in sorted(measured, key=measured.__getitem__):
        low, high = expected[name]["loss_interval"]
        model, method = name.split()
        losses = ", ".join(f"{loss:.3f}" for loss in verdict["losses"][name])
        rows.append(
            [f"{method} on {member_text(model)}", " and ".join(roles.get(name, [])),
             f"{expected[name]['predicted_loss']:.3f}", f"{low:.3f} to {high:.3f}", losses,
             f"{verdict['regrets_percent'][name]:.1f} %"]
        )  # fmt: skip
    return table(["choice", "of", "predicted", "90 % interval", "measured", "regret"], rows)


def ablations(study: str) -> str:
    """Changes down, budgets across: differences from the base in nats, bold where outside the noise."""
    return table(*ablation_rows(read(study, "ablations.json")))


def other_rates(study: str) -> str:
    """Changes down; across, the difference in nats where the rate is chosen on seeds that are not compared."""
    return table(*other_rate_rows(read(study, "ablations.json")))


def spent(studies: str) -> str:
    """A row for each study, and one for the check of its forecast where there was one."""
    rows = []
    for study in studies.split("+"):
        rows.append(spent_row(study, read(study, "spent.json")))
        if (ROOT / "results" / study / "verdict.json").exists():
            rows.append(spent_row(f"{study}, the forecast's check", read(study, "verdict.json")["spent"]))
    return table(["study", "runs", "FLOP", "hours of training", "median GFLOP/s"], rows)


def spent_row(name: str, found: dict[str, Any]) -> list[str]:
    """One row of runs, FLOP and hours."""
    speed = f"{found['median_flops_per_second'] / 1e9:.0f}"
    return [name, f"{found['runs']}", flops(found["train_flops"]), f"{found['hours']:.1f}", speed]


def sources(study: str) -> str:
    """The sources of error of a held-out loss down, studies across."""
    return table(*sources_rows(read(study, "yardstick.json")))


def sets(study: str) -> str:
    """How two disjoint held-out sets rank the same choices, a study a row; nothing before any was measured."""
    heads, rows = sets_rows(read(study, "yardstick.json"))
    return table(heads, rows) if rows else ""


def leaderboard(study: str) -> str:
    """Systems down, tasks across, then parameters and texts a second; the best score of a task is bold."""
    found = read(study, "scores.json")
    tasks, systems = list(found["metrics"]), found["systems"]
    best = {task: max(one["scores"].get(task, -1.0) for one in systems.values()) for task in tasks}

    def cell(task: str, score: float | None) -> str:
        shown = "" if score is None else f"{score:.3f}"
        return f"**{shown}**" if score == best[task] else shown

    rows = [
        [
            name,
            *(cell(task, one["scores"].get(task)) for task in tasks),
            "" if one["model_params"] is None else f"{one['model_params'] / 1e6:.1f}",
            "" if one["texts_per_second"] is None else f"{one['texts_per_second']:,.0f}",
        ]
        for name, one in systems.items()
    ]
    heads = [f"{task}, {found['metrics'][task]}" for task in tasks]
    return table(["system", *heads, "N, millions", "texts a second"], rows)


def starts(study: str) -> str:
    """A row for each lineage: its best start as it is, and its best run at each budget."""
    found = read(study, "starts.json")["lineages"]
    budgets = sorted({row["train_flops"] for one in found.values() for row in one["best"]})

    def score(of: dict[str, Any]) -> str:
        error = f" ± {of['error']:.3f}" if of.get("error") is not None else ""
        return f"{of['loss']:.3f}{error}" + (f" (nDCG {of['ndcg']:.3f})" if of["ndcg"] is not None else "")

    def cell(row: dict[str, Any]) -> str:
        return f"{score(row)}: {row['method']}, {member_text(row['model'])}, rate {row['learning_rate']:g}"

    rows = []
    for lineage, one in found.items():
        start, best = one["start"], {row["train_flops"]: cell(row) for row in one["best"]}
        untrained = f"{score(start)}: {member_text(start['model'])}"
        rows.append([lineage, untrained, *(best.get(budget, "") for budget in budgets)])
    return table(["lineage", "untrained", *(f"{flops(budget)} FLOP" for budget in budgets)], rows)


def forecasts(study: str) -> str:
    """A row for each budget: the best choice of each lineage by the laws, with the interval of a new run."""
    found = read(study, "starts.json")["recipes"]
    names = list(dict.fromkeys(start["lineage"] for one in found for start in one["starts"]))
    rows = []
    for one in found:
        by_name = {
            start["lineage"]: f"{start['predicted_loss']:.3f} ({start['predicted_interval'][0]:.3f} to "
            f"{start['predicted_interval'][1]:.3f}): {start['method']}, {member_text(start['model'])}"
            for start in one["starts"]
        }
        rows.append([flops(one["budget"]), *(by_name.get(name, "") for name in names)])
    return table(["budget, FLOP", *names], rows)


TABLES: dict[str, Callable[[str], str]] = {
    "frontier": frontier,
    "findings": findings,
    "verdicts": verdicts,
    "sizes": sizes,
    "forecast": forecast,
    "ablations": ablations,
    "other_rates": other_rates,
    "leaderboard": leaderboard,
    "starts": starts,
    "forecasts": forecasts,
    "spent": spent,
    "sources": sources,
    "sets": sets,
}


if __name__ == "__main__":
    main()
