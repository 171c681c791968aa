"""Learning-rate envelopes: exact parabolas and surfaces, diverged runs, seeds, and where there is no minimum."""

import numpy as np
import pytest

from embudget.errors import FitError, TooFewRunsError
from embudget.runs.envelope import fit_rate_curve, fit_rate_surface


def parabola(rates: np.ndarray, best: float = 2e-3, curvature: float = 0.1) -> np.ndarray:
    """Log losses with a minimum of 1.5 at ``best``."""
    return 1.5 + curvature / 2 * np.log(rates / best) ** 2


@pytest.mark.parametrize("rates", [(1e-3, 2.5e-3, 4e-3), (4e-3, 5e-4, 1e-3, 2.5e-3, 8e-3)])
def test_an_exact_parabola_is_recovered(rates: tuple[float, ...]) -> None:
    curve = fit_rate_curve(rates, parabola(np.array(rates), curvature=0.03))
    assert curve.inside
    assert (curve.learning_rate, curve.log_loss) == pytest.approx((2e-3, 1.5), rel=1e-6)


def test_a_parabola_tells_its_curvature_unless_it_is_cut() -> None:
    rates = np.array([1e-3, 2.5e-3, 4e-3])
    assert fit_rate_curve(rates, parabola(rates, curvature=0.03)).curvature == pytest.approx(0.015)
    assert fit_rate_curve(rates, (1.501, 1.5, 1.8)).curvature is None, "the excess of 0.3 was cut"
    assert fit_rate_curve(rates, parabola(rates, best=1e-4)).curvature is None, "there is no minimum"


@pytest.mark.parametrize("best", [2e-4, 1.2e-3, 2.9e-3, 8e-3])
def test_the_two_best_rates_tell_where_a_parabola_of_known_curvature_has_its_minimum(best: float) -> None:
    rates = np.array([1e-3, 2e-3, 4e-3])
    curve = fit_rate_curve(rates, parabola(rates, best=best, curvature=0.06))
    assert curve.middle is not None
    assert curve.slope is not None
    assert curve.middle * np.exp(-curve.slope / 0.06) == pytest.approx(best)


def test_the_slope_to_a_diverged_rate_tells_nothing() -> None:
    curve = fit_rate_curve((1e-3, 2e-3, 4e-3), (1.5, 1.8, 3.0))
    assert curve.middle == pytest.approx(np.sqrt(2) * 1e-3)
    assert curve.slope is None


def test_seeds_of_a_rate_are_averaged() -> None:
    rates = np.array([1e-3, 2.5e-3, 4e-3])
    noise = np.array([0.004, -0.006, 0.002])
    once = fit_rate_curve(rates, parabola(rates))
    twice = fit_rate_curve(np.tile(rates, 2), np.concatenate([parabola(rates) + noise, parabola(rates) - noise]))
    assert twice.learning_rate == pytest.approx(once.learning_rate)
    assert twice.log_loss == pytest.approx(once.log_loss)


@pytest.mark.parametrize(
    ("log_losses", "best"),
    [
        ((1.50, 1.53, 1.60), 1e-3),  # rising: the optimum may lie below the tried rates
        ((1.60, 1.53, 1.50), 9e-3),
        ((1.52, 1.53, 1.50), 9e-3),  # concave
        ((1.5, 1.5, 1.5), 1e-3),
    ],
)
def test_without_a_minimum_between_the_rates_the_best_tried_one_is_taken(
    log_losses: tuple[float, ...], best: float
) -> None:
    curve = fit_rate_curve((1e-3, 3e-3, 9e-3), log_losses)
    assert not curve.inside
    assert curve.learning_rate == pytest.approx(best)
    assert curve.log_loss == min(log_losses)


@pytest.mark.parametrize("diverged", [0.05, 0.7, 3.0])
def test_a_diverged_rate_does_not_feign_a_deep_minimum(diverged: float) -> None:
    """Uncut, the parabola through an excess of 0.02, 0 and 3 would have its vertex 0.37 below the lowest."""
    curve = fit_rate_curve((1e-3, 3e-3, 9e-3), (1.52, 1.5, 1.5 + diverged))
    assert curve.inside
    assert 1e-3 < curve.learning_rate < 3e-3
    assert 1.495 < curve.log_loss < 1.5


def test_the_vertex_is_never_far_below_the_lowest_loss() -> None:
    generator = np.random.default_rng(0)
    depths = []
    for beside in np.exp(generator.uniform(np.log(1e-4), np.log(3), size=(500, 2))):
        curve = fit_rate_curve((1e-3, 3e-3, 9e-3), (1.5 + beside[0], 1.5, 1.5 + beside[1]))
        depths.append(1.5 - curve.log_loss)
    assert min(depths) >= -1e-12
    assert 0.01 < max(depths) < 0.0115


def test_a_far_rate_does_not_move_the_minimum() -> None:
    rates = np.array([5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    diverged = parabola(rates, best=1.7e-3, curvature=0.05) + np.where(rates > 5e-3, 2, 0)
    assert fit_rate_curve(rates, diverged).learning_rate == pytest.approx(1.7e-3, rel=0.01)


def test_two_rates_have_a_slope_and_no_minimum() -> None:
    rates = np.array([1e-3, 4e-3])
    curve = fit_rate_curve(rates, parabola(rates, best=8e-3, curvature=0.06))
    assert curve.inside is None
    assert curve.curvature is None
    assert curve.learning_rate == pytest.approx(4e-3)
    assert curve.middle == pytest.approx(2e-3)
    assert curve.slope == pytest.approx(-0.06 * np.log(8e-3 / 2e-3))


def test_what_has_no_curve_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="got 1 rate"):
        fit_rate_curve((2e-3, 2e-3, 2e-3), (1.5, 1.4, 1.6))
    with pytest.raises(FitError, match="learning rate must be positive and finite, got 0"):
        fit_rate_curve((1e-3, 0, 2e-3), (1.5, 1.4, 1.6))
    with pytest.raises(FitError, match="log loss must be finite, got nan"):
        fit_rate_curve((1e-3, 2e-3, 4e-3), (1.5, 1.4, float("nan")))


def plane(rates: int = 3, batches: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grid with its minimum of 1.5 at rate 2e-3 and batch 48, where a larger batch wants a larger rate."""
    grid = np.meshgrid(np.geomspace(1e-3, 4.2e-3, rates), np.geomspace(16, 128, batches))
    rate, batch = grid[0].ravel(), grid[1].ravel()
    x, y = np.log(rate / 2e-3), np.log(batch / 48)
    return rate, batch, 1.5 + 0.02 * x * x - 0.01 * x * y + 0.01 * y * y


@pytest.mark.parametrize("side", [3, 6])
def test_an_exact_surface_is_recovered(side: int) -> None:
    surface = fit_rate_surface(*plane(side, side))
    assert surface.inside
    assert (surface.learning_rate, surface.batch_size, surface.log_loss) == pytest.approx((2e-3, 48, 1.5), rel=1e-6)
    assert surface.curvature == pytest.approx(0.02)


def test_diverged_corners_leave_the_surface_where_it_was() -> None:
    rate, batch, log_losses = plane(5, 5)
    log_losses = log_losses + np.where((rate > 3e-3) & (batch < 40), 1.0, 0.0)
    surface = fit_rate_surface(rate, batch, log_losses)
    assert (surface.learning_rate, surface.batch_size, surface.log_loss) == pytest.approx((2e-3, 48, 1.5), rel=0.01)


def test_an_optimum_beyond_the_grid_gives_the_best_tried_setting() -> None:
    rate, batch, log_losses = (axis[plane(6, 4)[0] < 1.8e-3] for axis in plane(6, 4))
    surface = fit_rate_surface(rate, batch, log_losses)
    best = log_losses.argmin()
    assert not surface.inside
    assert (surface.learning_rate, surface.batch_size) == pytest.approx((rate[best], batch[best]))
    assert surface.log_loss == log_losses[best]


def test_a_saddle_gives_the_best_tried_setting() -> None:
    rate, batch, _ = plane(4, 4)
    log_losses = 1.5 + 0.02 * np.log(rate / 2e-3) ** 2 - 0.02 * np.log(batch / 40) ** 2
    surface = fit_rate_surface(rate, batch, log_losses)
    assert not surface.inside
    assert surface.log_loss == log_losses.min()


def test_what_has_no_surface_is_refused() -> None:
    rate, batch, log_losses = plane()
    with pytest.raises(TooFewRunsError, match=r"at least 8 different \(rate, batch\) settings, got 7"):
        fit_rate_surface(rate[:7], batch[:7], log_losses[:7])
    with pytest.raises(TooFewRunsError, match="the 9 settings do not determine a surface"):
        fit_rate_surface(np.geomspace(1e-3, 1e-2, 9), np.full(9, 32), log_losses)
    with pytest.raises(FitError, match="batch size must be positive and finite, got -1"):
        fit_rate_surface(rate, np.where(batch > 100, -1, batch), log_losses)
