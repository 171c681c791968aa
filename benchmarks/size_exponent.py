"""Whose exponent of the best size is nearer to the truth, the laws' or the parabolas'? Simulated isoFLOP tables.

    .venv/bin/python -m benchmarks.size_exponent --out results/simulation/size_exponent.json

A table has one method, full fine-tuning, at 5 budgets with a factor of 4 between them. At each budget 7 sizes span a
factor of 8 about the best one, off centre by up to a factor of 2. The loss is that of one of three forms with a best
size, or the geometric mean of two of them (`neither`), with 0.2 to 2 % of noise. The truth is the slope of log N*(C)
over the five budgets, without noise. Compared are

    laws        `Laws.size_exponent`
    parabolas   the slope through the vertices of the isoFLOP profiles, `Laws.isoflops`

where both give one. `held` is the share of the laws' 90 % intervals that hold the truth, `width` their mean width.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.truths import Base, truth_of
from embudget.errors import FitError
from embudget.files import save_text
from embudget.laws import Coefficients, Laws, fit
from embudget.laws.forms import FormName
from embudget.runs import RunTable

FORMS: tuple[FormName, ...] = ("chinchilla", "rectified", "dense_retrieval")
KINDS: tuple[tuple[FormName, ...], ...] = (*((form,) for form in FORMS), *combinations(FORMS, 2))
STEP, BUDGETS, SIZES, SPAN, OFF_CENTRE = 4.0, 5, 7, 8.0, 2.0
PARAMS, TOKENS = 1e8, 2e9
_GRID = np.geomspace(1e4, 1e12, 4001)


class Table(NamedTuple):
    """One simulated table and its truth."""

    kind: str
    exponent: float
    runs: list[dict[str, float]]


class Outcome(NamedTuple):
    """What both say of one table."""

    kind: str
    truth: float
    laws: float | None
    low: float | None
    high: float | None
    parabolas: float | None


def main() -> None:
    """Simulate, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=8, help="of each of the six kinds")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    found = [outcome(simulated(kind, seed), options.draws) for kind in KINDS for seed in range(options.tables)]
    kinds = sorted({one.kind for one in found})
    summary = {kind: summarised([one for one in found if one.kind == kind]) for kind in kinds}
    summary["all"] = summarised(found)
    sys.stdout.write(lines(summary))
    if options.out is not None:
        command = " ".join(["-m benchmarks.size_exponent", *sys.argv[1:]])
        about = {"command": command, "date": time.strftime("%Y-%m-%d"), "summary": summary}
        save_text(options.out, json.dumps(about, indent=2) + "\n")


def simulated(kind: Sequence[FormName], seed: int) -> Table:
    """The table of this kind and seed, drawn until every best size lies well within the sizes that there may be."""
    rng = np.random.default_rng([seed, *"-".join(kind).encode()])
    while True:
        laws = [law_of(form, rng) for form in kind]
        budgets = 6 * PARAMS * TOKENS * STEP ** (np.arange(BUDGETS) - BUDGETS // 2)
        best = np.array([_GRID[losses(laws, _GRID, budget).argmin()] for budget in budgets])
        if _GRID[0] * 100 < best.min() and best.max() < _GRID[-1] / 100 and (np.diff(best) > 0).all():
            break
    noise = np.exp(rng.uniform(*np.log((0.002, 0.02))))
    runs = []
    for budget, size in zip(budgets.tolist(), best, strict=True):
        centre = size * OFF_CENTRE ** rng.uniform(-1, 1)
        sizes = centre * np.geomspace(SPAN**-0.5, SPAN**0.5, SIZES)
        noisy = losses(laws, sizes, budget) * np.exp(noise * rng.standard_normal(SIZES))
        for n, loss in zip(sizes.tolist(), noisy.tolist(), strict=True):
            runs.append({"model_params": n, "tokens": budget / (6 * n), "budget": budget, "loss": loss})
    exponent = float(np.polyfit(np.log(budgets), np.log(best), 1)[0])
    return Table(kind[0] if len(kind) == 1 else "neither", exponent, runs)


def law_of(form: FormName, rng: np.random.Generator) -> Coefficients:
    """A law whose best size is near 1e8 parameters at the middle budget."""
    a, b = (float(value) for value in rng.uniform(0.2, 0.5, 2))
    asymptote, reducible = (float(np.exp(rng.uniform(*np.log(span)))) for span in ((0.5, 2.5), (0.3, 2.0)))
    base = Base(form, (a, b), asymptote, reducible, PARAMS, TOKENS, TOKENS * float(np.exp(rng.uniform(-5, -2))))
    truth = truth_of(base, ("full",), False, (1.0, 1.0), rng)
    if truth is None:
        raise AssertionError("a single kind of method meets no other")
    return truth["full"]


def losses(laws: Sequence[Coefficients], sizes: np.ndarray, budget: float) -> np.ndarray:
    """The geometric mean of the laws over sizes at a budget in FLOP, nats."""
    logs = [[np.log(law.loss(n, budget / (6 * n))) for n in sizes.tolist()] for law in laws]
    mean: np.ndarray = np.exp(np.mean(logs, axis=0))
    return mean


def outcome(table: Table, draws: int) -> Outcome:
    """Fit a table; None where a procedure gives no exponent."""
    laws = fitted(table.runs, draws)
    line = laws.isoflops["full"].best_size
    parabolas = None if line is None else line.slope
    try:
        exponent = laws.size_exponent("full")
    except FitError:
        return Outcome(table.kind, table.exponent, None, None, None, parabolas)
    return Outcome(table.kind, table.exponent, exponent.value, *exponent.interval, parabolas)


def fitted(runs: Sequence[dict[str, float]], draws: int) -> Laws:
    """The laws of runs, read as a user's table is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(runs[0]))
            writer.writeheader()
            writer.writerows(runs)
        return fit(RunTable.read(path), draws=draws)


def summarised(found: Sequence[Outcome]) -> dict[str, Any]:
    """The errors where both answer, the share of tables in which the laws are nearer, and how their intervals hold."""
    both = [(one.laws, one.parabolas, one.truth) for one in found if one.laws is not None and one.parabolas is not None]
    errors = np.array([[laws - truth, parabolas - truth] for laws, parabolas, truth in both])
    known = [(one.low, one.high, one.truth) for one in found if one.low is not None and one.high is not None]
    means = {
        "mean_error": np.abs(errors).mean(axis=0),
        "median_error": np.median(np.abs(errors), axis=0),
        "rms_error": np.sqrt((errors**2).mean(axis=0)),
    }
    return {
        "tables": len(found),
        "without": {
            "laws": sum(one.laws is None for one in found),
            "parabolas": sum(one.parabolas is None for one in found),
        },
        **{name: dict(zip(("laws", "parabolas"), mean.round(4).tolist(), strict=True)) for name, mean in means.items()},
        "nearer": round(float((np.abs(errors[:, 0]) < np.abs(errors[:, 1])).mean()), 3),
        "held": round(float(np.mean([low <= truth <= high for low, high, truth in known])), 3),
        "width": round(float(np.mean([high - low for low, high, _ in known])), 3),
    }


def lines(summary: dict[str, dict[str, Any]]) -> str:
    """The summary as a table: mean, median and root mean square of the errors of both."""
    text = [f"{'':<16}{'tables':>7}{'mean':>16}{'median':>16}{'rms':>16}{'nearer':>8}{'held':>6}{'width':>7}"]
    for kind, one in summary.items():
        pairs = [one[name] for name in ("mean_error", "median_error", "rms_error")]
        errors = "".join(f"{pair['laws']:>9.4f} {pair['parabolas']:.4f}" for pair in pairs)
        rest = f"{100 * one['nearer']:>7.0f}%{100 * one['held']:>5.0f}%{one['width']:>7.3f}"
        text.append(f"{kind:<16}{one['tables']:>7}{errors}{rest}")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    main()
