"""The tables of the page of results, from the files of the published studies. `make results` runs it.

    .venv/bin/python benchmarks/results_page.py docs/results.md README.md

What stands between `<!-- NAME STUDY -->` and `<!-- end -->` is replaced by the table of that name, made from the files
in results/STUDY, one of

    frontier     frontier.json: the best measured cell of each kind of method at each budget
    findings     findings.json and downstream.json: the paper's statements with verdicts and numbers
    verdicts     the same files of several studies: the verdicts side by side
    forecast     forecast.json and verdict.json: what was forecast, and what came of it
    ablations    ablations.json: what each change of a default does to the loss
    spent        spent.json: runs, FLOP and hours

or by that of `sizes`, from the pretrain.json of the models that come with the package. The names of several studies are
joined by +. The text around is written by hand.
"""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from results_files import member

from embudget.files import write_whole

ROOT = Path(__file__).parents[1]
DOWNSTREAM = "A lower contrastive loss goes with a better downstream score."
"""The paper's statement 8."""
BLOCK = re.compile(r"(<!-- (\w+) ([\w+/]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Fill in the tables of the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    for page in parser.parse_args().pages:
        write_whole(page, filled(page.read_text()))


def filled(text: str) -> str:
    """A page with its tables made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]](found[3])}\n{found[4]}", text)


def read(study: str, name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """A file of a study's results."""
    return json.loads((ROOT / "results" / study / name).read_text())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def frontier(study: str) -> str:
    """Budgets down, kinds across; the lowest loss of a budget is bold."""
    cells = {(row["kind"], row["train_flops"]): row for row in read(study, "frontier.json")}
    kinds = list(dict.fromkeys(kind for kind, _ in cells))
    rows = []
    for budget in sorted({budget for _, budget in cells}):
        lowest = min(row["loss"] for (_, at), row in cells.items() if at == budget)
        found = [cells.get((kind, budget)) for kind in kinds]
        rows.append([flops(budget), *("" if row is None else best_cell(row, lowest) for row in found)])
    return table(["budget, FLOP", *kinds], rows)


def best_cell(row: dict[str, Any], lowest: float) -> str:
    """Loss, method and member of a cell."""
    loss = f"**{row['loss']:.3f}**" if row["loss"] == lowest else f"{row['loss']:.3f}"
    choice = member(row["model"]) if row["method"] == row["kind"] else f"{row['method']}, {member(row['model'])}"
    return f"{loss} ({choice})"


def findings(study: str) -> str:
    """Each statement with the verdict on it, the numbers and what is missing."""
    found = [(one["number"], one["statement"], one["verdict"], one["numbers"], one["why"]) for one in
             read(study, "findings.json")]  # fmt: skip
    scores = read(study, "downstream.json")
    numbers = ""
    if "spearman" in scores:
        within = ", ".join(f"{value:.2f} at {at}" for at, value in scores["spearman_within_budgets"].items())
        numbers = (
            f"rank correlation of held-out loss and nDCG@10 over {scores['runs']} runs {scores['spearman']:.2f}; "
            f"within budgets {within} FLOP"
        )
    found.append((8, DOWNSTREAM, scores["verdict"], numbers, None))
    return "\n".join(
        f"{number}. {text} **{verdict[0].upper()}{verdict[1:]}**: {'; '.join(filter(None, [numbers, why]))}."
        for number, text, verdict, numbers, why in found
    )


def verdicts(studies: str) -> str:
    """The paper's statements down, studies across."""
    names = studies.split("+")
    found = [
        {one["number"]: one for one in read(study, "findings.json")}
        | {8: {"statement": DOWNSTREAM, "verdict": read(study, "downstream.json")["verdict"]}}
        for study in names
    ]
    rows = [
        [f"{number}. {one['statement']}", *(verdicts_of[number]["verdict"] for verdicts_of in found)]
        for number, one in found[0].items()
    ]
    return table(["the paper's finding", *names], rows)


def sizes(_: str) -> str:
    """The models that come with the package, by size."""
    members = json.loads((ROOT / "src" / "embudget" / "data" / "models" / "pretrain.json").read_text())["members"]
    rows = [
        [one["name"], f"{one['model_params']:,}", flops(one["tokens"]), f"{one['seconds']:,.0f}",
         f"{one['heldout_perplexity']:.1f}"]
        for one in sorted(members, key=lambda one: int(one["model_params"]))
    ]  # fmt: skip
    return table(["model", "N", "tokens", "seconds", "held-out perplexity"], rows)


def forecast(study: str) -> str:
    """The choices that were trained, the best first."""
    made, verdict = read(study, "forecast.json"), read(study, "verdict.json")
    recipe, paper = made["recipe"], made["paper"]
    low, high = recipe["predicted_interval"]
    expected = {f"{one['model']} {one['method']}": one for one in [paper, *made["rivals"]]}
    expected[verdict["recipe"]] = {"predicted_loss": recipe["predicted_loss"], "loss_interval": [low, high]}
    roles = {verdict["recipe"]: "the recipe"}
    roles[verdict["paper"]] = ", ".join(filter(None, [roles.get(verdict["paper"]), "the paper's procedure"]))
    measured = {name: statistics.mean(losses) for name, losses in verdict["losses"].items()}
    best = min(measured.values())
    rows = []
    for name in sorted(measured, key=measured.__getitem__):
        low, high = expected[name]["loss_interval"]
        model, method = name.split()
        losses = ", ".join(f"{loss:.3f}" for loss in verdict["losses"][name])
        rows.append(
            [f"{method} on {member(model)}", roles.get(name, ""), f"{expected[name]['predicted_loss']:.3f}",
             f"{low:.3f} to {high:.3f}", losses, f"{100 * (measured[name] / best - 1):.1f} %"]
        )  # fmt: skip
    return table(["choice", "", "predicted", "90 % interval", "measured", "regret"], rows)


def ablations(study: str) -> str:
    """Changes down, cells across: the difference to the base in nats, with its standard error; bold beyond two."""
    rows = read(study, "ablations.json")
    cells = sorted({(row["train_flops"], row["model"]) for row in rows}, key=str)
    differences = {(row["change"], row["train_flops"], row["model"]): row for row in rows}
    lines = []
    for change in dict.fromkeys(row["change"] for row in rows):
        found = [differences.get((change, *cell)) for cell in cells]
        lines.append([change, *("" if row is None else difference(row) for row in found)])
    return table(["change", *(f"{flops(budget)}, {member(model)}" for budget, model in cells)], lines)


def difference(row: dict[str, Any]) -> str:
    """One difference with its standard error."""
    value, error = row["difference"], row["standard_error"]
    if error is None:
        return f"{value:+.3f}"
    text = f"{value:+.3f} ± {error:.3f}"
    return f"**{text}**" if abs(value) > 2 * error else text


def spent(studies: str) -> str:
    """A line for each of the studies, whose names are joined by +."""
    rows = []
    for study in studies.split("+"):
        found = read(study, "spent.json")
        speed = f"{found['median_flops_per_second'] / 1e9:.0f}"
        rows.append([study, f"{found['runs']}", flops(found["train_flops"]), f"{found['hours']:.1f}", speed])
    return table(["study", "runs", "FLOP", "hours of training", "median GFLOP/s"], rows)


def flops(number: float) -> str:
    """As 1.6e13."""
    return re.sub(r"e\+?0*", "e", f"{number:.3g}")


TABLES: dict[str, Callable[[str], str]] = {
    "frontier": frontier,
    "findings": findings,
    "verdicts": verdicts,
    "sizes": sizes,
    "forecast": forecast,
    "ablations": ablations,
    "spent": spent,
}


if __name__ == "__main__":
    main()
