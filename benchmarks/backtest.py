"""How good are the laws on real runs? Studies of which the largest budgets are hidden.

    .venv/bin/python -m benchmarks.backtest results/smollm2 results/micro --out results/simulation/backtest.json

A study with budgets C_1 < ... < C_n is cut after each C_i that leaves enough for a fit. All runs up to C_i are fitted;
then, at every larger budget C_j, each procedure chooses one of the cells that were measured there. Its regret is
(measured loss of its cell - lowest measured loss) / lowest measured loss. The procedures are

    recipe    embudget: the cell with the lowest prediction, at the tokens it really took
    carry     the best cell of C_i, with N ~ C^0.25 (`carry_forward.py`)
    paper     parabolas per budget, straight lines per method (`paper_procedure.py`)

The last two name a member and a method; theirs is the measured cell of the method whose size is nearest. Measured
losses have noise, and the lowest of many is low by chance too: regrets below the noise of a cell mean nothing.

Every measured cell at C_j is also held against the laws' 90 % interval of a new run, and so is the lowest measured loss
against that of the best choice: the share held, and the interval score of `regret.py`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import carry_forward, paper_procedure
from benchmarks.regret import interval_score
from embudget.errors import EmbudgetError
from embudget.files import save_text
from embudget.laws import Laws, fit
from embudget.records import RunRecord
from embudget.runs import Cell, RunTable
from embudget.suite import find_shape

FEWEST_BUDGETS = 2
"""Budgets below the cut; laws cannot be fitted to fewer."""


class Row(NamedTuple):
    """One study, cut after one budget and asked for another."""

    study: str
    budgets: int
    """Budgets that were fitted."""
    times: float
    """The budget asked for, divided by the largest fitted."""
    regrets: dict[str, float]
    bias: float
    """Mean log of measured / predicted, over the cells; above 0 where the laws promise too much."""
    rms: float
    held: float
    """Share of the cells inside their intervals."""
    score: float
    """Mean interval score of the cells."""
    best_held: bool
    best_score: float


def main() -> None:
    """Cut the studies, print a table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, help="folders with a records.jsonl")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    rows = [row for folder in options.studies for row in backtest(folder, options.draws)]
    summary = {study: summarised([row for row in rows if row.study == study]) for study in {row.study for row in rows}}
    summary["all"] = summarised(rows)
    sys.stdout.write(table(rows, summary))
    if options.out is not None:
        about = {"command": " ".join(["-m benchmarks.backtest", *sys.argv[1:]]), "date": time.strftime("%Y-%m-%d")}
        save_text(options.out, json.dumps(about | {"summary": summary, "rows": [r._asdict() for r in rows]}, indent=2))


def backtest(folder: Path, draws: int) -> list[Row]:
    """Every cut of one study, at every larger budget."""
    with (folder / "records.jsonl").open(encoding="utf-8") as file:
        records = [RunRecord.model_validate_json(line) for line in file]
    cells = RunTable.of(records).cells
    budgets = sorted({cell.budget for cell in cells})
    rows = []
    for count in range(FEWEST_BUDGETS, len(budgets)):
        known = [record for record in records if record.config.train_flops <= budgets[count - 1] * (1 + 1e-9)]
        try:
            laws = fit(known, draws=draws)
        except EmbudgetError as error:
            sys.stderr.write(f"{folder.name}, {count} budgets: {error}\n")
            continue
        rows += [_row(folder.name, laws, known, [c for c in cells if c.budget == at]) for at in budgets[count:]]
    return rows


def _row(study: str, laws: Laws, known: Sequence[RunRecord], measured: Sequence[Cell]) -> Row:
    cells = [cell for cell in measured if cell.method in laws.methods]
    budget, logs = cells[0].budget, np.log([cell.loss for cell in cells])
    at = [cell.method for cell in cells], np.array([c.model_params for c in cells]), np.array([c.tokens for c in cells])
    predicted = laws.surface.log_draws(*at).mean(axis=0)
    low, high = (np.log(end) for end in laws.surface.intervals(*at))
    members = [find_shape(name) for name in {cell.model for cell in cells}]
    carried = carry_forward.choose(known, budget, members)
    chosen = {
        "recipe": int(predicted.argmin()),
        "carry": _nearest(cells, carried.model, carried.method),
        "paper": _nearest(cells, *paper_procedure.choose(known, budget, members)),
    }
    best = int(predicted.argmin())
    below, above = (
        np.log(end[0]) for end in laws.surface.intervals([at[0][best]], at[1][[best]], at[2][[best]], of="law")
    )
    return Row(
        study=study,
        budgets=len({record.config.train_flops for record in known}),
        times=round(budget / max(record.config.train_flops for record in known), 3),
        regrets={name: float(np.expm1(logs[place] - logs.min())) for name, place in chosen.items()},
        bias=float((logs - predicted).mean()),
        rms=float(np.sqrt(((logs - predicted) ** 2).mean())),
        held=float(((low <= logs) & (logs <= high)).mean()),
        score=float(np.mean([interval_score(*ends) for ends in zip(low, high, logs, strict=True)])),
        best_held=bool(below <= logs.min() <= above),
        best_score=interval_score(below, above, logs.min()),
    )


def _nearest(cells: Sequence[Cell], model: str, method: str) -> int:
    """The cell of a method whose size is nearest to a member's."""
    size = find_shape(model).model_params
    own = [place for place, cell in enumerate(cells) if cell.method == method] or range(len(cells))
    return min(own, key=lambda place: abs(np.log(cells[place].model_params / size)))


def summarised(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over the rows."""
    names = list(rows[0].regrets)
    return {
        "rows": len(rows),
        "regret": {name: round(float(np.mean([row.regrets[name] for row in rows])), 5) for name in names},
        "largest_regret": {name: round(max(row.regrets[name] for row in rows), 5) for name in names},
        "held": round(float(np.mean([row.held for row in rows])), 3),
        "score": round(float(np.mean([row.score for row in rows])), 3),
        "bias": round(float(np.mean([row.bias for row in rows])), 4),
        "rms": round(float(np.sqrt(np.mean([row.rms**2 for row in rows]))), 4),
        "best_held": round(float(np.mean([row.best_held for row in rows])), 3),
        "best_score": round(float(np.mean([row.best_score for row in rows])), 3),
    }


def table(rows: Sequence[Row], summary: dict[str, dict[str, Any]]) -> str:
    """The rows and their means as text, in per cent."""
    names = list(rows[0].regrets)
    lines = [f"{'study':<10}{'budgets':>8}{'times':>7}" + "".join(f"{name:>9}" for name in names)]
    lines[0] += f"{'bias':>8}{'rms':>7}{'held':>6}{'score':>8}{'best':>6}{'score':>8}"
    for row in rows:
        lines.append(
            f"{row.study:<10}{row.budgets:>8}{row.times:>7.3g}"
            + "".join(f"{100 * row.regrets[name]:>9.2f}" for name in names)
            + f"{100 * row.bias:>8.2f}{100 * row.rms:>7.2f}{100 * row.held:>6.0f}{row.score:>8.2f}"
            + f"{'in' if row.best_held else 'out':>6}{row.best_score:>8.2f}"
        )
    for study, one in summary.items():
        lines.append(
            f"{study:<10}{one['rows']:>8}{'':>7}"
            + "".join(f"{100 * one['regret'][name]:>9.2f}" for name in names)
            + f"{100 * one['bias']:>8.2f}{100 * one['rms']:>7.2f}{100 * one['held']:>6.0f}{one['score']:>8.2f}"
            + f"{100 * one['best_held']:>6.0f}{one['best_score']:>8.2f}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
