"""Is what a pilot promises true? Pilots in worlds whose truth is known, and which no guess of ours has made.

    .venv/bin/python -m benchmarks.pilot --worlds 16 --out results/simulation/pilot.json

Each world of `worlds.py` with drifting best rates is measured by its own study and fitted. For a budget TIMES its
largest one the pilot is planned, with the regret that it promises from WORLDS simulated guesses of the truth. Then its
runs are done in the true world and fitted, and the regret of the recipe that they give is

    (true loss at the recipe's learning rate - lowest true loss of any choice) / that lowest loss

The best rates grow with a power of the batch, drawn between none and the square root. A wrong rate costs at most STEEP
of log loss, as in the promise: one that is so far off shows itself early in the run.
"""

import argparse
import json
import sys
import time
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.worlds import Case, make_case
from embudget.design import pilot
from embudget.design.simulate import sized
from embudget.design.simulated_runs import simulate_runs
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import fit
from embudget.recipe import recommend
from embudget.records import RunConfig
from embudget.runs.envelope import STEEP

KINDS = ("chinchilla-shared-small-rates", "multiplicative-shared-small-rates", "rectified-shared-small-rates")
TIMES = 1000.0
WORLDS = 4
DRAWS = 40
CLOSE = 2.0
"""Times the promised regret up to which the true one counts as kept, as with a mean of few simulated worlds."""


def main() -> None:
    """Run the worlds and write what was promised and what came of it."""
    options = parse()
    started = time.perf_counter()
    rows = []
    for number in range(options.worlds):
        kind = KINDS[number % len(KINDS)]
        try:
            rows.append(outcome(kind, number))
        except EmbudgetError as error:
            rows.append({"kind": kind, "seed": number, "error": str(error)})
        sys.stderr.write(f"{number + 1} of {options.worlds} worlds: {rows[-1]}\n")
    found = [row for row in rows if "error" not in row]
    summary = {"worlds": len(rows), "without_recipe": len(rows) - len(found), **summarised(found)}
    sys.stdout.write(f"{json.dumps(summary, indent=2)}\n{time.perf_counter() - started:.0f} s\n")
    if options.out:
        save_text(options.out, json.dumps({"times": TIMES, **summary, "rows": rows}, indent=2) + "\n")


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=16)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    return parser.parse_args()


def outcome(kind: str, seed: int) -> dict[str, Any]:
    """One world: the regret that the pilot promises, and the true one."""
    case = make_case(kind, seed)
    rng = np.random.default_rng([seed, 7])
    budget = TIMES * case.world.budgets[-1]
    laws = fit(case.records(), draws=DRAWS)
    planned = pilot(laws, budget, suite=case.suite, worlds=WORLDS, seed=100 * seed)
    runs = [run.config for run in planned.study.runs("0" * 16, identified=False)]
    runs = [one for one in runs if sized(one, case.world.tokens_per_pair).steps >= planned.study.min_steps]
    case = at_batch(case, runs[0], float(rng.uniform(0, 0.5)))
    measured = fit(simulate_runs(case.world, runs, seed), draws=DRAWS)
    recipe = recommend(measured, budget, suite=case.suite)
    lowest = case.loss(*case.best(budget), budget)
    chosen = case.loss(recipe.model, recipe.method, budget)
    true = min(case.loss(recipe.model, recipe.method, budget, recipe.learning_rate), chosen * exp(STEEP))
    low, high = recipe.predicted_interval
    return {
        "kind": kind, "seed": seed, "suite": case.suite, "share": planned.share, "promised": planned.expected_regret,
        "promised_by_choice": float(np.mean(planned.choice_regrets)), "regret": true / lowest - 1,
        "by_choice": chosen / lowest - 1, "held": low <= true <= high,
    }  # fmt: skip


def at_batch(case: Case, run: RunConfig, power: float) -> Case:
    """The world at the pilot's batch, at which its best rates are higher by this power of it."""
    grown = (run.batch_size / case.world.batch_sizes[-1]) ** power
    laws = {name: law.model_copy(update={"at": law.at * grown}) for name, law in case.world.rate_laws.items()}
    return case._replace(world=case.world.model_copy(update={"rate_laws": laws}))


def summarised(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the worlds; shares of those in which the promise was kept."""
    promised, regret = (np.array([row[name] for row in rows], dtype=float) for name in ("promised", "regret"))
    return {
        "promised": float(promised.mean()),
        "regret": float(regret.mean()),
        "regret_error": float(regret.std(ddof=1) / len(rows) ** 0.5),
        "promised_by_choice": float(np.mean([row["promised_by_choice"] for row in rows])),
        "by_choice": float(np.mean([row["by_choice"] for row in rows])),
        "kept": float((regret <= promised).mean()),
        "within_twice": float((regret <= CLOSE * promised).mean()),
        "held": float(np.mean([row["held"] for row in rows])),
        "share": float(np.mean([row["share"] for row in rows])),
    }


if __name__ == "__main__":
    main()
