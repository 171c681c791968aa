"""Which prior of the discrepancy is best? Its constants are chosen here, by the interval score of many forecasts.

    .venv/bin/python -m benchmarks.prior --cases /tmp/cases.json --tables ../shared/data/laws \
        --studies results/smollm2 results/micro --out results/simulation/prior.json

What the laws add to an interval beyond the data is `embudget.laws.backtests.discrepancy_of`: what the cuts of the table
show, blended with a prior, and grown with the distance. It is the last step of a fit, so that everything else of a
forecast is computed once, a case, and every rule is then tried on all cases in a second:

    simulated     worlds of `worlds.py`, with seeds that the regret benchmark does not use: of each kind of method the
                  best choice by the laws, at 4 and 16 times the largest budget, against a run of it
    real          tables without their largest budgets or sizes, against the runs that were left out

Runs of one case are not independent, so that a case counts once: its mean interval score (`regret.py`) by the rule of
today is the unit, and rules are compared by the geometric mean of the ratios to it, over the cases of a group, then
over the groups. Near the truth a score is that of the width alone, so that what is too wide costs as what misses does.

The tables are published by others and lie outside the project; without ``--tables`` they are left out.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from benchmarks.regret import MISS
from benchmarks.worlds import GROUPS, Case, make_case
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.laws.backtests import PRIOR, WORTH, Backtest, discrepancy_of, fall_of
from embudget.laws.problem import Points
from embudget.laws.surface import GROWTH, Surface
from embudget.methods import kind_of, parse_method
from embudget.records import RunRecord
from embudget.runs import RunTable
from embudget.suite import find_suite

TIMES = (4, 16)
FIRST = 100
"""Seed of the first world of a kind: those of the regret benchmark begin at 0."""
LEVEL = 0.9
CHINCHILLA = ({"model_params": "Model Size", "train_flops": "Training FLOP"}, "Training FLOP", (3e19, 1e20, 3e20))
GEMSTONES = {"run": "run_name", "model_params": "params_active_precise", "loss": "final_loss"}
REAL = ("smollm2", "micro", "chinchilla 1 to 8 x", "chinchilla from 8 x", "gemstones")
EVERY = 5
"""Every so many checkpoints of a run."""

PRIORS, WORTHS, GROWTHS = (0.06, 0.09, 0.12, 0.15), (0.25, 0.5, 1.0, 2.0), (0.0, 0.25, 0.5, 0.75, 1.0)
"""The tried values."""
SHOWN = 10
"""Rules that are listed, the best first."""

Found = dict[str, Any]
"""A case: its group, what a rule may use, and its forecasts as columns."""


class Rule(NamedTuple):
    """The constants of `embudget.laws.backtests` and of `embudget.laws.surface`."""

    prior: float
    worth: float
    growth: float

    def scored(self, found: Found) -> tuple[float, float]:
        """The share of the forecasts of a case that lie within their intervals, and their mean interval score."""
        tests = [Backtest.model_validate(test) for test in found["tests"]]
        discrepancy = discrepancy_of(tests, found["fall"], self.prior, self.worth)
        error, variance, distance, grown = (
            np.array(found[name]) for name in ("error", "variance", "distance", "grown")
        )
        half = found["quantile"] * np.sqrt(variance + discrepancy**2 * distance + self.growth**2 * grown)
        outside = np.maximum(np.abs(error) - half, 0.0)
        return float((outside == 0).mean()), float(100 * (2 * half + MISS * outside).mean())


TODAY = Rule(PRIOR, WORTH, GROWTH)


def found_of(group: str, laws: Laws, methods: Sequence[str], at: np.ndarray, logs: np.ndarray) -> Found:
    """The forecasts of runs at N and D, ``at`` (2, m), with their measured log losses (m,).

    ``distance`` is the variance that a discrepancy of 1 adds, and ``grown`` the one that a growth of 1 does.
    """
    surface, quantile = laws.surface, float(student.ppf((1 + LEVEL) / 2, laws.surface.freedom))
    law = laws.on_study
    tokens = at[1] if isinstance(law, Surface) else law.repetition.effective(at[1], law.unique_tokens)
    plain = surface.model_copy(update={"discrepancy": 0.0})
    grown = plain._beyond(list(methods), at[0], np.asarray(tokens), np.zeros(len(logs))) / GROWTH**2
    variances = []
    for discrepancy in (0.0, 1.0):
        other = laws.model_copy(update={"surface": surface.model_copy(update={"discrepancy": discrepancy})})
        low, high = other.on_study.intervals(list(methods), at[0], at[1], LEVEL)
        variances.append((np.log(high / low) / 2 / quantile) ** 2)
    return {
        "group": group,
        "fall": fall_of(surface, Points.of(laws.cells, laws.repetition)),
        "tests": [test.model_dump() for test in laws.backtests],
        "quantile": quantile,
        "error": (logs - np.log(low * high) / 2).tolist(),
        "variance": (variances[0] - GROWTH**2 * grown).tolist(),
        "distance": (variances[1] - variances[0]).tolist(),
        "grown": grown.tolist(),
    }


def of_world(task: tuple[str, int]) -> list[Found]:
    """The forecasts in one simulated world."""
    kind, seed = task
    case = make_case(kind, seed)
    try:
        laws = fit(case.records())
    except EmbudgetError as error:
        sys.stderr.write(f"{kind} {seed}: {error}\n")
        return []
    return [found_of(f"{kind} {times} x", laws, *_choices(case, laws, times)) for times in TIMES]


def _choices(case: Case, laws: Laws, times: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The choice with the lowest prediction of each kind of method, and the loss of a run of it."""
    budget, rng = times * case.world.budgets[-1], np.random.default_rng([case.seed, times])
    best: dict[str, tuple[float, str, str, float, float]] = {}
    for method, shape in product(laws.methods, find_suite(case.suite)):
        tokens = budget / parse_method(method).flops_per_token(shape)
        predicted = laws.on_study.predict(method, shape.model_params, tokens)
        kind = kind_of(method)
        if kind not in best or predicted < best[kind][0]:
            best[kind] = predicted, shape.name, method, float(shape.model_params), tokens
    rows = list(best.values())
    logs = [np.log(case.loss(model, method, budget)) + case.world.noise * rng.standard_normal()
            for _, model, method, _, _ in rows]  # fmt: skip
    return [row[2] for row in rows], np.array([row[3:] for row in rows]).T, np.array(logs)


def of_study(folder: Path) -> Iterator[Found]:
    """A study of ours, cut after each budget that leaves enough for a fit."""
    lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [RunRecord.model_validate_json(line) for line in lines]
    cells = RunTable.of(records).cells
    budgets = sorted({cell.budget for cell in cells})
    for largest in budgets[1:-1]:
        known = [record for record in records if record.config.train_flops <= largest * (1 + 1e-9)]
        laws = fit(known)
        above = [cell for cell in cells if cell.budget > largest * (1 + 1e-9) and cell.method in laws.methods]
        at = np.array([(cell.model_params, cell.tokens) for cell in above]).T
        logs = np.log([cell.loss for cell in above])
        yield found_of(folder.name, laws, [cell.method for cell in above], at, logs)


def of_tables(folder: Path) -> Iterator[Found]:
    """Published tables, cut by budget or by size."""
    columns, budget, cuts = CHINCHILLA
    rows = _rows(folder / "chinchilla_svg_extracted.csv")
    for cut in cuts:
        high = [row for row in rows if float(row[budget]) >= cut]
        laws = _fitted([row for row in rows if float(row[budget]) < cut], columns)
        n, c, loss = (np.array([float(row[name]) for row in high]) for name in ("Model Size", budget, "loss"))
        for times, far in (("1 to 8 x", False), ("from 8 x", True)):
            there = (c > 8 * cut) == far
            at = np.stack([n, c / (6 * n)])[:, there]
            yield found_of(f"chinchilla {times}", laws, ["full"] * int(there.sum()), at, np.log(loss[there]))
    rows = _rows(folder / "gemstones_checkpoints.csv")
    size = {row["run_name"]: float(row["params_active_precise"]) for row in rows}
    for share in (0.5, 0.75):
        cut = float(np.quantile(list(size.values()), share))
        laws = _fitted([row for row in rows[::EVERY] if size[row["run_name"]] <= cut], GEMSTONES)
        high = [row for row in rows[::EVERY] if size[row["run_name"]] > cut]
        at = np.array([(float(row["params_active_precise"]), float(row["tokens"])) for row in high]).T
        logs = np.log([float(row["final_loss"]) for row in high])
        yield found_of("gemstones", laws, ["full"] * len(high), at, logs)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _fitted(rows: Sequence[dict[str, str]], columns: dict[str, str]) -> Laws:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return fit(RunTable.read(path, columns))


def collect(tasks: Sequence[tuple[str, int]], studies: Iterable[Path], tables: Path | None, jobs: int) -> list[Found]:
    """All cases: of the worlds, the studies and the tables."""
    cases = [found for folder in studies for found in of_study(folder)]
    cases += list(of_tables(tables)) if tables is not None else []
    with ProcessPoolExecutor(jobs) as pool:
        for done, found in enumerate(pool.map(of_world, tasks), start=1):
            cases += found
            if done % 10 == 0:
                sys.stderr.write(f"{done} of {len(tasks)} worlds\n")
    return cases


def by_group(cases: Sequence[Found], rule: Rule) -> dict[str, tuple[float, float]]:
    """Share inside and score of every group, means over its cases."""
    scored: dict[str, list[tuple[float, float]]] = {}
    for found in cases:
        scored.setdefault(found["group"], []).append(rule.scored(found))
    return {group: (float(np.mean([r[0] for r in rows])), float(np.mean([r[1] for r in rows])))
            for group, rows in scored.items()}  # fmt: skip


def summarised(groups: dict[str, tuple[float, float]], today: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Mean share inside and geometric mean of the score's ratio to today's, for simulated and for real groups."""
    summary = {}
    for name, real in (("simulated", False), ("real", True)):
        mine = [group for group in groups if (group in REAL) == real]
        if mine:
            summary[f"{name} inside"] = round(float(np.mean([groups[group][0] for group in mine])), 3)
            ratios = [np.log(groups[group][1] / today[group][1]) for group in mine]
            summary[f"{name} ratio"] = round(float(np.exp(np.mean(ratios))), 4)
    summary["ratio"] = round(float(np.sqrt(np.prod([summary[f"{n} ratio"] for n in ("simulated", "real")
                                                    if f"{n} ratio" in summary]))), 4)  # fmt: skip
    return summary


def main() -> None:
    """Collect the cases, or read them; try all rules; print and write what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", type=Path, nargs="+", required=True, help="JSON of cases; made where it is not there"
    )
    parser.add_argument("--kinds", nargs="+", default=[*GROUPS], choices=[*GROUPS], help="groups of kinds of world")
    parser.add_argument("--worlds", type=int, default=2, help="of each kind")
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first world of each kind")
    parser.add_argument("--studies", nargs="*", type=Path, default=[], help="folders with a records.jsonl")
    parser.add_argument("--tables", type=Path, help="folder with the published tables")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    if not options.cases[0].is_file():
        kinds = [kind for group in options.kinds for kind in GROUPS[group]]
        tasks = product(kinds, range(options.first, options.first + options.worlds))
        save_text(options.cases[0], json.dumps(collect(list(tasks), options.studies, options.tables, options.jobs)))
    cases = [found for path in options.cases for found in json.loads(path.read_text(encoding="utf-8"))]
    today = by_group(cases, TODAY)
    rules = {
        rule: summarised(by_group(cases, rule), today) for rule in map(Rule._make, product(PRIORS, WORTHS, GROWTHS))
    }
    best = sorted(rules, key=lambda rule: rules[rule]["ratio"])
    shown = {TODAY: rules[TODAY], **{rule: rules[rule] for rule in best[:SHOWN]}}
    rows = [rule._asdict() | numbers for rule, numbers in shown.items()]
    groups = {group: {"inside": round(inside, 3), "score": round(score, 3)} for group, (inside, score) in today.items()}
    sys.stdout.write("\n".join(" ".join(f"{name} {value:g}" for name, value in row.items()) for row in rows) + "\n")
    if options.out is not None:
        about = {"command": " ".join(["-m benchmarks.prior", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
        found = {"cases": len(cases), "today": rows[0], "best": rows[1:], "groups": groups}
        save_text(options.out, json.dumps(about | found, indent=2) + "\n")


if __name__ == "__main__":
    main()
