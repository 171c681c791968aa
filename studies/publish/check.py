"""What came of a forecast: trains what `forecast` named, and judges it.

    .venv/bin/python -m studies.publish.check results/smollm2 --pairs quickstart/pairs
    .venv/bin/python -m studies.publish.check results/smollm2

With pairs, every choice of the forecast is trained twice, with two seeds, because the lowest of several single runs
would be a lucky one. Each record is added to `{folder}/check.jsonl`, so that a check that was stopped goes on. Both
commands then write `{folder}/verdict.json` from the records.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from embudget.errors import DivergedError
from embudget.pairs import load_pairs
from embudget.recipe import Recipe
from embudget.records import RunConfig, RunRecord
from embudget.training.resources import Resources
from embudget.training.run import diverged_record, train
from studies.publish.files import read_lines, save_json, write_lines
from studies.publish.forecast import choices_of, read_forecast
from studies.publish.runs import loss_or_chance, spent

FIRST, SECOND = SEEDS = 0, 1
"""Every choice is trained with both."""
HELD_OUT = ("yardstick", "eval_pairs", "eval_candidates")
"""What decides which pairs the losses are of; their defaults have changed since the forecast."""


def main() -> None:
    """Train what is due, where pairs are given, and write the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=Path)
    options = parser.parse_args()
    if options.pairs is not None:
        check(options.folder, options.pairs)
    save_json(options.folder / "verdict.json", verdict(options.folder))


def check(folder: Path, pairs_folder: Path) -> None:
    """Train what the forecast names and `check.jsonl` has no record of yet."""
    forecast, pairs = read_forecast(folder), load_pairs(pairs_folder)
    if pairs.hash != forecast["recipe"]["measured_on"]:
        sys.exit(f"{pairs_folder} must hold the pairs {forecast['recipe']['measured_on']}, got {pairs.hash}")
    out = folder / "check.jsonl"
    records = read_lines(out) if out.exists() else []
    while due := runs_due(forecast, records):
        try:
            resources = Resources(checkpoints=folder / "checkpoints")
            record = train(due[0], pairs, resources=resources, with_record=True)[1]
        except DivergedError as error:
            record = diverged_record(due[0], error)
        records.append(record)
        write_lines(out, records)
        sys.stdout.write(f"{record.config.model} {record.config.method} seed {record.config.seed}: {record.loss}\n")
        sys.stdout.flush()


def runs_due(forecast: dict[str, Any], records: list[RunRecord]) -> list[RunConfig]:
    """The runs that have no record yet: all choices with the first seed, then all with the second.

    They are measured on the held-out pairs of those that have one.
    """
    recipe = Recipe.read(forecast["recipe"], "forecast.json")
    assert recipe.measured_on is not None
    recipes = [
        recipe.model_copy(update={"model": model, "method": method, "learning_rate": rate})
        for (model, method), rate in choices_of(forecast).items()
    ]
    configs = [one.run_config(recipe.measured_on, seed) for seed in SEEDS for one in recipes]
    if records:
        same = {name: getattr(records[0].config, name) for name in HELD_OUT}
        configs = [config.model_copy(update=same) for config in configs]
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
    """Judge the forecast in a folder; all its runs must be there."""
    forecast, records = read_forecast(folder), read_lines(folder / "check.jsonl")
    if due := runs_due(forecast, records):
        sys.exit(f"{len(due)} runs of the check are left")
    return regrets_of(forecast, losses_of(records)) | {"spent": spent(records)}


def regrets_of(forecast: dict[str, Any], losses: dict[tuple[str, str], dict[int, float]]) -> dict[str, Any]:
    """The regret of the recipe and of the paper's choice, and the errors of their predictions.

    Regret is (loss - lowest loss) / lowest loss, by the means over both seeds. `noise_percent` is the standard error of
    the difference between two such means, with `freedom` degrees of freedom: the standard deviation, over the choices,
    of the difference between the seeds, divided by the root of 2. What a seed does to all choices alike is not in it.
    The interval is that of one run, so `inside` says whether the recipe's run with the first seed lies in it.
    """
    recipe, paper = forecast["recipe"], forecast["paper"]
    own, other = ((one["model"], one["method"]) for one in (recipe, paper))
    means = {choice: statistics.mean(seeds.values()) for choice, seeds in losses.items()}
    best = min(means, key=means.__getitem__)
    noise = statistics.stdev(seeds[SECOND] - seeds[FIRST] for seeds in losses.values()) / 2**0.5
    regrets = {choice: percent_above(mean, means[best]) for choice, mean in means.items()}
    low, high = recipe["predicted_interval"]
    return {
        "train_flops": recipe["train_flops"],
        "recipe": " ".join(own),
        "predicted": recipe["predicted_loss"],
        "interval": [low, high],
        "measured": round(means[own], 4),
        "error_percent": percent_above(means[own], recipe["predicted_loss"]),
        "inside": low <= losses[own][FIRST] <= high,
        "best": " ".join(best),
        "regret_percent": regrets[own],
        "noise_percent": round(100 * noise / means[best], 3),
        "freedom": len(losses) - 1,
        "paper": " ".join(other),
        "paper_predicted": paper["loss_by_its_line"],
        "paper_measured": round(means[other], 4),
        "paper_error_percent": percent_above(means[other], paper["loss_by_its_line"]),
        "paper_regret_percent": regrets[other],
        "losses": {
            " ".join(choice): [round(loss, 4) for _, loss in sorted(seeds.items())] for choice, seeds in losses.items()
        },
        "regrets_percent": {" ".join(choice): regret for choice, regret in regrets.items()},
    }


def percent_above(measured: float, reference: float) -> float:
    """How far a loss is above the reference, in percent of it."""
    return round(100 * (measured / reference - 1), 3)


if __name__ == "__main__":
    main()
