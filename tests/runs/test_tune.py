"""Settings of a cell: their seeds, weighed; what an envelope of learning rates gives; and where there is none."""

from math import exp, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike

from embudget.runs import Cell, RunTable

RESULTS = Path(__file__).parents[2] / "results"
RATES = (1e-3, 2.5e-3, 6e-3)


def table(**given: ArrayLike) -> tuple[Cell, ...]:
    """The cells of runs of one model and budget, or of those given."""
    one_cell = {"method": "full", "model_params": 1e7, "budget": 1e15, "train_flops": 1e15, "tokens": 1.6e7}
    count = max(len(np.atleast_1d(values)) for values in given.values())
    runs = pd.DataFrame(one_cell | given, index=range(1, count + 1))
    return RunTable._of(runs.assign(said_nan=""), None).cells


def loss(rate: float, batch: float = 32, *, best: float = 2e-3, lowest: float = 3.0) -> float:
    """A quadratic in log rate, and about batch 48 in log batch."""
    x, y = log(rate / best), log(batch / 48)
    return lowest * exp(0.02 * x * x - 0.005 * x * y + 0.01 * y * y)


def test_seeds_count_by_their_weight() -> None:
    def cell(**weight: list[float]) -> Cell:
        (only,) = table(seed=[0, 1], loss=[2.0, 3.0], **weight)
        return only

    weighted, equal, plain = cell(weight=[100.0, 1.0]), cell(weight=[7.0, 7.0]), cell()
    assert weighted.log_loss == pytest.approx((100 * log(2) + log(3)) / 101)
    assert (weighted.seeds, weighted.weight) == (2, 50.5)
    squares = 100 * (log(2) - weighted.log_loss) ** 2 + (log(3) - weighted.log_loss) ** 2
    assert weighted.seed_squares == pytest.approx(squares / 50.5)
    assert (equal.loss, equal.seed_squares) == (plain.loss, plain.seed_squares)


def test_weighted_seeds_have_the_noise_that_is_expected() -> None:
    """4000 cells of 3 seeds with the variance 1e-4 / weight: that of their means, and their squares over 2."""
    rng = np.random.default_rng(0)
    weight = np.tile([0.2, 1.0, 6.0], 4000)
    losses = np.exp(1 + 0.01 * rng.standard_normal(12_000) / np.sqrt(weight))
    size = np.repeat(np.geomspace(1e7, 1e9, 4000), 3)
    cells = table(model_params=size, loss=losses, weight=weight)
    assert len(cells) == 4000
    assert np.mean([cell.seed_squares / 2 for cell in cells]) == pytest.approx(1e-4 / 2.4, rel=0.05)
    assert np.var([cell.log_loss for cell in cells]) == pytest.approx(1e-4 / 7.2, rel=0.1)


def test_three_rates_give_the_loss_and_the_rate_of_their_vertex() -> None:
    (cell,) = table(learning_rate=RATES, loss=[loss(rate, 48) for rate in RATES])
    assert (cell.learning_rate, cell.loss) == pytest.approx((2e-3, 3.0), rel=1e-6)
    assert (cell.rates, cell.rate_inside, cell.lowest_rate, cell.highest_rate) == (3, True, 1e-3, 6e-3)
    assert cell.rate_curvature == pytest.approx(0.02)
    assert (cell.seeds, cell.seed_squares) == (1, 0)


def test_each_cell_has_its_own_envelope() -> None:
    sizes, bests = (1e7, 2e7, 4e7), (1.9e-3, 2e-3, 3e-3)
    losses = [loss(rate, 48, best=best) for best in bests for rate in RATES]
    cells = table(model_params=np.repeat(sizes, 3), learning_rate=np.tile(RATES, 3), loss=losses)
    assert [cell.learning_rate for cell in cells] == pytest.approx(bests, rel=1e-6)
    assert [cell.loss for cell in cells] == pytest.approx([3.0] * 3)


@pytest.mark.parametrize(
    ("losses", "best"),
    [((3.0, 3.1, 3.3), 1e-3), ((3.3, 3.1, 3.0), 6e-3), ((3.1, 3.2, 3.0), 6e-3), ((3.0, 3.1, 9.0), 1e-3)],
)
def test_without_a_minimum_between_the_rates_the_best_run_is_the_cell(losses: tuple[float, ...], best: float) -> None:
    (cell,) = table(learning_rate=RATES, loss=losses)
    assert (cell.learning_rate, cell.loss, cell.rate_inside, cell.rates) == (best, 3.0, False, 3)
    assert cell.rate_curvature is None
    assert cell.rate_middle == pytest.approx(np.sqrt(2.5e-3 * (1e-3 if best == 1e-3 else 6e-3)))
    beside = 3.2 if 3.2 in losses else 3.1
    apart = log(1e-3 / 2.5e-3) if best == 1e-3 else log(6e-3 / 2.5e-3)
    assert cell.rate_slope == pytest.approx(log(3.0 / beside) / apart)


def test_two_rates_are_no_envelope_but_have_a_slope() -> None:
    (cell,) = table(learning_rate=RATES[:2], loss=(3.1, 3.0))
    assert (cell.learning_rate, cell.loss, cell.rates) == (2.5e-3, 3.0, 2)
    assert (cell.rate_inside, cell.rate_curvature) == (None, None)
    assert (cell.lowest_rate, cell.highest_rate) == RATES[:2]
    assert cell.rate_middle == pytest.approx(np.sqrt(1e-3 * 2.5e-3))
    assert cell.rate_slope == pytest.approx(log(3.0 / 3.1) / log(2.5))


def test_rates_that_differ_in_nothing_but_rounding_are_no_envelope() -> None:
    (cell,) = table(learning_rate=(1e-3, 1e-3 * (1 + 1e-9), 2e-3), loss=(3.1, 3.2, 3.0))
    assert (cell.loss, cell.rate_inside) == (3.0, None)


def test_runs_that_do_not_say_their_rate_are_beside_the_envelope() -> None:
    rates = (*RATES, np.nan)
    (tuned,) = table(learning_rate=rates, loss=[*(loss(rate) for rate in RATES), 3.5])
    assert (tuned.rate_inside, tuned.rates) == (True, 3)
    (unknown,) = table(learning_rate=rates, loss=[*(loss(rate) for rate in RATES), 2.5])
    assert (unknown.learning_rate, unknown.loss, unknown.rate_inside) == (None, 2.5, None)


def test_only_otherwise_equal_settings_make_an_envelope() -> None:
    (cell,) = table(learning_rate=RATES, warmup=(0.1, 0.1, 0.2), loss=(3.1, 3.0, 3.2))
    assert (cell.learning_rate, cell.loss, cell.rate_inside, cell.rates) == (2.5e-3, 3.0, None, 2)
    rates, decay = np.tile(RATES, 2), np.repeat((0.0, 0.1), 3)
    losses = [loss(rate, 48, best=best, lowest=low) for best, low in ((2e-3, 3.0), (3e-3, 2.9)) for rate in RATES]
    (cell,) = table(learning_rate=rates, weight_decay=decay, loss=losses)
    assert (cell.learning_rate, cell.loss, cell.weight_decay) == pytest.approx((3e-3, 2.9, 0.1), rel=1e-6)


def test_an_envelope_is_no_better_than_its_vertex_says() -> None:
    """Five rates about a smooth curve, one of them lucky: the envelope, not the lucky run, is the cell."""
    rates = np.geomspace(5e-4, 8e-3, 5)
    losses = np.array([loss(rate, 48) for rate in rates])
    losses[2] *= 0.99
    (cell,) = table(learning_rate=rates, loss=losses)
    assert losses.min() < cell.loss < 3.0


def runs(counts: tuple[int, ...]) -> dict[str, list[float]]:
    """So many runs of each rate, whose log losses scatter by 1 %."""
    found: dict[str, list[float]] = {"learning_rate": [], "seed": [], "loss": []}
    for rate, count in zip(RATES, counts, strict=True):
        scatter = np.linspace(-0.01, 0.01, count) if count > 1 else np.zeros(1)
        for seed, off in enumerate(scatter.tolist()):
            found["learning_rate"].append(rate)
            found["seed"].append(seed)
            found["loss"].append(loss(rate, 48) * exp(off))
    return found


@pytest.mark.parametrize(
    ("counts", "seeds", "squares"),
    [
        ((3, 3, 3), 3, 2e-4),
        ((1, 3, 1), 3, 2e-4),  # the others lend their weight to three
        ((1, 5, 1), 3, 2.5e-4 * 2 / 4),
        ((3, 1, 1), 1, 0),  # the best rate's seeds count, whatever was repeated elsewhere
    ],
)
def test_an_envelope_counts_the_runs_of_its_best_rate(counts: tuple[int, ...], seeds: int, squares: float) -> None:
    (cell,) = table(**runs(counts))
    assert (cell.learning_rate, cell.loss) == pytest.approx((2e-3, 3.0), rel=1e-6)
    assert cell.seeds == seeds
    assert cell.seed_squares == pytest.approx(squares)


def grid(rates: int, batches: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    rate, batch = np.meshgrid(np.geomspace(8e-4, 6e-3, rates), np.geomspace(16, 128, batches))
    points = list(zip(rate.ravel(), batch.ravel(), strict=True))
    return rate.ravel(), batch.ravel(), [loss(*point) for point in points]


@pytest.mark.parametrize("side", [3, 5])
def test_rates_and_batch_sizes_give_a_surface(side: int) -> None:
    rates, batches, losses = grid(side, side)
    (cell,) = table(learning_rate=rates, batch_size=batches, loss=losses)
    assert (cell.learning_rate, cell.batch_size, cell.loss) == pytest.approx((2e-3, 48, 3.0), rel=1e-6)
    assert (cell.rates, cell.rate_inside) == (side, True)


def test_two_batch_sizes_give_the_curve_at_the_better_one() -> None:
    rates, batches, losses = grid(4, 2)  # batch 16 and 128: eight settings that determine no surface
    (cell,) = table(learning_rate=rates, batch_size=batches, loss=losses)
    best = 2e-3 * exp(0.005 / 0.04 * log(128 / 48))
    assert cell.batch_size == 128
    assert cell.learning_rate == pytest.approx(best, rel=0.02)
    assert (cell.rates, cell.rate_inside) == (4, True)


def test_a_surface_without_a_minimum_gives_the_curve_at_the_best_batch_size() -> None:
    batches = np.repeat((8.0, 16.0, 32.0), 4)  # all below the best one
    rates = np.tile(np.geomspace(8e-4, 6e-3, 4), 3)
    losses = [loss(*point) for point in zip(rates, batches, strict=True)]
    (cell,) = table(learning_rate=rates, batch_size=batches, loss=losses)
    assert cell.batch_size == 32
    assert cell.learning_rate == pytest.approx(2e-3 * exp(0.005 / 0.04 * log(32 / 48)), rel=1e-3)
    assert cell.loss == pytest.approx(3.0 * exp((0.01 - 0.005**2 / 0.08) * log(32 / 48) ** 2), rel=1e-4)


def test_the_repository_s_study_of_rates_has_nine_envelopes() -> None:
    """See docs/log.md: each best rate lies beside the best of the three that were run, but one at an end."""
    cells = RunTable.read(RESULTS / "rates" / "records.csv").cells
    assert [cell.rates for cell in cells] == [3] * 9
    found = {(cell.method, cell.model.split(":")[1]): cell for cell in cells}
    outside = found.pop(("freeze:0.5", "1"))
    assert (outside.rate_inside, outside.learning_rate, outside.lowest_rate) == (False, 1e-3, 1e-3)
    assert outside.loss == pytest.approx(4.529, abs=5e-4)
    best = {("full", "1"): (1.5e-3, 4.470), ("freeze:0.5", "4"): (3e-3, 4.925), ("lora:32", "2"): (4e-3, 4.217)}
    for key, (rate, lowest) in best.items():
        assert found[key].learning_rate == pytest.approx(rate, rel=0.3)
        assert 0.985 * lowest < found[key].loss < lowest
    assert all(cell.rate_inside for cell in found.values())
