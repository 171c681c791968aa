"""What do cells of two learning rates tell the law of the best rate? Real cells of three, with one rate left out.

    .venv/bin/python -m benchmarks.two_rates results/smollm2 results/micro results/frontier

In a random 80 % of the cells whose best rate lies between those tried, only two of the three rates about it are kept.
The law is fitted to all cells, with and without those of two rates, and asked for the best rate of the cells that lost
one. It is held against the vertex of all their rates: the root mean square of the log of the ratio; the log loss that
this costs, by the cell's own curvature; and the share of cells within the law's nominal 90 % interval, widened by what
a vertex is off by. Where there is no law without cells of two rates, the cells are counted apart.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from embudget.laws.rate_points import VERTEX
from embudget.laws.rates import RateLaw, rate_laws_of
from embudget.records import RunRecord
from embudget.runs import Cell, RunTable
from embudget.runs.envelope import STEEP

SHARE = 0.8
"""Of the cells with a minimum, that lose a rate."""
WITHIN = 1.645
"""Standard errors on either side of a 90 % interval."""
Key = tuple[str, str, float]


class Row(NamedTuple):
    """One law asked for the best rate of one cell; NaN where there is no law."""

    off: float
    """Log of its rate over the best one."""
    cost: float
    held: float


def main() -> None:
    """Leave rates out of the studies and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+", type=Path, help="folders with a records.jsonl")
    parser.add_argument("--times", type=int, default=6, help="that each study loses rates, at random")
    options = parser.parse_args()
    for folder in options.studies:
        with (folder / "records.jsonl").open(encoding="utf-8") as file:
            records = [RunRecord.model_validate(json.loads(line)) for line in file]
        rng = np.random.default_rng(0)
        rows = np.array([row for _ in range(options.times) for row in left_out(records, rng)])  # (cells, 2, 3)
        known = ~np.isnan(rows).any(axis=(1, 2))
        said = [f"{folder.name}: {known.sum()} cells, and {(~known).sum()} without a law but for those of two rates"]
        for place, name in enumerate(("left out", "counted")):
            off, cost, held = rows[known, place].T
            said.append(
                f"two rates {name}: a factor {np.exp(np.sqrt((off**2).mean())):.2f}, {100 * cost.mean():.2f} % lost, "
                f"{100 * held.mean():.0f} % held"
            )
        sys.stdout.write("\n  ".join(said) + "\n")


def left_out(records: list[RunRecord], rng: np.random.Generator) -> list[tuple[Row, Row]]:
    """The rows of the cells that lose a rate, by the law without cells of two rates and with them."""
    whole = {_key(cell): cell for cell in RunTable.of(records).cells if cell.rate_curvature is not None}
    chosen = {key: cell for key, cell in whole.items() if rng.random() < SHARE}
    cells = RunTable.of(with_two_rates(records, chosen, rng)).cells
    alone = {"lowest_rate": None, "highest_rate": None, "rate_middle": None, "rate_slope": None}
    without = [cell.model_copy(update=alone) if cell.rate_inside is None else cell for cell in cells]
    before, after = (rate_laws_of(of) for of in (without, cells))
    return [(_row(before.get(cell.lineage), cell), _row(after.get(cell.lineage), cell)) for cell in chosen.values()]


def with_two_rates(records: list[RunRecord], chosen: dict[Key, Cell], rng: np.random.Generator) -> list[RunRecord]:
    """The records, of each chosen cell only those at two of the three rates about its lowest mean log loss."""
    losses: dict[Key, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in records:
        if one.status == "done" and one.loss:
            losses[_key(one)][one.config.learning_rate].append(float(np.log(one.loss)))
    kept: dict[Key, set[float]] = {}
    for key in chosen:
        rates = sorted(losses[key])
        best = int(np.argmin([np.mean(losses[key][rate]) for rate in rates]))
        first = min(max(best - 1, 0), len(rates) - 3)
        kept[key] = set(rng.choice(rates[first : first + 3], 2, replace=False).tolist())
    return [one for one in records if _key(one) not in kept or one.config.learning_rate in kept[_key(one)]]


def _key(of: Cell | RunRecord) -> Key:
    if isinstance(of, Cell):
        return of.model, of.method, of.budget
    return of.config.model, of.config.method, of.config.train_flops


def _row(law: RateLaw | None, cell: Cell) -> Row:
    if law is None or cell.method not in law.methods or cell.learning_rate is None or cell.rate_curvature is None:
        return Row(np.nan, np.nan, np.nan)
    at = cell.method, cell.model_params, cell.tokens, cell.model
    off = float(np.log(law.predict(*at) / cell.learning_rate))
    error = float(np.hypot(law.error(*at), VERTEX))
    return Row(off, min(cell.rate_curvature * off**2, STEEP), float(abs(off) < WITHIN * error))


if __name__ == "__main__":
    main()
