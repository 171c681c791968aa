"""How fast are laws fitted and recipes given, and how well are known laws recovered?

    .venv/bin/pip install chinchilla==0.2.0       # for the comparison alone; or --without-chinchilla
    .venv/bin/python -m benchmarks.fitting --out results/speed/fitting.json

    fit         504 runs of 9 depths x 7 methods x 8 budgets, all forms of law, 1000 bootstrap draws     target  10 s
    table       100,000 runs read, checked and fitted (`large_table.py`)                          targets 60 s, 2 GB
    recipe      `recommend` once laws are loaded, budgets up to 64 times the largest measured one        target 50 ms
    recovery    data sets of known parameters, side by side with `scipy.optimize.curve_fit` and the package chinchilla
                (`recovery.py`: the truths and what counts as error; `fitters.py`: the fits)

Compare times within one run of this program only, on a machine that does nothing else: the threads of OpenBLAS wait for
each other by spinning, so that other load on the cores costs many times its share. With OMP_NUM_THREADS=1 it does not.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fitters, large_table, recovery
from embudget.files import save_text
from embudget.laws import Coefficients, Laws, fit
from embudget.recipe import recommend
from embudget.records import RunRecord
from embudget.simulate import World, simulate

PARTS = ("table", "fit", "recipe", "recovery")
TRUTH = {
    method: Coefficients(E=1.2 if method == "full" else 1.3, A=300 + 10 * place, a=0.35, B=250 - 15 * place, b=0.42)
    for place, method in enumerate(
        ("full", "freeze:0.25", "freeze:0.5", "freeze:0.75", "lora:8", "lora:32", "lora:128")
    )
}
BUDGETS = tuple(4e12 * 2.0**step for step in range(8))
TARGETS = {"fit, s": 10.0, "table, s": 60.0, "table, GB": 2.0, "recipe, ms": 50.0}


def main() -> None:
    """Measure, print the numbers, write them."""
    options = parse()
    result: dict[str, Any] = {
        "command": " ".join(["-m benchmarks.fitting", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "blas_threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
        "versions": versions(),
    }
    if "table" in options.parts:  # first, while this process is small
        with tempfile.TemporaryDirectory() as folder:
            result["table"] = large_table.measure(options.rows, Path(folder), TRUTH)
    if "fit" in options.parts:
        result["fit"] = full_fit(options.rounds, options.draws)
    if "recipe" in options.parts:
        result["recipe"] = {f"{draws} draws": recipe(draws, options.calls) for draws in (200, 1000)}
    result["targets"] = against_targets(result)
    if "recovery" in options.parts:
        result["recovery"] = recover(options)
    sys.stdout.write(told(result))
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        save_text(options.out, json.dumps(result, indent=2) + "\n")


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5, help="full fits, each of other noise")
    parser.add_argument("--draws", type=int, default=1000, help="bootstrap draws of the full fit")
    parser.add_argument("--rows", type=int, default=100_000, help="of the large table")
    parser.add_argument("--calls", type=int, default=50, help="recipes")
    parser.add_argument("--sets", type=int, default=200, help="data sets of each case")
    parser.add_argument("--exponents", type=float, nargs=2, default=(0.15, 0.6), metavar=("LOW", "HIGH"))
    parser.add_argument("--chinchilla-sets", type=int, default=20, help="the first of them, by chinchilla too")
    parser.add_argument("--chinchilla-side", type=int, default=3, help="starts are the fifth power of this")
    parser.add_argument("--chinchilla-deltas", type=float, nargs="+", default=[1e-3, 1.0], help="of its log_huber")
    parser.add_argument("--without-chinchilla", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    if "recovery" in options.parts and not options.without_chinchilla and find_spec("chinchilla") is None:
        parser.error(fitters.INSTALL)
    return options


def versions() -> dict[str, str]:
    """The versions of what is compared, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in ("embudget", "numpy", "scipy", "chinchilla"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def study(seed: int) -> list[RunRecord]:
    """A study of 504 runs, whose noise is 0.5, 1 or 1.5 %, in turn with the seed."""
    return simulate(World(truth=TRUTH, suite="smollm2", budgets=BUDGETS, noise=0.005 * (1 + seed % 3)), seed)


def full_fit(rounds: int, draws: int) -> dict[str, Any]:
    """Seconds from records to laws, and of printing their summary."""
    seconds, summaries, components = [], [], []
    for seed in range(rounds):
        records = study(seed)
        started = time.perf_counter()
        laws = fit(records, draws=draws)
        fitted = time.perf_counter()
        laws.summary()
        summaries.append(time.perf_counter() - fitted)
        seconds.append(fitted - started)
        components.append(len(laws.surface.components))
        tell(f"full fit {seed + 1} of {rounds}: {seconds[-1]:.1f} s")
    return {
        "runs": len(records),
        "draws": draws,
        "median_seconds": round(statistics.median(seconds), 2),
        "worst_seconds": round(max(seconds), 2),
        "all": [round(value, 2) for value in seconds],
        "forms_with_draws": components,
        "summary_median_seconds": round(statistics.median(summaries), 2),
    }


def recipe(draws: int, calls: int) -> dict[str, float]:
    """Milliseconds of a recipe from laws that were read from a file, at budgets up to 64 times the largest measured."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "laws.json"
        fit(study(1), draws=draws).save(path)
        started = time.perf_counter()
        laws = Laws.load(path)
        load = time.perf_counter() - started
        size = path.stat().st_size
    milliseconds = []
    for budget in [BUDGETS[0], *np.geomspace(BUDGETS[0], 64 * BUDGETS[-1], calls).tolist()]:
        started = time.perf_counter()
        recommend(laws, budget)
        milliseconds.append(1e3 * (time.perf_counter() - started))
    first, *others = milliseconds
    return {
        "file_mb": round(size / 1e6, 2),
        "load_ms": round(1e3 * load, 1),
        "first_ms": round(first, 1),
        "median_ms": round(statistics.median(others), 1),
        "worst_ms": round(max(others), 1),
    }


def against_targets(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets, and whether the worst measurement meets each."""
    worst: dict[str, float] = {}
    if "fit" in result:
        worst["fit, s"] = result["fit"]["worst_seconds"]
    if "table" in result:
        worst["table, s"] = max(row["seconds"] for row in result["table"].values())
        worst["table, GB"] = max(row["peak_gb"] for row in result["table"].values())
    if "recipe" in result:
        worst["recipe, ms"] = max(row["median_ms"] for row in result["recipe"].values())
    return {
        name: {"target": TARGETS[name], "measured": value, "met": value <= TARGETS[name]}
        for name, value in worst.items()
    }


def recover(options: argparse.Namespace) -> dict[str, Any]:
    """Case -> the errors of all fits on all data sets, and on those that chinchilla fits too."""
    few = 0 if options.without_chinchilla else min(options.chinchilla_sets, options.sets)
    starts = options.chinchilla_side**5 if few else 0
    exponents = (options.exponents[0], options.exponents[1])
    every = fitters.fitters(draws=200)
    slow = {
        f"chinchilla {delta:g}": fitters.chinchilla_fitter(delta, options.chinchilla_side)
        for delta in (options.chinchilla_deltas if few else [])
    }
    found: dict[str, Any] = {"noise": recovery.NOISE, "exponents": exponents, "chinchilla starts": starts}
    for case in recovery.CASES:
        samples = [recovery.make_sample(seed, case, exponents) for seed in range(options.sets)]
        tell(f"{case}: {len(samples)} data sets of {len(samples[0].records)} runs, {few} of them by chinchilla too")
        both = recovery.compare(samples[:few], every | slow, tell)
        rest = recovery.compare(samples[few:], every, tell)
        found[case] = {"all": recovery.summarise({name: both[name] + rest[name] for name in every})}
        if few:
            found[case]["those of chinchilla"] = recovery.summarise(both)
    return found


def told(result: dict[str, Any]) -> str:
    """The result as text for a person."""
    text = [
        f"{name}: {row['measured']:g}, target {row['target']:g}{'' if row['met'] else ': MISSED'}"
        for name, row in result["targets"].items()
    ]
    text += [f"{name}: {row}" for name, row in result.get("table", {}).items()]
    text += [f"full fit: {result['fit']}"] if "fit" in result else []
    text += [f"recipe, {name}: {row}" for name, row in result.get("recipe", {}).items()]
    found = result.get("recovery", {})
    for case, which in product(recovery.CASES, ("all", "those of chinchilla")):
        if which in found.get(case, {}):
            text += ["", f"{case}, {which}: errors median / worst", *recovery.lines(found[case][which])]
    return "\n".join(text) + "\n"


def tell(line: str) -> None:
    """Progress on stderr."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
