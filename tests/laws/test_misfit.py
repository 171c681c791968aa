"""How the law's own error is told from the noise of runs."""

import numpy as np
import pytest

from embudget.laws.misfit import misfit_of
from embudget.laws.problem import Points

SIZES, BUDGETS = 5, 6


def points(seeds: int = 1, noise: float = 0.0, seed: int = 0) -> Points:
    """A grid of 5 sizes, 6 budgets and 2 methods; the log losses are not used."""
    rng = np.random.default_rng(seed)
    log_n, log_c = np.meshgrid(np.log(1e6) + np.arange(SIZES), np.log(1e12) + 1.4 * np.arange(BUDGETS))
    method = np.repeat(["full", "lora:8"], log_n.size)
    log_n, log_c = np.tile(log_n.ravel(), 2), np.tile(log_c.ravel(), 2)
    count = len(log_n)
    squares = noise**2 * rng.chisquare(seeds - 1, count) if seeds > 1 else np.zeros(count)
    return Points(
        method=method,
        budget=np.exp(log_c),
        log_n=log_n,
        log_d=log_c - log_n,
        log_loss=np.zeros(count),
        precision=np.full(count, float(seeds)),
        seeds=np.full(count, float(seeds)),
        seed_squares=squares,
    )


def found(residuals: np.ndarray, cells: Points) -> float:
    noise = float(np.sqrt((cells.seeds.mean() * residuals**2).mean()))
    return misfit_of(cells, residuals, noise, freedom=len(cells))


def test_noise_alone_is_no_misfit() -> None:
    rng = np.random.default_rng(0)
    cells = points()
    seen = [found(0.01 * rng.standard_normal(len(cells)), cells) > 0 for _ in range(200)]
    assert np.mean(seen) < 0.1


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_a_smooth_error_of_the_law_is_told_from_noise(noise: float) -> None:
    cells = points()
    smooth = 0.03 * np.sin(cells.log_n - cells.log_n.mean())  # the same at all budgets
    residuals = smooth + noise * np.random.default_rng(1).standard_normal(len(cells))
    assert found(residuals, cells) == pytest.approx(smooth.std(), rel=0.15)


def test_repeated_seeds_tell_it_too() -> None:
    cells = points(seeds=4, noise=0.01)
    rng = np.random.default_rng(2)
    rough = 0.03 * rng.choice([-1.0, 1.0], len(cells))  # no neighbour tells
    residuals = rough + 0.005 * rng.standard_normal(len(cells))
    assert found(residuals, cells) > 0.02
    assert found(residuals, points()) == 0


def test_without_neighbours_or_seeds_nothing_is_claimed() -> None:
    cells = points()
    two = cells.where(cells.budget < np.exp(np.log(1e12) + 2))
    assert len(np.unique(two.budget)) == 2
    assert found(0.03 * np.sin(two.log_n), two) == 0
