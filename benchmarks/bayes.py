"""Would one hierarchical Bayesian law (`bayes_law.py`) have better intervals than ours? An experiment, with NumPyro.

    python -m venv bayes && bayes/bin/pip install . numpyro==0.22.0
    export XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    bayes/bin/python -m benchmarks.bayes results/smollm2 results/micro --out results/simulation/bayes.json

NumPyro is no dependency of embudget. Both laws are held against new runs by the interval score of `regret.py` (in per
cent of the loss; lower is better): in simulated worlds every measured model by every method at 4 and 16 times the
largest budget, in the real studies every measured cell above a cut, as in `backtest.py`. `seconds` is the CPU time of a
fit; the first of each shape includes the compilation.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.backtest import FEWEST_BUDGETS
from benchmarks.bayes_law import Posterior, Target
from benchmarks.regret import interval_score
from benchmarks.worlds import make_case
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.methods import parse_method
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.suite import find_shape

WORLDS = (
    "chinchilla-shared-small", "chinchilla-apart-small", "rectified-apart-small", "multiplicative-apart-small",
    "neither-shared-small", "neither-apart-small",
)  # fmt: skip
TIMES = (4, 16)
"""Times the largest measured budget."""
Row = dict[str, Any]


def compared(what: str, laws: Laws, targets: Sequence[Target], options: argparse.Namespace) -> list[Row]:
    """The mean scores and shares held of both, by the distance of the targets."""
    started = time.process_time()  # CPU time, since the machine may be shared
    posterior = Posterior.of(laws.cells, options.warmup, options.draws)
    seconds = round(time.process_time() - started, 1)
    sizes, tokens = (np.array([getattr(one, name) for one in targets]) for name in ("model_params", "tokens"))
    low, high = laws.surface.intervals([one.method for one in targets], sizes, tokens)
    ends = {"laws": (np.log(low), np.log(high)), "bayes": posterior.intervals(targets)}
    truth, times = (np.array([getattr(one, name) for one in targets]) for name in ("log_loss", "times"))
    rows = []
    for distance in np.unique(times):
        far = times == distance
        row: Row = {"what": what, "times": round(float(distance), 3), "runs": int(far.sum())}
        for name, (low, high) in ends.items():
            mine = list(zip(low[far], high[far], truth[far], strict=True))
            held = np.mean([bottom <= one <= top for bottom, top, one in mine])
            score = np.mean([interval_score(*one) for one in mine])
            row[name] = {"score": round(float(score), 3), "held": round(float(held), 3)}
        rows.append(row | {"seconds": seconds, "diverged": posterior.diverged})
        sys.stderr.write(f"{rows[-1]}\n")
    return rows


def of_world(kind: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """A simulated world: every measured model and method, far beyond its budgets."""
    case, rng = make_case(kind, seed), np.random.default_rng(seed)
    laws = fit(case.records(), draws=200)
    targets = []
    for times in TIMES:
        budget = times * case.world.budgets[-1]
        for name in case.world.models:
            shape = find_shape(name)
            for method in laws.methods:
                log_loss = float(np.log(case.loss(name, method, budget))) + case.world.noise * rng.standard_normal()
                tokens = budget / parse_method(method).flops_per_token(shape)
                targets.append(Target(name, method, shape.model_params, tokens, log_loss, times))
    return compared(f"{kind} {seed}", laws, targets, options)


def of_study(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """A real study, cut after each of its budgets but the first and the last."""
    with (folder / "records.jsonl").open(encoding="utf-8") as file:
        records = [RunRecord.model_validate_json(line) for line in file]
    cells = RunTable.of(records).cells
    budgets = sorted({cell.budget for cell in cells})
    for count in range(FEWEST_BUDGETS, len(budgets)):
        largest = budgets[count - 1]
        try:
            laws = fit([one for one in records if one.config.train_flops <= largest * (1 + 1e-9)], draws=200)
        except EmbudgetError as error:
            sys.stderr.write(f"{folder.name}, {count} budgets: {error}\n")
            continue
        targets = [
            Target(cell.model, cell.method, cell.model_params, cell.tokens, cell.log_loss, cell.budget / largest)
            for cell in cells
            if cell.budget > largest and cell.method in laws.methods
        ]
        yield from compared(f"{folder.name}, {count} budgets", laws, targets, options)


def summarised(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over worlds or cuts by distance, and the ratio of the scores."""
    found = {}
    for times in sorted({row["times"] for row in rows}):
        mine = [row for row in rows if row["times"] == times]
        means = {
            f"{name} {what}": round(float(np.mean([row[name][what] for row in mine])), 3)
            for name in ("laws", "bayes")
            for what in ("score", "held")
        }
        better = float(np.mean([row["bayes"]["score"] < row["laws"]["score"] for row in mine]))
        ratio = round(means["bayes score"] / means["laws score"], 3)
        found[f"{times:g}"] = {"rows": len(mine), **means, "ratio": ratio, "bayes better": round(better, 3)}
    return found


def main() -> None:
    """Compare, print the means, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", type=Path, help="folders with a records.jsonl")
    parser.add_argument("--kinds", nargs="*", default=WORLDS, help="of simulated worlds")
    parser.add_argument("--worlds", type=int, default=2, help="of each kind; of even seeds, whose methods are the same")
    parser.add_argument("--warmup", type=int, default=250)
    parser.add_argument("--draws", type=int, default=250, help="of the posterior")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    worlds = product(options.kinds, range(0, 2 * options.worlds, 2))
    simulated = [row for kind, seed in worlds for row in of_world(kind, seed, options)]
    real = [row for folder in options.studies for row in of_study(folder, options)]
    summary = {name: summarised(rows) for name, rows in (("simulated", simulated), ("real", real)) if rows}
    seconds = [row["seconds"] for row in (*simulated, *real)]
    about = {
        "command": " ".join(["-m benchmarks.bayes", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "seconds": {"median": float(np.median(seconds)), "largest": max(seconds)},
        "summary": summary,
    }
    sys.stdout.write(json.dumps(about, indent=2) + "\n")
    if options.out is not None:
        save_text(options.out, json.dumps(about | {"rows": [*simulated, *real]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
