"""Variable projection against published fits and planted outliers."""

import csv
from pathlib import Path

import numpy as np
import pytest

from embudget.laws.varpro import Array, Separable

CHINCHILLA = Path(__file__).parents[2] / "../shared/data/laws/chinchilla_svg_extracted.csv"


def surface(log_n: Array, log_d: Array) -> Separable:
    def columns(theta: Array) -> Array:
        size, data = np.exp(-theta[0] * (log_n - log_n.mean())), np.exp(-theta[1] * (log_d - log_d.mean()))
        return np.stack([np.ones_like(size), size, data], axis=1)

    return Separable(columns, exponents=2, weights=np.ones_like(log_n), parameters=5)


def grid() -> tuple[Array, Array]:
    log_n, log_d = np.meshgrid(np.log(np.geomspace(3e6, 1e8, 5)), np.log(np.geomspace(1e5, 1e7, 5)))
    return log_n.ravel(), log_d.ravel()


@pytest.mark.skipif(not CHINCHILLA.exists(), reason="the published measurements are not on this machine")
def test_the_chinchilla_replication_is_reproduced() -> None:
    """epoch-research/analyzing-chinchilla: Huber with delta 1e-3, losses strictly below the 5th largest."""
    with CHINCHILLA.open() as file:
        rows = [
            (float(row["Model Size"]), float(row["Training FLOP"]), float(row["loss"])) for row in csv.DictReader(file)
        ]
    sizes, flops, losses = np.array([row for row in rows if row[2] < sorted(r[2] for r in rows)[-5]]).T
    log_n, log_d = np.log(sizes), np.log(flops / (6 * sizes))
    solution = surface(log_n, log_d).fit(np.log(losses), delta=1e-3, rounds=20)
    a, b = solution.exponents
    E, A, B = solution.coefficients * np.exp([0, a * log_n.mean(), b * log_d.mean()])
    assert (E, A, B, a, b) == pytest.approx((1.8172, 477.8, 2143.9, 0.3473, 0.3672), rel=0.005)
    assert solution.objective == pytest.approx(0.00101827, rel=0.01)


def test_one_diverged_run_hardly_moves_the_law() -> None:
    log_n, log_d = grid()
    problem = surface(log_n, log_d)
    rng = np.random.default_rng(0)
    clean = np.log(1.8 + 300 * np.exp(-0.35 * log_n) + 250 * np.exp(-0.42 * log_d)) + 0.01 * rng.standard_normal(25)
    diverged = clean.copy()
    diverged[7] += 0.5
    assert np.abs(problem.fit(diverged).log_fit - problem.fit(clean).log_fit).max() < 0.02


def test_coefficients_are_never_negative() -> None:
    log_n, log_d = grid()
    rising = np.log(2 + 0.1 * (log_n - log_n.min()) + 100 * np.exp(-0.4 * log_d))  # larger is worse: A would be < 0
    solution = surface(log_n, log_d).fit(rising)
    assert solution.coefficients[1] == 0
    assert (solution.coefficients >= 0).all()


def test_seeds_weigh_as_many_cells() -> None:
    log_n, log_d = grid()
    rng = np.random.default_rng(1)
    log_loss = np.log(1.8 + 300 * np.exp(-0.35 * log_n) + 250 * np.exp(-0.42 * log_d)) + 0.01 * rng.standard_normal(25)
    doubled = surface(np.r_[log_n, log_n[:1]], np.r_[log_d, log_d[:1]])
    single = surface(log_n, log_d)
    weights = np.ones(25)
    weights[0] = 2
    weighted = Separable(single.columns, 2, weights, 5).fit(log_loss, delta=np.inf)
    repeated = doubled.fit(np.r_[log_loss, log_loss[:1]], delta=np.inf)
    assert repeated.log_fit[:25] == pytest.approx(weighted.log_fit, abs=1e-4)
