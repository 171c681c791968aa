"""A forecast at a budget that no run has seen, written down before it is checked; then the check.

    .venv/bin/python benchmarks/forecast.py make results/smollm2 --budget 6.4e13
    .venv/bin/python benchmarks/forecast.py add results/smollm2
    .venv/bin/python benchmarks/forecast.py check results/smollm2 --pairs quickstart/pairs
    .venv/bin/python benchmarks/forecast.py verdict results/smollm2

`make` writes `{folder}/forecast.json` from `{folder}/laws.json` and the records below the budget: the recipe with its
prediction, interval, crossovers and the choices that are as good; its rivals; and what the paper's own procedure (see
`paper_procedure`) would choose and expect. Rivals are every other kind of method at its best predicted size, and the
recipe's kind by another rank or fraction, both among the sizes that they were measured on, and the recipe's method one
size down and one up. Of the recipe, `predicted_interval` is that of one run and `loss_interval` that of the law; the
`loss_interval` of all others is that of one run.

The laws choose these rivals, which are too weak where the laws are wrong about a kind of method. `add` writes others to
`{folder}/added.json`: what was measured as the best of each other kind at the largest budget. Neither file is replaced.

`check` trains what both name, each with two seeds, for of single runs the lowest would be a lucky one; it is resumable
and adds each record to `{folder}/check.jsonl`. `verdict` writes `{folder}/verdict.json` from the records.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paper_procedure
from results_files import loss_or_chance, read_forecast, read_lines, save, write_lines
from spent import spent
from study_figures import best_by_budget, kinds_of

from embudget.errors import DivergedError
from embudget.flops import steps_for, tokens_for
from embudget.laws import Laws
from embudget.methods import kind_of, parse_method
from embudget.pairs import load_pairs
from embudget.recipe import Recipe, recommend
from embudget.recipe.hyperparameters import learning_rate_for, nearest_cell, tokens_per_pair_of
from embudget.records import RunConfig, RunRecord
from embudget.suite import DEFAULT_SUITE, ModelShape, find_shape, find_suite
from embudget.training.resources import Resources
from embudget.training.run import diverged_record, train_run

MIN_STEPS = 30
"""Of a rival; that of the study."""

FIRST, SECOND = SEEDS = 0, 1
"""Of every choice."""

STAGES = ("make", "add", "check", "verdict")


def main() -> None:
    """Make a forecast, check it, or say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--budget", type=float, default=6.4e13)
    parser.add_argument("--pairs", type=Path)
    options = parser.parse_args()
    if options.stage == "make":
        make(options.folder, options.budget)
    elif options.stage == "add":
        add(options.folder)
    elif options.stage == "verdict":
        save(options.folder / "verdict.json", verdict(options.folder))
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


def add(folder: Path) -> None:
    """Write down the best measured choice of each kind that the recipe is not of, at the largest budget of the laws."""
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
    save(out, {"made": datetime.now(UTC).isoformat(timespec="seconds"), "rivals": rivals})


def choices_of(forecast: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Model and method -> learning rate: the recipe, its rivals and the paper's choice, which may be one of them."""
    named = (forecast["recipe"], *forecast["rivals"], forecast["paper"])
    rates = {(one["model"], one["method"]): one["learning_rate"] for one in reversed(named)}
    return {(one["model"], one["method"]): rates[one["model"], one["method"]] for one in named}


def check(folder: Path, pairs_folder: Path) -> None:
    """Train what is due and has no record yet; write the verdict."""
    forecast, pairs = read_forecast(folder), load_pairs(pairs_folder)
    if pairs.hash != forecast["recipe"]["measured_on"]:
        sys.exit(f"{pairs_folder} must hold the pairs {forecast['recipe']['measured_on']}, got {pairs.hash}")
    out = folder / "check.jsonl"
    records = read_lines(out) if out.exists() else []
    while due := runs_due(forecast, records):
        try:
            record = train_run(due[0], pairs, resources=Resources(checkpoints=folder / "checkpoints"))[1]
        except DivergedError as error:
            record = diverged_record(due[0], error)
        records.append(record)
        write_lines(out, records)
        sys.stdout.write(f"{record.config.model} {record.config.method} seed {record.config.seed}: {record.loss}\n")
        sys.stdout.flush()
    save(folder / "verdict.json", verdict(folder))


def runs_due(forecast: dict[str, Any], records: list[RunRecord]) -> list[RunConfig]:
    """What is to be trained yet: all choices with the first seed, then with the second."""
    recipe = Recipe.read(forecast["recipe"], "forecast.json")
    assert recipe.measured_on is not None
    recipes = [
        recipe.model_copy(update={"model": model, "method": method, "learning_rate": rate})
        for (model, method), rate in choices_of(forecast).items()
    ]
    configs = [one.run_config(recipe.measured_on, seed) for seed in SEEDS for one in recipes]
    done = {record.id for record in records}
    return [config for config in configs if config.id not in done]


def losses_of(records: list[RunRecord]) -> dict[tuple[str, str], dict[int, float]]:
    """Model and method -> seed -> loss; a run that diverged counts as chance."""
    losses: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for record in records:
        loss = loss_or_chance(record)
        if loss is not None:
            losses[record.config.model, record.config.method][record.config.seed] = loss
    return dict(losses)


def verdict(folder: Path) -> dict[str, Any]:
    """What came of the forecast in a folder, which must be checked to its end."""
    forecast, records = read_forecast(folder), read_lines(folder / "check.jsonl")
    if due := runs_due(forecast, records):
        sys.exit(f"{len(due)} runs of the check are left")
    return judge(forecast, losses_of(records)) | {"spent": spent(records)}


def judge(forecast: dict[str, Any], losses: dict[tuple[str, str], dict[int, float]]) -> dict[str, Any]:
    """Regret and error of the predictions.

    Regret is (loss - lowest loss) / lowest loss, by the means over both seeds. `noise_percent` is the standard error of
    the difference between two such means: the standard deviation of the choices' differences between the seeds, divided
    by the root of 2; `freedom` are its degrees of freedom. What all runs of a seed have in common is not in it. The
    interval is that of one run, and `inside` says whether the recipe's first has its loss in it.
    """
    recipe, paper = forecast["recipe"], forecast["paper"]
    own, other = ((one["model"], one["method"]) for one in (recipe, paper))
    means = {choice: statistics.mean(seeds.values()) for choice, seeds in losses.items()}
    best = min(means, key=means.__getitem__)
    noise = statistics.stdev(seeds[SECOND] - seeds[FIRST] for seeds in losses.values()) / 2**0.5
    regrets = {choice: error(mean, means[best]) for choice, mean in means.items()}
    low, high = recipe["predicted_interval"]
    return {
        "train_flops": recipe["train_flops"],
        "recipe": " ".join(own),
        "predicted": recipe["predicted_loss"],
        "interval": [low, high],
        "measured": round(means[own], 4),
        "error_percent": error(means[own], recipe["predicted_loss"]),
        "inside": low <= losses[own][FIRST] <= high,
        "best": " ".join(best),
        "regret_percent": regrets[own],
        "noise_percent": round(100 * noise / means[best], 3),
        "freedom": len(losses) - 1,
        "paper": " ".join(other),
        "paper_predicted": paper["loss_by_its_line"],
        "paper_measured": round(means[other], 4),
        "paper_error_percent": error(means[other], paper["loss_by_its_line"]),
        "paper_regret_percent": regrets[other],
        "losses": {
            " ".join(choice): [round(loss, 4) for _, loss in sorted(seeds.items())] for choice, seeds in losses.items()
        },
        "regrets_percent": {" ".join(choice): regret for choice, regret in regrets.items()},
    }


def error(measured: float, reference: float) -> float:
    """In percent of the reference."""
    return round(100 * (measured / reference - 1), 3)


if __name__ == "__main__":
    main()
