"""Checkpoints of few training runs, which err together: what laws fitted to the smaller models say of larger ones.

The Gemstones (McLeish et al. 2025): 175 checkpoints of each of 22 runs, of 48 million to 2 billion parameters.
"""

import csv
from pathlib import Path

import numpy as np
import pytest

from embudget.laws import fit
from embudget.laws.problem import Points
from embudget.runs import RunTable
from tests.laws.published import measurements

COLUMNS = {"run": "run_name", "model_params": "params_active_precise", "loss": "final_loss"}


def gemstones(every: int, path: Path) -> tuple[RunTable, list[dict[str, str]]]:
    """A table of every so many checkpoints of the smaller models, and all rows of the largest quarter of the runs."""
    with measurements("gemstones_checkpoints.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    size = {row["run_name"]: float(row["params_active_precise"]) for row in rows}
    cut = float(np.quantile(list(size.values()), 0.75))
    with (path / "smaller.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows[::every] if size[row["run_name"]] <= cut)
    larger = [row for row in rows if size[row["run_name"]] > cut]
    return RunTable.read(path / "smaller.csv", COLUMNS), larger


def test_the_checkpoints_of_one_run_are_one_series(tmp_path: Path) -> None:
    table, larger = gemstones(5, tmp_path)
    assert (len(table.cells), len(larger)) == (560, 6 * 175)
    points = Points.of(table.cells)
    assert len(set(points.series.tolist())) == 16
    assert {len({cell.run for cell, of in zip(table.cells, points.series == one, strict=True) if of}) for one in
            set(points.series.tolist())} == {1}  # fmt: skip
    assert table.remarks == ()


@pytest.mark.parametrize("every", [1, 5])
def test_intervals_hold_the_checkpoints_of_larger_models(every: int, tmp_path: Path) -> None:
    """90 % is nominal; runs of the same sizes, whatever their depth and width, are all that the law was told of."""
    table, larger = gemstones(every, tmp_path)
    laws = fit(table)
    sizes, tokens, losses = (
        np.array([float(row[name]) for row in larger]) for name in ("params_active_precise", "tokens", "final_loss")
    )
    low, high = laws.surface.intervals(["full"] * len(larger), sizes, tokens, 0.9)
    assert ((low <= losses) & (losses <= high)).mean() >= 0.8
