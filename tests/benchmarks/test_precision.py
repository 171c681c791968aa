"""The benchmark of bf16: all its sides take the same step, so that their times compare."""

import time

import pytest

from benchmarks.precision import measure
from embudget.pairs import Pairs


def test_all_sides_take_the_same_step(tiny_pairs: Pairs) -> None:
    cell, tables = measure("micro-200k", "full", 8, tiny_pairs, 1, time.process_time)
    losses = cell["last_losses"]
    assert losses.keys() == {
        *(f"{side}, {precision}" for side in ("ours", "plain") for precision in ("float32", "bf16")),
        "each chunk, bf16",
    }
    assert losses["plain, float32"] == pytest.approx(losses["ours, float32"], abs=0.01)
    for side in ("ours", "plain", "each chunk"):
        assert losses[f"{side}, bf16"] == pytest.approx(losses["ours, float32"], abs=0.1)
        assert cell["gains"][side] > 0
    assert len(tables) == 2 and all("aten::" in table for table in tables)
