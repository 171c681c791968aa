"""How good was the quickstart's recommendation? Its regret against rivals trained at the same budget.

    .venv/bin/python -m benchmarks.regret_of_quickstart --quickstart quickstart/ --out results/quickstart/

The folder is that of a quickstart which ran a study (study.db, laws.json, recipe.yaml), as it did up to 2026-11-29.

Rivals of the recipe: another method on the same member, and the same method one member smaller and one larger. Each is
set up as the recipe would set it up. The records of the study, of the recipe and of its rivals are written as JSON
lines, and the regret with them: (loss of the recipe - lowest loss) / lowest loss.
"""

import argparse
import json
import sys
from pathlib import Path

from embudget.exports.folder import RECORD_FILE
from embudget.files import write_whole
from embudget.flops import tokens_for
from embudget.laws import Laws
from embudget.methods import parse_method
from embudget.pairs import Pairs, load_pairs
from embudget.recipe import Recipe
from embudget.recipe.hyperparameters import nearest_cell
from embudget.records import RunConfig, RunRecord
from embudget.study import Store
from embudget.suite import DEFAULT_SUITE, find_shape, find_suite
from embudget.training.run import train


def main() -> None:
    """Train the rivals that have no record yet, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quickstart", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder: Path = options.quickstart
    recipe, pairs = Recipe.load(folder / "recipe.yaml"), load_pairs(folder / "pairs")
    chosen = RunRecord.model_validate_json((folder / "model" / RECORD_FILE).read_text())
    with Store(folder / "rivals.db") as store:
        there = store.ids()
        for config in rivals(recipe, Laws.load(folder / "laws.json"), pairs):
            if config.id not in there:
                store.add(train(config, pairs, with_record=True)[1])
        rival_records = store.records()
    with Store(folder / "study.db", create=False) as store:
        study_records = store.records()
    options.out.mkdir(parents=True, exist_ok=True)
    everything = [*study_records, chosen, *rival_records]
    lines = "".join(record.model_dump_json(exclude_none=True) + "\n" for record in everything)
    write_whole(options.out / "records.jsonl", lines)
    text = json.dumps(summary(recipe, chosen, rival_records), indent=2) + "\n"
    write_whole(options.out / "regret.json", text)
    sys.stdout.write(text)


def rivals(recipe: Recipe, laws: Laws, pairs: Pairs) -> list[RunConfig]:
    """Name the recipe's rivals: the next best method on its member, and its method one member down and one up."""
    names = [shape.name for shape in find_suite(DEFAULT_SUITE)]
    place = names.index(recipe.model)
    neighbours = [names[other] for other in (place - 1, place + 1) if 0 <= other < len(names)]
    others = [method for method in laws.methods if method != recipe.method]
    shape = find_shape(recipe.model)

    def predicted(method: str) -> float:
        return laws.predict(method, shape.model_params, tokens_for(recipe.train_flops, parse_method(method), shape))

    choices = [(recipe.model, min(others, key=predicted)), *((name, recipe.method) for name in neighbours)]
    return [_config(recipe, laws, pairs, model, method) for model, method in choices]


def _config(recipe: Recipe, laws: Laws, pairs: Pairs, model: str, method: str) -> RunConfig:
    nearest = nearest_cell(parse_method(method), find_shape(model).model_params, recipe.train_flops, laws.cells)
    rival = recipe.model_copy(update={"model": model, "method": method, "learning_rate": nearest.learning_rate})
    return rival.run_config(pairs.hash)


def summary(recipe: Recipe, chosen: RunRecord, others: list[RunRecord]) -> dict[str, object]:
    """Predicted and measured loss of the recipe, the losses of its rivals, its regret."""
    assert chosen.loss is not None
    losses = {f"{r.config.model} {r.config.method}": r.loss for r in others if r.loss is not None}
    best = min([chosen.loss, *losses.values()])
    return {
        "train_flops": recipe.train_flops,
        "recipe": f"{recipe.model} {recipe.method}",
        "predicted_loss": round(recipe.predicted_loss, 4),
        "predicted_interval": [round(bound, 4) for bound in recipe.predicted_interval],
        "measured_loss": round(chosen.loss, 4),
        "rivals": {name: round(loss, 4) for name, loss in losses.items()},
        "regret": round((chosen.loss - best) / best, 4),
    }


if __name__ == "__main__":
    main()
