"""The law of the best rate: its slopes, how far it is believed, and what has no law."""

import numpy as np
import pytest

from embudget.errors import FitError, MethodError, TooFewRunsError
from embudget.laws.rates import REACH, RateLaw, fit_rate_law


def cells(sizes: int, budgets: int, span: float) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Cells of two methods whose best rates follow N^-0.7 D^0.3, five times as high with LoRA."""
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, span * 1e7, sizes), np.geomspace(1e8, 1e9, budgets)))
    methods = ["full"] * len(n) + ["lora:32"] * len(n)
    n, d = np.tile(n, 2), np.tile(d, 2)
    factor = np.where(np.arange(len(n)) < len(n) // 2, 1, 5)
    return methods, n, d, factor * 1e-3 * (n / 1e7) ** -0.7 * (d / 1e8) ** 0.3


def test_many_cells_decide_the_slopes() -> None:
    law = fit_rate_law(*cells(sizes=8, budgets=6, span=100))
    assert (law.model_params_slope, law.tokens_slope) == pytest.approx((-0.7, 0.3), abs=0.01)
    assert law.predict("lora:32", 3e7, 3e8) == pytest.approx(5 * law.predict("full", 3e7, 3e8))
    assert law.predict("full", 3e7, 3e8) == pytest.approx(1e-3 * 3**-0.7 * 3**0.3, rel=0.02)
    assert law.residual_sd == pytest.approx(0, abs=0.02)


def test_few_cells_give_nearly_one_rate() -> None:
    law = fit_rate_law(["full"] * 2, [1e7, 1.5e7], [1e8, 1e8], [1e-3, 2e-3])  # a slope of 1.7, were it believed
    assert 0 < law.model_params_slope < 0.5
    assert law.tokens_slope == 0
    assert law.predict("full", 1.2e7, 1e8) == pytest.approx(np.sqrt(2) * 1e-3, rel=0.02)


def test_a_rate_stays_within_reach_of_the_measured_ones() -> None:
    methods, n, d, rates = cells(sizes=8, budgets=6, span=100)
    law = fit_rate_law(methods, n, d, rates)
    assert law.predict("full", 1e14, 1e8) == pytest.approx(rates[: len(n) // 2].min() / REACH)
    assert law.predict("full", 1e2, 1e12) == pytest.approx(rates[: len(n) // 2].max() * REACH)
    assert [law.within_reach("full", size, 1e8) for size in (1e2, 3e7, 1e14)] == [False, True, False]


def test_the_spread_about_the_law_is_that_of_the_rates() -> None:
    methods, n, d, rates = cells(sizes=8, budgets=6, span=100)
    noise = np.random.default_rng(0).normal(0, 0.2, len(rates))
    law = fit_rate_law(methods, n, d, rates * np.exp(noise))
    assert law.residual_sd == pytest.approx(0.2, rel=0.15)
    assert law.envelopes == {"full": 48, "lora:32": 48}
    assert str(law).startswith("the rate law of 96 envelopes, spread x1.2")


def test_one_cell_gives_its_rate_everywhere_and_no_spread() -> None:
    law = fit_rate_law(["bias"], [1e7], [1e8], [4e-3])
    assert law.predict("bias", 1e9, 1e6) == pytest.approx(4e-3)
    assert law.residual_sd is None


def test_a_method_without_envelopes_has_no_rate() -> None:
    law = fit_rate_law(["full", "bias"], [1e7, 1e7], [1e8, 1e8], [1e-3, 4e-3])
    with pytest.raises(MethodError, match="lora:8 has no measured learning rates, only full, bias"):
        law.predict("lora:8", 1e7, 1e8)


def test_what_has_no_law_is_refused() -> None:
    with pytest.raises(TooFewRunsError, match="at least 1 cell, got 0"):
        fit_rate_law([], [], [], [])
    with pytest.raises(FitError, match="tokens must be positive and finite, got inf"):
        fit_rate_law(["full"], [1e7], [float("inf")], [1e-3])


def test_the_law_survives_its_file() -> None:
    law = fit_rate_law(*cells(sizes=3, budgets=2, span=10))
    assert RateLaw.model_validate_json(law.model_dump_json()) == law
