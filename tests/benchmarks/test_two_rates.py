"""The benchmark that leaves rates out of real cells."""

import json
from pathlib import Path

import numpy as np

from benchmarks.two_rates import left_out, with_two_rates
from embudget.records import RunRecord
from embudget.runs import RunTable

FRONTIER = Path(__file__).parents[2] / "results" / "frontier" / "records.jsonl"


def test_the_law_is_nearer_to_the_best_rates_with_cells_of_two_rates_than_without() -> None:
    records = [RunRecord.model_validate(json.loads(line)) for line in FRONTIER.read_text().splitlines()]
    whole = {(cell.model, cell.method, cell.budget): cell for cell in RunTable.of(records).cells if cell.rate_curvature}
    kept = RunTable.of(with_two_rates(records, whole, np.random.default_rng(0))).cells
    two = [cell for cell in kept if (cell.model, cell.method, cell.budget) in whole]
    assert {(cell.rates, cell.rate_inside) for cell in two} == {(2, None)}
    assert len(two) == len(whole) == 5
    rows = [row for seed in range(3) for row in left_out(records, np.random.default_rng(seed))]
    known = [(before.cost, after.cost) for before, after in rows if not np.isnan(before.cost)]
    before, after = np.mean(known, axis=0)
    assert after < before / 2
