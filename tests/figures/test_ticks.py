"""Ticks that people read: measured values where they fit, else 1-2-5, never two that run into one another."""

from itertools import pairwise
from math import log

import numpy as np
import pytest

from embudget.figures.ticks import GAP, LETTER, budget_ticks, tick_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"), (8, "8"), (100, "100"), (512, "512"), (1536, "1.5k"), (200_064, "200k"), (3_540_672, "3.5M"),
        (134_515_008, "135M"), (999_600, "1M"), (1e9, "1e9"), (4e12, "4e12"), (1.6e13, "1.6e13"), (1e100, "1e100"),
    ],
)  # fmt: skip
def test_values_are_written_in_few_letters(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_measured_budgets_are_the_ticks_where_they_fit() -> None:
    assert budget_ticks([1e12, 4e12, 1.6e13], 8e11, 2e13, 2.5) == [1e12, 4e12, 1.6e13]


def test_many_budgets_give_one_two_five() -> None:
    found = budget_ticks(list(np.geomspace(1e12, 1e14, 30)), 9e11, 1.1e14, 2.5)
    assert found == pytest.approx([1e12, 2e12, 5e12, 1e13, 2e13, 5e13, 1e14])


@pytest.mark.parametrize("count", [1, 2, 5, 9, 40])
@pytest.mark.parametrize("ratio", [1.01, 3.0, 100.0, 1e9])
@pytest.mark.parametrize("inches", [0.5, 1.2, 2.6])
def test_no_two_ticks_run_into_one_another(count: int, ratio: float, inches: float) -> None:
    values = np.geomspace(1.37e12, 1.37e12 * ratio, count).tolist() if count > 1 else [1.37e12]
    low, high = values[0] / 1.2, values[-1] * 1.2
    found = budget_ticks(values, low, high, inches)
    assert found
    for before, after in pairwise(found):
        least = LETTER * ((len(tick_text(before)) + len(tick_text(after))) / 2 + GAP)
        assert inches * log(after / before) / log(high / low) >= least
