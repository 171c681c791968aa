"""Which start is best at which budget? What a study of several lineages says, as a file.

    .venv/bin/python -m studies.publish.starts results/starts

Reads `{folder}/records.jsonl`, to which it first adds what `{folder}/study.db` has beyond it, and writes

    starts.json    by lineage: the best start as it is, and the best run at each budget, with the standard error of its
                   loss; the laws' noise and forms; then, for budgets up to 16 times the largest, the best fresh and the
                   best continued start by the laws, and the budgets at which one overtakes the other
    summary.txt    what `embudget fit` says
    spent.json     runs, FLOP and hours

`--beside` takes the records of other folders, on the same held-out pairs, together with these; spent.json leaves them
out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embudget.files import write_whole
from embudget.laws import Laws, fit
from embudget.recipe import recommend
from embudget.records import RunRecord
from studies.publish.files import read_records, save_json
from studies.publish.runs import spent

TIMES = (1, 4, 16)
"""Budgets of the recipes over the largest measured one."""


def main() -> None:
    """Make the files of the study's results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", type=Path, nargs="*", default=[], metavar="FOLDER")
    options = parser.parse_args()
    folder: Path = options.folder
    own = read_records(folder)
    records = [*own, *(record for other in options.beside for record in read_records(other))]
    laws = fit(records)
    write_whole(folder / "summary.txt", laws.summary() + "\n")
    save_json(folder / "spent.json", spent(own))
    largest = max(record.config.train_flops for record in records)
    save_json(folder / "starts.json", {
        "lineages": {str(one.lineage): of_lineage(records, one) for one in laws.every},
        "recipes": [recipe_of(laws, times * largest) for times in TIMES],
    })  # fmt: skip


def of_lineage(records: Sequence[RunRecord], laws: Laws) -> dict[str, Any]:
    """The best start as it is, the best run at each budget, and how well the laws follow."""
    mine = [record for record in records if record.lineage == laws.lineage and record.loss is not None]
    start = min(mine, key=lambda record: record.base_loss or float("inf"))
    best: dict[float, RunRecord] = {}
    for record in mine:
        kept = best.get(record.config.train_flops)
        if kept is None or (record.loss or 0.0) < (kept.loss or 0.0):
            best[record.config.train_flops] = record
    weights: dict[str, float] = {}
    for component in laws.surface.components:
        weights[component.form] = weights.get(component.form, 0.0) + component.weight
    return {
        "runs": len(mine),
        "start": {"model": start.config.model, "loss": start.base_loss, "ndcg": start.base_ndcg},
        "best": [row_of(best[budget]) for budget in sorted(best)],
        "noise": round(laws.noise, 4),
        "forms": {form: round(weight, 3) for form, weight in weights.items()},
    }


def row_of(record: RunRecord) -> dict[str, Any]:
    """One run in a row; what was not measured is null."""
    config = record.config
    measured = {"loss": record.loss, "error": record.loss_error, "ndcg": record.ndcg}
    return {
        "train_flops": config.train_flops, "model": config.model, "method": config.method,
        "learning_rate": config.learning_rate,
        **{name: None if value is None else round(value, 4) for name, value in measured.items()},
    }  # fmt: skip


def recipe_of(laws: Laws, budget: float) -> dict[str, Any]:
    """The best choice of each lineage at a budget, and where one lineage overtakes another."""
    recipe = recommend(laws, budget)
    return {
        "budget": budget,
        "starts": [start.model_dump(mode="json") for start in recipe.starts],
        "crossovers": [crossover.model_dump(mode="json") for crossover in recipe.start_crossovers],
        "untrained": None if recipe.untrained is None else recipe.untrained.model_dump(mode="json"),
    }


if __name__ == "__main__":
    main()
