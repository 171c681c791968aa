"""The correction of a law that does not fit."""

from dataclasses import replace

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.laws import Coefficients, Laws, fit
from embudget.laws.kriging import fit_correction
from embudget.laws.points import Points
from embudget.records import RunRecord
from tests.laws.test_misfit import points

TRUTH = {name: Coefficients(E=1.2, A=300, a=0.35, B=250, b=0.42) for name in ("full", "lora:8")}
MODELS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 4, 8, 16))


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
    assert correction.variance(["full"], size, far)[0] == pytest.approx(correction.misfit**2)
    assert correction.variance(["full"], size, near)[0] < 0.3 * correction.misfit**2


def test_a_law_that_fits_is_not_corrected() -> None:
    assert fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.01)), draws=20).surface.correction is None


def test_the_correction_survives_the_file(laws: Laws) -> None:
    again = Laws.model_validate_json(laws.model_dump_json())
    assert again.predict("lora:8", 9e6, 9e5) == laws.predict("lora:8", 9e6, 9e5)
    assert again.interval("lora:8", 9e6, 9e5, of="law") == laws.interval("lora:8", 9e6, 9e5, of="law")


def test_errors_that_the_methods_share_are_carried_across() -> None:
    cells: Points = points()
    smooth = 0.03 * np.sin(cells.log_n - cells.log_n.mean())
    shared = fit_correction(cells, smooth, 0.003, 0.03)
    apart = fit_correction(cells, np.where(cells.method == "full", smooth, -smooth), 0.003, 0.03)
    assert shared.across == 0.9
    assert apart.across == 0.0
