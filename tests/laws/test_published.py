"""Envelopes against published measurements, which stay outside the repository.

Step law: Li et al. 2025, arXiv 2503.04715, 1911 runs over learning rate and batch size in 17 cells of (N, D);
LR* = 1.79 N^-0.713 D^0.307 and B* = 0.58 D^0.571 tokens.
"""

import csv
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from embudget.laws.rates import fit_rate_law
from embudget.runs.envelope import Vertex, fit_rate_surface
from tests.laws.published import (
    STEP_LAW_BATCHES,
    STEP_LAW_CELL,
    STEP_LAW_LOSSES,
    STEP_LAW_OPTIMA,
    STEP_LAW_RATES,
    measurements,
)

SEQUENCE = 2048
"""Tokens; the batch sizes of the file count sequences."""


class StepCell(NamedTuple):
    """The runs of one (N, D): columns learning rate, batch in tokens, smoothed loss."""

    model_params: float
    tokens: float
    runs: np.ndarray

    @property
    def published(self) -> np.ndarray:
        """Rate and batch (tokens) of the published law."""
        return np.array([1.79 * self.model_params**-0.713 * self.tokens**0.307, 0.58 * self.tokens**0.571])

    @property
    def lowest(self) -> np.ndarray:
        """Rate and batch of the run with the lowest loss."""
        return self.runs[self.runs[:, 2].argmin(), :2]

    def surface(self) -> Vertex:
        return fit_rate_surface(self.runs[:, 0], self.runs[:, 1], np.log(self.runs[:, 2]))


@cache
def step_cells() -> tuple[StepCell, ...]:
    runs = defaultdict(list)
    with measurements("steplaw_dense_lr_bs_loss.csv").open() as file:
        for row in csv.DictReader(file):
            run = float(row["lr"]), float(row["bs"]) * SEQUENCE, float(row["smooth loss"])
            runs[float(row["N"]), float(row["D"])].append(run)
    return tuple(StepCell(n, d, np.array(cell)) for (n, d), cell in sorted(runs.items()))


def factors(found: list[np.ndarray]) -> np.ndarray:
    """By how much each cell's (rate, batch) differ from the published ones, as factors above 1."""
    published = np.array([cell.published for cell in step_cells()])
    off: np.ndarray = np.exp(np.abs(np.log(np.array(found) / published)))
    return off


def test_the_surface_finds_the_optimum_of_sixteen_runs() -> None:
    """The run with the lowest loss is 1.6 times away in both; these runs need no file."""
    rates, batches = np.repeat(STEP_LAW_RATES, 4), SEQUENCE * np.tile(STEP_LAW_BATCHES, 4)
    cell = StepCell(*STEP_LAW_CELL, np.stack([rates, batches, np.ravel(STEP_LAW_LOSSES)], axis=1))
    surface = cell.surface()
    assert surface.inside
    assert (surface.learning_rate, surface.batch_size) == pytest.approx(tuple(cell.published), rel=0.15)
    assert np.exp(np.abs(np.log(cell.lowest / cell.published))).min() > 1.5


def test_the_best_rates_of_the_cells_have_the_published_law() -> None:
    """Slopes, and the rates of the five cells of 0.5 and 1 B parameters from those of 0.2 to 0.4 B; no file needed."""
    sizes, tokens, rates = np.array(STEP_LAW_OPTIMA).T
    law = fit_rate_law(["full"] * 17, sizes, tokens, rates)
    assert (law.model_params_slope, law.tokens_slope) == pytest.approx((-0.713, 0.307), abs=0.1)
    known = sizes < 5e8
    law = fit_rate_law(["full"] * 12, sizes[known], tokens[known], rates[known])
    for n, d, rate in zip(sizes[~known], tokens[~known], rates[~known], strict=True):
        assert abs(np.log(law.predict("full", n, d) / rate)) < np.log(1.3)


def test_the_surface_finds_the_step_laws_optima(record_property: Callable[[str, object], None]) -> None:
    cells = step_cells()
    assert len(cells) == 17
    surfaces = [cell.surface() for cell in cells]
    assert all(surface.inside for surface in surfaces)
    by_surface = factors([np.array([surface.learning_rate, surface.batch_size]) for surface in surfaces])
    by_lowest = factors([cell.lowest for cell in cells])
    report = {
        name: f"rate: worst {off[:, 0].max():.2f}, median {np.median(off[:, 0]):.2f}; "
        f"batch: worst {off[:, 1].max():.2f}, median {np.median(off[:, 1]):.2f}"
        for name, off in (("surface", by_surface), ("lowest run", by_lowest))
    }
    record_property("factors from the published laws", report)
    assert (by_surface.max(axis=0) <= (1.6, 1.4)).all(), report
    assert (by_surface.max(axis=0) < by_lowest.max(axis=0)).all(), report
    assert (np.median(by_surface, axis=0) < np.median(by_lowest, axis=0)).all(), report


def test_the_surface_knows_the_loss_at_the_optimum() -> None:
    """Its loss is that of the runs next to the optimum, within 0.3 %."""
    for cell in step_cells():
        assert cell.surface().log_loss == pytest.approx(np.log(cell.runs[:, 2].min()), abs=0.003)


def law_without(left_out: int | None) -> tuple[float, float, float]:
    """Slopes of the law of the rate over all cells but one, and its rate for that one (the first if none)."""
    cells = [cell for i, cell in enumerate(step_cells()) if i != left_out]
    sizes, tokens = [cell.model_params for cell in cells], [cell.tokens for cell in cells]
    law = fit_rate_law(["full"] * len(cells), sizes, tokens, [cell.surface().learning_rate for cell in cells])
    asked = step_cells()[left_out or 0]
    return law.model_params_slope, law.tokens_slope, law.predict("full", asked.model_params, asked.tokens)


def test_the_law_of_the_rate_has_the_published_slopes() -> None:
    p, q, _ = law_without(None)
    assert p == pytest.approx(-0.713, abs=0.1)
    assert q == pytest.approx(0.307, abs=0.1)


def test_the_law_predicts_the_rate_of_a_cell_it_has_not_seen() -> None:
    predicted = np.array([law_without(i)[2] for i in range(17)])
    found = np.array([cell.surface().learning_rate for cell in step_cells()])
    published = np.array([cell.published[0] for cell in step_cells()])
    assert np.exp(np.abs(np.log(predicted / found)).max()) < 1.3
    assert np.exp(np.abs(np.log(predicted / published)).max()) < 1.4


def test_the_law_extrapolates_to_larger_models() -> None:
    """From models of 0.2 and 0.4 B parameters to those of 0.5 and 1 B."""
    known = [cell for cell in step_cells() if cell.model_params < 5e8]
    larger = [cell for cell in step_cells() if cell.model_params > 5e8]
    assert (len(known), len(larger)) == (12, 5)
    law = fit_rate_law(
        ["full"] * len(known),
        [cell.model_params for cell in known],
        [cell.tokens for cell in known],
        [cell.surface().learning_rate for cell in known],
    )
    for cell in larger:
        rate = law.predict("full", cell.model_params, cell.tokens)
        assert abs(np.log(rate / cell.surface().learning_rate)) < np.log(1.3)
        assert abs(np.log(rate / cell.published[0])) < np.log(1.4)
