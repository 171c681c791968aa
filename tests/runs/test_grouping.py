"""Seeds of a cell, weighed."""

from collections.abc import Sequence
from math import log
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embudget.runs import Cell, RunTable


def cells_of(folder: Path, **columns: Sequence[float] | np.ndarray) -> tuple[Cell, ...]:
    pq.write_table(pa.table(columns), folder / "runs.parquet")
    return RunTable.read(folder / "runs.parquet").cells


def test_seeds_count_by_their_weight(tmp_path: Path) -> None:
    def cell(**weight: list[float]) -> Cell:
        (only,) = cells_of(tmp_path, model_params=[1e7] * 2, tokens=[1e9] * 2, seed=[0, 1], loss=[2.0, 3.0], **weight)
        return only

    weighted, equal, plain = cell(weight=[100.0, 1.0]), cell(weight=[7.0, 7.0]), cell()
    assert weighted.log_loss == pytest.approx((100 * log(2) + log(3)) / 101)
    assert (weighted.seeds, weighted.weight) == (2, 50.5)
    squares = 100 * (log(2) - weighted.log_loss) ** 2 + (log(3) - weighted.log_loss) ** 2
    assert weighted.seed_squares == pytest.approx(squares / 50.5)
    assert (equal.loss, equal.seed_squares) == (plain.loss, plain.seed_squares)


def test_weighted_seeds_have_the_noise_that_is_expected(tmp_path: Path) -> None:
    """4000 cells of 3 seeds with the variance 1e-4 / weight: that of their means, and their squares over 2."""
    rng = np.random.default_rng(0)
    weight = np.tile([0.2, 1.0, 6.0], 4000)
    loss = np.exp(1 + 0.01 * rng.standard_normal(12_000) / np.sqrt(weight))
    size = np.repeat(np.geomspace(1e7, 1e9, 4000), 3)
    cells = cells_of(tmp_path, model_params=size, tokens=np.full(12_000, 1e9), loss=loss, weight=weight)
    assert len(cells) == 4000
    assert np.mean([cell.seed_squares / 2 for cell in cells]) == pytest.approx(1e-4 / 2.4, rel=0.05)
    assert np.var([cell.log_loss for cell in cells]) == pytest.approx(1e-4 / 7.2, rel=0.1)
