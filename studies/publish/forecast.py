"""A forecast at a budget that no run has seen, written down before it is checked (by `check`).

    .venv/bin/python -m studies.publish.forecast make results/smollm2 --budget 6.4e13
    .venv/bin/python -m studies.publish.forecast add results/smollm2

`make` writes `{folder}/forecast.json` from `{folder}/laws.json` and the records below the budget. It holds

    recipe    with its prediction, interval, crossovers and the choices that are as good
    rivals    of the measured choices, the one with the lowest predicted loss of every other kind of method, and of the
              recipe's kind with another rank or fraction; also the recipe's method one size down or up
    paper     what the paper's own procedure (see `benchmarks.paper_procedure`) would choose and expect

The laws choose these rivals, which are too weak where the laws are wrong about a kind of method. So `add` writes others
to `{folder}/added.json`: what was measured as the best of each other kind at the largest budget. A forecast that could
be changed afterwards would be none, so neither file is ever replaced.

The recipe's `predicted_interval` is that of one run and its `loss_interval` that of the law; the `loss_interval` of all
others is that of one run.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import paper_procedure
from embudget.flops import steps_for, tokens_for
from embudget.laws import Laws
from embudget.methods import parse_method
from embudget.recipe import Recipe, recommend
from embudget.recipe.hyperparameters import learning_rate_for, nearest_cell, tokens_per_pair_of
from embudget.suite import DEFAULT_SUITE, ModelShape, find_shape, find_suite
from studies.publish.cells import best_by_budget, kind_of, kinds_of
from studies.publish.files import read_json, read_lines, save_json

MIN_STEPS = 30
"""Optimiser steps that a rival must get, as in the study: fewer would compare learning rates rather than methods."""


def main() -> None:
    """Make a forecast, or add rivals to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("make", "add"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=6.4e13)
    options = parser.parse_args()
    if options.stage == "make":
        make(options.folder, options.budget)
    else:
        add(options.folder)


def make(folder: Path, budget: float) -> None:
    """Write `forecast.json`."""
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
    save_json(out, result)
    sys.stdout.write(f"{recipe}\n")
    for choice in [*result["rivals"], result["paper"]]:
        sys.stdout.write(f"{choice}\n")


def rivals_of(recipe: Recipe, laws: Laws, members: list[ModelShape]) -> Iterator[tuple[str, str]]:
    """Choose the rivals, each a model and a method."""
    suite = sorted(find_suite(DEFAULT_SUITE), key=lambda shape: shape.model_params)
    measured = {(cell.model, cell.method) for cell in laws.cells}  # a law of few sizes may say anything elsewhere
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
    """Optimiser steps of a choice at the recipe's budget and batch size."""
    parsed = parse_method(method)
    return steps_for(recipe.train_flops, parsed, shape, tokens_per_pair_of(laws.table), recipe.batch_size)


def loss_of(laws: Laws, model: str, method: str, recipe: Recipe) -> float:
    """Predicted loss of a choice at the recipe's budget, nats."""
    shape = find_shape(model)
    tokens = tokens_for(recipe.train_flops, parse_method(method), shape)
    return laws.predict(method, shape.model_params, tokens)


def expected(laws: Laws, recipe: Recipe, model: str, method: str) -> dict[str, Any]:
    """What a choice is expected to come to: its learning rate, its predicted loss and the interval of one run."""
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


def add(folder: Path) -> None:
    """Write `added.json`: the best measured choice of each kind but the recipe's, at the laws' largest budget."""
    out = folder / "added.json"
    if out.exists():
        sys.exit(f"{out} is there: rivals are added once")
    laws, forecast = Laws.load(folder / "laws.json"), read_forecast(folder)
    recipe = Recipe.read(forecast["recipe"], "forecast.json")
    best = [best_by_budget(laws, kind)[laws.table.budgets[-1]] for kind in kinds_of(laws)
            if kind != kind_of(recipe.method)]  # fmt: skip
    named = set(choices_of(forecast))
    rivals = [
        expected(laws, recipe, cell.model, cell.method) for cell in best if (cell.model, cell.method) not in named
    ]
    save_json(out, {"made": datetime.now(UTC).isoformat(timespec="seconds"), "rivals": rivals})


def read_forecast(folder: Path) -> dict[str, Any]:
    """Read the forecast, with the added rivals after its own."""
    forecast: dict[str, Any] = read_json(folder / "forecast.json")
    added = folder / "added.json"
    return forecast | {"rivals": [*forecast["rivals"], *(read_json(added)["rivals"] if added.exists() else [])]}


def choices_of(forecast: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Model and method -> learning rate: the recipe, its rivals and the paper's choice, which may be one of them."""
    named = (forecast["recipe"], *forecast["rivals"], forecast["paper"])
    rates = {(one["model"], one["method"]): one["learning_rate"] for one in reversed(named)}
    return {(one["model"], one["method"]): rates[one["model"], one["method"]] for one in named}


if __name__ == "__main__":
    main()
