"""A forecast at a budget that no run has seen, written down before it is checked; then the check.

    .venv/bin/python benchmarks/forecast.py make results/smollm2 --budget 6.4e13
    .venv/bin/python benchmarks/forecast.py check results/smollm2 --pairs quickstart/pairs

`make` writes `{folder}/forecast.json` from `{folder}/laws.json` and the records below the budget: the recipe with its
prediction, interval, crossovers and the choices that are as good; its rivals; and what the paper's own procedure (see
`paper_procedure`) would choose and expect. Rivals are every other kind of method at its best predicted size, and the
recipe's kind by another rank or fraction, both among the sizes that they were measured on, and the recipe's method one
size down and one up. It refuses to replace a forecast that is there.

`check` trains what the forecast names, each with two seeds, resumable, and adds each record to `{folder}/check.jsonl`.
Once every choice has a record it writes the verdict to `{folder}/verdict.json`: the error of the prediction, and the
regret of the recipe and of the paper's choice, (loss - lowest loss of all) / lowest loss, by the means over the seeds.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paper_procedure
from results_files import loss_or_chance, read_lines, save, write_lines

from embudget.flops import steps_for, tokens_for
from embudget.laws import Laws
from embudget.laws.basis import kind_of
from embudget.methods import parse_method
from embudget.pairs import load_pairs
from embudget.recipe import Recipe, recommend
from embudget.recipe.hyperparameters import learning_rate_for, nearest_cell, tokens_per_pair_of
from embudget.records import RunConfig, RunRecord
from embudget.suite import DEFAULT_SUITE, ModelShape, find_shape, find_suite
from embudget.training.resources import Resources
from embudget.training.run import train_run

MIN_STEPS = 30
"""Of a rival; that of the study."""

SEEDS = (0, 1)
"""Of every choice: of single runs the lowest would be a lucky one."""


def main() -> None:
    """Make a forecast, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["make", "check"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=6.4e13)
    parser.add_argument("--pairs", type=Path)
    options = parser.parse_args()
    if options.stage == "make":
        make(options.folder, options.budget)
    elif options.pairs is None:
        parser.error("check needs --pairs")
    else:
        check(options.folder, options.pairs)


def make(folder: Path, budget: float) -> None:
    """Write the forecast."""
    out = folder / "forecast.json"
    if out.exists():
        sys.exit(f"{out} is there: a forecast is made once")
    laws = Laws.load(folder / "laws.json")
    records = read_lines(folder / "records.jsonl")
    if seen := [record for record in records if record.config.train_flops >= budget]:
        sys.exit(f"{len(seen)} records are at {budget:g} FLOP or more")
    records = [record for record in records if record.config.train_flops <= laws.table.budgets[-1]]
    recipe = recommend(laws, budget=budget)
    members = [find_shape(model) for model in sorted({cell.model for cell in laws.cells})]
    model, method = paper_procedure.choose(records, budget, find_suite(DEFAULT_SUITE))
    rivals = [choice for choice in rivals_of(recipe, laws, members) if choice != (recipe.model, recipe.method)]
    result = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": recipe.model_dump(mode="json"),
        "rivals": [expected(laws, recipe, *choice) for choice in dict.fromkeys(rivals)],
        "paper": expected(laws, recipe, model, method)
        | {"loss_by_its_line": round(paper_procedure.expected_loss(records, method, budget), 4)},
    }
    save(out, result)
    sys.stdout.write(f"{recipe}\n")
    for choice in [*result["rivals"], result["paper"]]:
        sys.stdout.write(f"{choice}\n")


def rivals_of(recipe: Recipe, laws: Laws, members: list[ModelShape]) -> Iterator[tuple[str, str]]:
    """Model and method of each rival."""
    suite = sorted(find_suite(DEFAULT_SUITE), key=lambda shape: shape.model_params)
    measured = {(cell.model, cell.method) for cell in laws.cells}  # elsewhere a law of few sizes may say anything
    able = {
        (shape.name, method): loss_of(laws, shape.name, method, recipe)
        for shape in members
        for method in laws.methods
        if (shape.name, method) in measured and steps_of(laws, shape, method, recipe) >= MIN_STEPS
    }
    for kind in sorted({kind_of(method) for method in laws.methods} - {kind_of(recipe.method)}):
        yield min((choice for choice in able if kind_of(choice[1]) == kind), key=able.__getitem__)
    yield min(  # the best of the recipe's kind by another rank or fraction
        (choice for choice in able if kind_of(choice[1]) == kind_of(recipe.method) and choice[1] != recipe.method),
        key=able.__getitem__, default=(recipe.model, recipe.method),
    )  # fmt: skip
    names = [shape.name for shape in suite]
    place = names.index(recipe.model)
    for other in (place - 1, place + 1):
        if 0 <= other < len(names):
            yield names[other], recipe.method


def steps_of(laws: Laws, shape: ModelShape, method: str, recipe: Recipe) -> float:
    """Optimiser steps at the recipe's budget and batch."""
    parsed = parse_method(method)
    return steps_for(recipe.train_flops, parsed, shape, tokens_per_pair_of(laws.table), recipe.batch_size)


def loss_of(laws: Laws, model: str, method: str, recipe: Recipe) -> float:
    """Predicted loss at the recipe's budget."""
    shape = find_shape(model)
    tokens = tokens_for(recipe.train_flops, parse_method(method), shape)
    return laws.predict(method, shape.model_params, tokens)


def expected(laws: Laws, recipe: Recipe, model: str, method: str) -> dict[str, Any]:
    """A choice with its rate and its predicted loss."""
    shape, parsed = find_shape(model), parse_method(method)
    tokens = tokens_for(recipe.train_flops, parsed, shape)
    cell = nearest_cell(method, shape.model_params, recipe.train_flops, laws.cells)
    rate = learning_rate_for(laws, cell, parsed, shape, tokens).rate
    low, high = laws.interval(method, shape.model_params, tokens)
    return {
        "model": model, "method": method, "learning_rate": float(f"{rate:.3g}"),
        "predicted_loss": round(laws.predict(method, shape.model_params, tokens), 4),
        "loss_interval": [round(low, 4), round(high, 4)],
    }  # fmt: skip


def check(folder: Path, pairs_folder: Path) -> None:
    """Train what the forecast names and has no record yet; write the verdict."""
    forecast = json.loads((folder / "forecast.json").read_text())
    recipe, pairs = Recipe.read(forecast["recipe"], "forecast.json"), load_pairs(pairs_folder)
    if pairs.hash != recipe.measured_on:
        sys.exit(f"{pairs_folder} must hold the pairs {recipe.measured_on} of the forecast, got {pairs.hash}")
    out = folder / "check.jsonl"
    records = read_lines(out) if out.exists() else []
    configs = configs_of(recipe, forecast, pairs.hash)
    for config in configs:
        if config.id in {record.id for record in records}:
            continue
        records.append(train_run(config, pairs, resources=Resources(checkpoints=folder / "checkpoints"))[1])
        write_lines(out, records)
        sys.stdout.write(f"{config.model} {config.method} seed {config.seed}: {records[-1].loss}\n")
        sys.stdout.flush()
        if {config.id for config in configs if config.seed == SEEDS[0]} <= {record.id for record in records}:
            save(folder / "verdict.json", verdict(recipe, forecast, records))
    sys.stdout.write((folder / "verdict.json").read_text())


def configs_of(recipe: Recipe, forecast: dict[str, Any], pairs_hash: str) -> list[RunConfig]:
    """The recipe, its rivals and the paper's choice, with the first seed and then with the others."""
    own = {"model": recipe.model, "method": recipe.method, "learning_rate": recipe.learning_rate}
    choices: dict[tuple[str, str], dict[str, Any]] = {}
    for choice in (own, *forecast["rivals"], forecast["paper"]):  # the paper's may be one of the others
        choices.setdefault((choice["model"], choice["method"]), {name: choice[name] for name in own})
    recipes = [recipe.model_copy(update=changes) for changes in choices.values()]
    return [one.run_config(pairs_hash, seed) for seed in SEEDS for one in recipes]


def verdict(recipe: Recipe, forecast: dict[str, Any], records: list[RunRecord]) -> dict[str, Any]:
    """Regret and error of the prediction; a run that diverged counts as chance.

    The interval is that of one run, and `inside` says whether the first has the recipe's loss in it.
    """
    losses = defaultdict(list)
    for record in records:
        loss = loss_or_chance(record)
        if loss is not None:
            losses[record.config.model, record.config.method].append(loss)
    means = {choice: statistics.mean(values) for choice, values in losses.items()}
    best = min(means, key=means.__getitem__)
    own = (recipe.model, recipe.method)
    paper = forecast["paper"]
    low, high = recipe.predicted_interval
    first = losses[own][0]
    return {
        "train_flops": recipe.train_flops,
        "recipe": " ".join(own),
        "predicted": recipe.predicted_loss,
        "interval": [low, high],
        "measured": [round(loss, 4) for loss in losses[own]],
        "error_percent": round(100 * (means[own] / recipe.predicted_loss - 1), 2),
        "inside": low <= first <= high,
        "best": " ".join(best),
        "regret_percent": round(100 * (means[own] / means[best] - 1), 2),
        "paper": f"{paper['model']} {paper['method']}",
        "paper_predicted": paper["loss_by_its_line"],
        "paper_measured": round(means[paper["model"], paper["method"]], 4),
        "paper_regret_percent": round(100 * (means[paper["model"], paper["method"]] / means[best] - 1), 2),
        "losses": {" ".join(choice): [round(loss, 4) for loss in values] for choice, values in losses.items()},
    }


if __name__ == "__main__":
    main()
