"""How good are recipes where the truth is known? Their regret in simulated worlds, and how often intervals hold it.

    .venv/bin/python -m benchmarks.regret --out results/simulation/regret.json
    .venv/bin/python -m benchmarks.regret --kinds neither --out results/simulation/regret_neither.json

Every world (`worlds.py`) has a study, whose records are all that a procedure sees. It then chooses a member of the
suite and a method at 4, 16 and 64 times the largest measured budget. The regret of a choice is (its true loss - the
lowest true loss of any choice at that budget) / that lowest loss, without noise. The procedures are

    recipe      embudget: `fit` and `recommend`
    paper       parabolas per budget, straight lines per method (`paper_procedure.py`)
    carry       the best cell of the largest budget, with N ~ C^0.25 (`carry_forward.py`)
    largest     always the largest member, by lora:32
    best full   always full fine-tuning of the size that was the best at the largest measured budget

Coverage is the share of nominal 90 % intervals that hold the truth:

    run         the loss that a new run of the recipe has, noise included
    best        the lowest true loss at the budget
    crossing    the budget at which one kind of method truly overtakes another, where the recipe claims to know it

The interval score (Gneiting and Raftery 2007) punishes width and misses alike, in log losses and per cent:

    score = (high - low) + 2 / 0.1 (how far the truth lies outside)

Where the best learning rate drifts (the flaw `rates`), every procedure pays for its rate too: the recipe for its own,
the others for the best one tried in the cell of their method with the nearest size at the largest budget. `rate_cost`
is what the recipe's rate alone costs.

The true crossing is found from the noise-free losses of the same choices on the same grid of budgets, up to 16 times
the recipe's budget. Where two kinds take turns, each claim is held against the next crossing after the one before;
where there is none, the claim is false.

A world whose study gives no recipe counts as one over the limit, so that nothing is gained by refusing. Means are then
taken over the other worlds, for all procedures alike.
"""

import argparse
import csv
import io
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks import carry_forward, paper_procedure
from benchmarks.regret_tables import PROCEDURES, Row, coverages, over, ratios, refusals, regrets, tables
from benchmarks.worlds import DISTANCES, GROUPS, Case, make_case
from embudget.choices import budgets_between, overtakings
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.recipe import Recipe, recommend
from embudget.recipe.crossing import span_of
from embudget.recipe.lowest import BEYOND
from embudget.recipe.options import Question
from embudget.records import RunRecord
from embudget.suite import find_shape, find_suite

HELD = (
    "run_held", "run_width", "run_score", "best_held", "best_width", "best_score", "best_in_flat", "noise_ratio",
    "rate_cost", "crossings", "crossings_held", "crossings_open",
)  # fmt: skip
MISS = 2 / 0.1
"""Weight of a miss in the interval score: 2 / alpha."""


def main() -> None:
    """Simulate, print the tables, write the numbers."""
    options = parse()
    tasks = list(product(options.kinds, range(options.first, options.first + options.worlds), [options.draws]))
    started = time.perf_counter()
    rows = [row for world in outcomes(tasks, options.jobs) for row in world]
    if options.rows is not None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        save_text(options.rows, text.getvalue())
    summary = {
        "regret": regrets(rows),
        "coverage": coverages(rows),
        "times_paper": ratios(rows),
        "over_limit": over(rows),
        "refused": refusals(rows),
    }
    sys.stdout.write(tables(summary, len(tasks)))
    if options.out is not None:
        command = " ".join(["-m benchmarks.regret", *sys.argv[1:]])
        about = {"command": command, "date": time.strftime("%Y-%m-%d"), "worlds": len(tasks), "kinds": options.kinds}
        save_text(options.out, json.dumps({**about, "level": 0.9, **summary}, indent=2) + "\n")
    sys.stderr.write(f"{len(tasks)} worlds in {time.perf_counter() - started:.0f} s\n")


def parse() -> argparse.Namespace:
    """Read the options; names of groups become their kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="seed of the first world of each kind")
    parser.add_argument("--draws", type=int, default=200, help="bootstrap draws")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    named = {kind: (kind,) for kinds in GROUPS.values() for kind in kinds}
    parser.add_argument(
        "--kinds", nargs="+", default=["form"], choices=[*GROUPS, *named], metavar="KIND",
        help=f"of world, or a group of them: {', '.join(GROUPS)}",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    parser.add_argument("--rows", type=Path, help="CSV file with every world at every distance")
    options = parser.parse_args()
    options.kinds = [kind for name in options.kinds for kind in (GROUPS | named)[name]]
    return options


def outcomes(tasks: Sequence[tuple[str, int, int]], jobs: int) -> Iterator[list[Row]]:
    """The rows of every world, in order, with progress on stderr."""
    with ProcessPoolExecutor(jobs) as pool:
        for done, rows in enumerate(pool.map(outcome, tasks), start=1):
            if done % 10 == 0 or done == len(tasks):
                sys.stderr.write(f"{done} of {len(tasks)} worlds\n")
            yield rows


def outcome(task: tuple[str, int, int]) -> list[Row]:
    """One world: what every procedure chooses at every distance, held against the truth."""
    kind, seed, draws = task
    case = make_case(kind, seed)
    records = case.records()
    started = time.perf_counter()
    try:
        laws: Laws | EmbudgetError = fit(records, draws=draws)
    except EmbudgetError as error:
        laws = error
    seconds = time.perf_counter() - started
    return [_row(case, records, laws, times) | {"fit_seconds": round(seconds, 3)} for times in DISTANCES]


def _row(case: Case, records: list[RunRecord], laws: Laws | EmbudgetError, times: int) -> Row:
    budget = times * case.world.budgets[-1]
    best = case.best(budget)
    row: Row = {
        "kind": case.kind,
        "seed": case.seed,
        "suite": case.suite,
        "runs": len(records),
        "noise": case.world.noise,
        "times": times,
        "best": " ".join(best),
        "best_loss": case.loss(*best, budget),
    }
    carried = carry_forward.choose(records, budget, find_suite(case.suite))
    choices = {
        "paper": paper_procedure.choose(records, budget, find_suite(case.suite)),
        "carry": (carried.model, carried.method),
        "largest": (find_suite(case.suite)[-1].name, "lora:32"),
        "best full": _best_full(records),
    }
    recipe, refused = _recommend(laws, budget, case.suite)
    if recipe is not None:
        choices["recipe"] = recipe.model, recipe.method
    for name in PROCEDURES:
        choice = choices.get(name)
        row[name] = None if choice is None else " ".join(choice)
        if choice is None:
            row[f"regret of {name}"] = None
            continue
        rate = (
            recipe.learning_rate if name == "recipe" and recipe is not None else _nearest_rate(case, records, *choice)
        )
        spent = recipe.train_flops if name == "recipe" and recipe is not None else budget  # less, if pairs repeat
        row[f"regret of {name}"] = case.loss(*choice, spent, rate) / case.loss(*best, budget) - 1
    return row | {"refused": refused} | _held(case, recipe, laws, budget)


def _recommend(laws: Laws | EmbudgetError, budget: float, suite: str) -> tuple[Recipe | None, str | None]:
    """The recipe, or why there is none."""
    if isinstance(laws, EmbudgetError):
        return None, str(laws)
    try:
        return recommend(laws, budget, suite=suite, min_steps=1, force=True), None
    except EmbudgetError as error:
        return None, str(error)


def _nearest_rate(case: Case, records: list[RunRecord], model: str, method: str) -> float | None:
    """The best rate tried in the cell of a method at its largest budget whose size is nearest; None without drift."""
    if not case.world.rate_laws:
        return None
    budgets = paper_procedure.cells_of(records)[method]
    params = find_shape(model).model_params
    nearest = min(budgets[max(budgets)], key=lambda size: abs(np.log(size / params)))
    return carry_forward.best_rate(records, method, nearest, max(budgets))


def _best_full(records: list[RunRecord]) -> tuple[str, str]:
    cells = paper_procedure.cells_of(records)["full"]
    losses = cells[max(cells)]
    best = min(losses, key=losses.__getitem__)
    return next(record.config.model for record in records if record.model_params == best), "full"


def _held(case: Case, recipe: Recipe | None, laws: Laws | EmbudgetError, budget: float) -> Row:
    """Whether the recipe's intervals hold the truth, and how wide they are; None where there is no recipe."""
    row: Row = dict.fromkeys(HELD)
    if recipe is None or isinstance(laws, EmbudgetError):
        return row
    rng = np.random.default_rng([case.seed, int(budget) % 2**32])
    best = case.best(budget)
    true = case.loss(recipe.model, recipe.method, recipe.train_flops, recipe.learning_rate)
    run = true * float(np.exp(rng.normal(0, case.world.noise)))
    row["rate_cost"] = true / case.loss(recipe.model, recipe.method, recipe.train_flops) - 1
    intervals = {"run": (recipe.predicted_interval, run)}
    intervals["best"] = (recipe.loss_interval, case.loss(*best, budget))
    for name, ((low, high), value) in intervals.items():
        row |= {f"{name}_held": low <= value <= high, f"{name}_width": (high / low) ** 0.5 - 1}
        row[f"{name}_score"] = interval_score(np.log(low), np.log(high), np.log(value))
    as_good = {(recipe.model, recipe.method), *((one.model, one.method) for one in recipe.flat)}
    row |= {"best_in_flat": best in as_good, "noise_ratio": laws.noise / case.world.noise}
    return row | _crossings(case, recipe, laws, budget)


def interval_score(low: float, high: float, value: float) -> float:
    """Width of a 90 % interval of log losses, and what it misses the value by, in per cent."""
    return 100 * float(high - low + MISS * max(low - value, value - high, 0.0))


def _crossings(case: Case, recipe: Recipe, laws: Laws, budget: float) -> Row:
    """Count the crossovers that the recipe claims to know, those whose interval holds the true one, and the open ones.

    A crossover is open where the recipe names a budget without an interval. Pairs of kinds that are alike at every
    budget are not counted.
    """
    question = Question.of(laws, {"min_steps": 1}, members=find_suite(case.suite))
    choices = question.choices(budgets_between(*span_of(laws, high=BEYOND * budget)))
    losses = np.full(choices.tokens.shape, np.inf)
    for row, place in np.argwhere(np.isfinite(choices.tokens)).tolist():
        candidate = choices.candidates[row]
        losses[row, place] = case.loss(candidate.model, str(candidate.method), float(choices.budgets[place]))
    true = choices.of_kinds(np.log(losses))
    found = [(one, one.budget) for one in recipe.crossovers if one.budget is not None]
    last: dict[frozenset[str], np.ndarray] = {}
    claims, held = 0, 0
    for one, near in found:
        pair = frozenset((one.from_method, one.to_method))
        first, second = choices.kinds.index(one.from_method), choices.kinds.index(one.to_method)
        there = np.isfinite(true[[first, second]]).all(axis=0)
        gap = true[first, there] - true[second, there]
        last[pair] = overtakings(choices.budgets[there], gap[None], near, after=last.get(pair, np.zeros(1)))
        if one.interval is not None:
            low, high = one.interval
            claims, held = claims + 1, held + bool(low <= last[pair][0] <= high)
    return {"crossings": claims, "crossings_held": held, "crossings_open": len(found) - claims}


if __name__ == "__main__":
    main()
