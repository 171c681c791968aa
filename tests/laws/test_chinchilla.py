"""The parametric law: recovery of a known truth, sharing between methods, refusals."""

import re
from math import log

import numpy as np
import pytest

from embudget.errors import FitError, TooFewRunsError
from embudget.laws import ChinchillaLaw, Coefficients, RunTable, fit_chinchilla
from embudget.laws.table import Cell
from embudget.simulate import World, simulate

SHARED = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "freeze:0.5": Coefficients(E=1.8, A=350, a=0.35, B=270, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
APART = {
    "full": Coefficients(E=1.2, A=100, a=0.25, B=1500, b=0.55),
    "lora:32": Coefficients(E=1.8, A=2500, a=0.5, B=40, b=0.28),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")


def cells(truth: dict[str, Coefficients], noise: float = 0.0, seed: int = 0, seeds: int = 1) -> tuple[Cell, ...]:
    world = World(truth=truth, models=MODELS, noise=noise, seeds=seeds)
    return RunTable.of(simulate(world, seed)).cells


def worst_error(law: ChinchillaLaw, truth: dict[str, Coefficients]) -> float:
    """The largest relative error over the measured sizes and up to 4 times the measured tokens."""
    points = [(name, n, d) for name in truth for n in (3.5e6, 1.4e7, 4.2e7) for d in (2e5, 1e6, 4e6)]
    return max(abs(log(law.predict(*point) / truth[point[0]].loss(*point[1:]))) for point in points)


@pytest.mark.parametrize(("truth", "share"), [(SHARED, True), (SHARED, False), (APART, False), (APART, None)])
def test_noise_free_parameters_are_recovered(truth: dict[str, Coefficients], share: bool | None) -> None:
    law = fit_chinchilla(cells(truth), share=share, draws=2)
    for method, true in truth.items():
        assert law.coefficients[method].model_dump(include=set("EAaBb")) == pytest.approx(
            true.model_dump(include=set("EAaBb")), rel=0.01
        )


def test_the_prediction_is_the_equation() -> None:
    law = fit_chinchilla(cells(SHARED, noise=0.02), draws=2)
    fitted = law.coefficients["full"]
    assert law.fitted("full", 1e7, 1e6) == pytest.approx(fitted.E + fitted.A / 1e7**fitted.a + fitted.B / 1e6**fitted.b)
    one, two = (E + A / 1e7**a + B / 1e6**b for E, A, a, B, b in law.draws["full"])
    assert one != two
    assert law.predict("full", 1e7, 1e6) == pytest.approx((one * two) ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_predictions_stay_within_four_noise_levels_even_at_unmeasured_corners(seed: int) -> None:
    law = fit_chinchilla(cells(SHARED, noise=0.02, seed=seed), draws=40)
    assert worst_error(law, SHARED) < 0.08
    assert law.noise == pytest.approx(0.02, rel=0.5)


def test_the_data_choose_whether_methods_share() -> None:
    assert fit_chinchilla(cells(SHARED, noise=0.01), draws=2).shared
    assert not fit_chinchilla(cells(APART, noise=0.005), draws=2).shared


def test_a_method_with_few_cells_leans_on_the_others() -> None:
    kept = [c for c in cells(SHARED) if c.method != "lora:32" or (c.budget == 4e12 and c.model != MODELS[1])]
    assert sum(cell.method == "lora:32" for cell in kept) == 2
    law = fit_chinchilla(kept, draws=2)
    assert law.coefficients["lora:32"].model_dump(include=set("EAaBb")) == pytest.approx(
        SHARED["lora:32"].model_dump(include=set("EAaBb")), rel=0.02
    )
    with pytest.raises(TooFewRunsError, match="law of lora:32"):
        fit_chinchilla(kept, share=False, draws=2)


def test_repeated_seeds_tell_the_noise_of_one_run() -> None:
    law = fit_chinchilla(cells(SHARED, noise=0.03, seeds=4), draws=2)
    assert law.noise == pytest.approx(0.03, rel=0.25)  # not 0.015, the noise of a cell's mean


def test_the_method_with_more_seeds_is_the_surer_where_each_is_fitted_by_itself() -> None:
    truth = {"full": SHARED["full"], "lora:32": SHARED["full"]}
    repeated = [c for c in cells(truth, noise=0.03, seeds=9) if c.method == "full"]
    single = [c for c in cells(truth, noise=0.03) if c.method == "lora:32"]
    law = fit_chinchilla([*repeated, *single], share=False, draws=100)
    sure, unsure = (np.log(law.drawn(method, 1.4e7, 1e6)).std() for method in ("full", "lora:32"))
    assert unsure > 1.8 * sure  # 3 in the limit of many cells; 1 if the weights ended at the method


def test_one_diverged_run_ruins_neither_noise_nor_intervals_and_is_named() -> None:
    clean = cells(SHARED, noise=0.01, seed=2)
    worse = clean[13].model_copy(update={"loss": clean[13].loss * 1.5})
    before, after = fit_chinchilla(clean, draws=60), fit_chinchilla([*clean[:13], worse, *clean[14:]], draws=60)
    assert before.outlying == ()
    (cell,) = after.outlying
    assert (cell.model, cell.method, cell.budget) == (worse.model, worse.method, worse.budget)
    assert cell.ratio == pytest.approx(1.5, abs=0.1)
    assert after.noise < 2 * before.noise
    widths = [log(high / low) for low, high in (law.interval("full", 1.4e7, 1e6) for law in (before, after))]
    assert widths[1] < 2 * widths[0]


def test_methods_without_a_common_budget_do_not_share() -> None:
    every = cells(SHARED)
    full = [c for c in every if c.method == "full"]
    beyond = [c for c in every if c.method == "lora:32" and c.budget == 1e12]
    below = [c for c in full if c.budget > 1e12]
    with pytest.raises(FitError, match=r"full and lora:32 have no budget in common.*law of lora:32 needs at least 2"):
        fit_chinchilla([*below, *beyond], draws=2)
    tied = [c for c in every if c.method == "freeze:0.5"]
    law = fit_chinchilla([*below, *beyond, *tied], share=True, draws=2)  # freeze was measured at the budgets of both
    assert law.shared
    assert law.coefficients["lora:32"].a == pytest.approx(0.35, rel=0.02)


def test_unlinked_methods_with_enough_cells_are_fitted_apart() -> None:
    budgets = {"full": (1e12, 4e12, 1.6e13), "lora:32": (2e12, 8e12, 3.2e13)}
    records = [
        record
        for method, of_method in budgets.items()
        for record in simulate(World(truth={method: APART[method]}, models=MODELS, budgets=of_method, noise=0))
    ]
    law = fit_chinchilla(RunTable.of(records).cells, share=True, draws=2)
    assert not law.shared
    for method, true in APART.items():
        assert law.coefficients[method].model_dump(include=set("EAaBb")) == pytest.approx(
            true.model_dump(include=set("EAaBb")), rel=0.01
        )


def test_described_parameters_lie_within_their_brackets_even_where_the_fit_does_not() -> None:
    law = fit_chinchilla(cells(SHARED, noise=0.03), draws=60)
    beyond = {name: c.model_copy(update={"A": 1e9, "a": 1.9}) for name, c in law.coefficients.items()}
    text = "\n".join(law.model_copy(update={"coefficients": beyond}).describe())
    found = [tuple(map(float, values)) for values in re.findall(r"[EAaBb] (\S+) \[(\S+), (\S+)\]", text)]
    assert len(found) == 5 * len(law.methods)
    assert all(low * 0.99 <= value <= high * 1.01 for value, low, high in found)


def test_the_same_seed_gives_the_same_draws() -> None:
    noisy = cells(SHARED, noise=0.02)
    first, again, other = (fit_chinchilla(noisy, seed=seed, draws=3) for seed in (5, 5, 6))
    assert first == again
    assert first.draws != other.draws
    assert first.coefficients == other.coefficients


def test_intervals_widen_with_level_and_with_distance() -> None:
    law = fit_chinchilla(cells(SHARED, noise=0.02), draws=60)

    def width(tokens: float, level: float) -> float:
        low, high = law.interval("full", 1.4e7, tokens, level)
        assert low < law.predict("full", 1.4e7, tokens) < high
        return log(high / low)

    assert width(4e5, 0.5) < width(4e5, 0.9) < width(4e7, 0.9)
    assert width(4e5, 0.9) > 2 * 1.64 * law.noise


def test_too_few_runs_are_refused_by_what_is_missing() -> None:
    every = [cell for cell in cells(SHARED) if cell.method == "full"]
    with pytest.raises(TooFewRunsError, match="at least 2 sizes, got 1"):
        fit_chinchilla([cell for cell in every if cell.model == MODELS[0]])
    with pytest.raises(TooFewRunsError, match="at least 2 budgets, got 1"):
        fit_chinchilla([cell for cell in every if cell.budget == 4e12])
    with pytest.raises(TooFewRunsError, match=r"5 parameters and needs at least 6 cells .* got 5"):
        fit_chinchilla(every[:5])


def test_equal_losses_are_refused() -> None:
    flat = [cell.model_copy(update={"loss": 6.24}) for cell in cells(SHARED)]
    with pytest.raises(FitError, match=r"all 27 losses are equal \(6.24\)"):
        fit_chinchilla(flat)
