"""How noisy runs are, which cells are outlying, and how the law's own error is told from noise and corrected."""

from dataclasses import replace

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients, Laws, fit
from embudget.laws.misfit import OUTLYING, fit_correction, misfit_of, noise_level, noise_of_run, winsorised
from embudget.laws.problem import Points
from embudget.records import RunRecord
from embudget.runs import RunTable

SIZES, BUDGETS = 5, 6
TRUTH = {name: Coefficients(E=1.2, A=300, a=0.35, B=250, b=0.42) for name in ("full", "lora:8")}
MODELS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 4, 8, 16))


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
        series=np.arange(count),
        lineage=np.full(count, ""),
        base=np.full(count, np.nan),
    )


def found(residuals: np.ndarray, cells: Points) -> float:
    noise = float(np.sqrt((cells.seeds.mean() * residuals**2).mean()))
    return misfit_of(cells, residuals, noise, freedom=len(cells))


def test_the_noise_level_is_that_of_the_median_and_of_the_freedom() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(4000)
    residuals[:100] = 5.0
    assert noise_level(residuals, np.ones(4000), 0) == pytest.approx(0.01, rel=0.06)
    assert noise_level(residuals, np.ones(4000), 3000) == pytest.approx(0.02, rel=0.06)
    assert noise_level(residuals / 2, np.full(4000, 4.0), 0) == pytest.approx(0.01, rel=0.06)
    assert noise_level(np.zeros(9), np.ones(9), 5) > 0


def test_a_residual_far_outside_is_cut_and_the_others_are_kept() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(20)
    residuals[3] = 0.5
    weights = np.ones(20)
    weights[3] = 4
    cut = winsorised(residuals, weights)
    assert np.array_equal(np.delete(cut, 3), np.delete(residuals, 3))
    assert cut[3] == pytest.approx(OUTLYING / 2 * 1.4826 * np.median(np.abs(residuals)))  # half: it has four seeds


def test_the_noise_is_that_of_one_run_for_unequal_numbers_of_seeds() -> None:
    """A third of the cells with 9 seeds, the others with 1; the law is known, so that nothing but noise is left."""
    truth = Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42)
    budgets = tuple(np.geomspace(1e11, 1e14, 150))
    world = World(
        truth={"full": truth}, models=("smollm2-135m:1", "smollm2-135m:4"), budgets=budgets, seeds=9, noise=0.02
    )
    kept = [r for r in simulate(world) if r.config.seed == 0 or budgets.index(r.config.train_flops) % 3 == 0]
    measured = Points.of(RunTable.of(kept).cells)
    true = np.log([truth.loss(*np.exp(place)) for place in zip(measured.log_n, measured.log_d, strict=True)])
    assert set(measured.seeds) == {1, 9}
    noise = noise_of_run(measured, measured.log_loss - true, freedom=len(measured))
    assert noise == pytest.approx(0.02, rel=0.05)


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


def wave(log_n: np.ndarray, log_d: np.ndarray) -> np.ndarray:
    """An error that no form has."""
    return np.asarray(0.04 * np.sin(1.2 * (log_n - np.log(1e7))) * np.cos(0.5 * (log_d - np.log(1e6))))


def bent(noise: float = 0.003) -> list[RunRecord]:
    budgets = tuple(1e12 * 3.0**i for i in range(5))
    records = simulate(World(truth=TRUTH, models=MODELS, budgets=budgets, noise=noise))
    return [record.model_copy(update={"loss": (record.loss or 0) * factor(record)}) for record in records]


def factor(record: RunRecord) -> float:
    return float(np.exp(wave(np.log(record.model_params or 1), np.log(record.tokens or 1))))


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(bent(), draws=60)


def error(laws: Laws, size: float, tokens: float) -> float:
    true = TRUTH["full"].loss(size, tokens) * float(np.exp(wave(np.log(size), np.log(tokens))))
    return float(np.log(laws.predict("full", size, tokens) / true))


def test_between_the_cells_the_error_is_mostly_gone(laws: Laws) -> None:
    without = laws.model_copy(update={"surface": laws.surface.model_copy(update={"correction": None})})
    places = [(size, tokens) for size in (5e6, 1e7, 2e7, 4e7) for tokens in (3e5, 1e6, 3e6)]
    ours, plain = (np.array([error(one, *place) for place in places]) for one in (laws, without))
    assert np.sqrt((ours**2).mean()) < 0.5 * np.sqrt((plain**2).mean())


def test_a_diverged_run_is_not_carried_into_predictions() -> None:
    records = bent()
    hit = next(i for i, r in enumerate(records) if r.config.method == "full" and r.config.model == MODELS[2])
    records[hit] = records[hit].model_copy(update={"loss": 2 * (records[hit].loss or 0)})
    size, tokens = records[hit].model_params or 1, records[hit].tokens or 1
    assert abs(error(fit(records, draws=60), size, tokens)) < 0.03


def test_one_number_of_tokens_leaves_no_length_in_them() -> None:
    cells = points()
    flat = replace(cells, log_d=np.full(len(cells), 13.0))
    correction = fit_correction(flat, 0.03 * np.sin(cells.log_n), 0.003, 0.03)
    assert np.isfinite(correction.mean(["full"], cells.log_n[:2], flat.log_d[:2])).all()


def test_a_cell_of_little_weight_moves_little() -> None:
    cells = points()
    residuals = np.zeros(len(cells))
    residuals[7] = 0.1
    light = replace(cells, precision=np.where(np.arange(len(cells)) == 7, 1e-6, 1.0))
    at = ["full"], cells.log_n[7:8], cells.log_d[7:8]
    moved = [abs(fit_correction(one, residuals, 0.01, 0.03).mean(*at)[0]) for one in (light, cells)]
    assert moved[0] < 0.05 * moved[1]


def test_far_from_all_cells_the_law_alone_is_left(laws: Laws) -> None:
    correction = laws.surface.correction
    assert correction is not None
    near, far = (np.array([log]) for log in (np.log(1e6), np.log(1e6) + 40))
    size = np.array([np.log(1e7)])
    assert abs(correction.mean(["full"], size, far)[0]) < 1e-9
    assert correction.weights(["full"], size, far)[1][0] == pytest.approx(correction.misfit**2)
    assert correction.weights(["full"], size, near)[1][0] < 0.3 * correction.misfit**2


def test_a_law_that_fits_is_not_corrected() -> None:
    assert fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=20).surface.correction is None


def test_the_correction_survives_the_file(laws: Laws) -> None:
    again = Laws.model_validate_json(laws.model_dump_json())
    assert again.predict("lora:8", 9e6, 9e5) == laws.predict("lora:8", 9e6, 9e5)
    assert again.interval("lora:8", 9e6, 9e5, of="law") == laws.interval("lora:8", 9e6, 9e5, of="law")


def test_draws_that_disagree_about_a_measured_model_agree_once_each_is_corrected(laws: Laws) -> None:
    """Else a table whose models differ by more than their size says would get intervals as wide as that difference."""
    surface, cells = laws.surface, [cell for cell in laws.cells if cell.method == "full"]
    sizes, tokens = (np.array([getattr(cell, name) for cell in cells]) for name in ("model_params", "tokens"))
    at = ["full"] * len(cells), sizes, tokens
    (_, as_drawn), (mean, corrected, _) = surface._logs(*at), surface._errors(*at)
    assert np.median(corrected.std(axis=0)) < 0.7 * np.median(as_drawn.std(axis=0))
    assert corrected.mean(axis=0) == pytest.approx(mean, abs=1e-9)


def test_errors_that_the_methods_share_are_carried_across() -> None:
    cells: Points = points()
    smooth = 0.03 * np.sin(cells.log_n - cells.log_n.mean())
    shared = fit_correction(cells, smooth, 0.003, 0.03)
    apart = fit_correction(cells, np.where(cells.method == "full", smooth, -smooth), 0.003, 0.03)
    assert shared.across == 0.9
    assert apart.across == 0.0
