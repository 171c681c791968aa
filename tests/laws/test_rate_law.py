"""The law of the best rate: its slopes, how far it is believed, and what has no law."""

import time

import numpy as np
import pytest

from embudget.errors import ConfigError, FitError, MethodError, TooFewRunsError
from embudget.laws.rates import RateLaw, fit_rate_law
from embudget.runs.envelope import STEEP


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


def test_a_rate_far_beyond_the_measured_ones_is_the_laws_and_known_to_be_far() -> None:
    methods, n, d, rates = cells(sizes=8, budgets=6, span=100)
    law, full = fit_rate_law(methods, n, d, rates), rates[: len(n) // 2]
    low, high = law.predict("full", 1e12, 1e8), law.predict("full", 1e4, 1e8)
    assert (low, high) == pytest.approx((1e-3 * 1e5**-0.7, 1e-3 * 1e-3**-0.7), rel=0.1)
    assert law.beyond("full", low) == pytest.approx(low / full.min())
    assert law.beyond("full", high) == pytest.approx(high / full.max())
    assert law.beyond("full", float(np.median(full))) == 1


def test_a_slope_of_any_size_gives_a_finite_rate() -> None:
    law = fit_rate_law(["full"] * 2, [1e7, 1.5e7], [1e8, 1e8], [1e-3, 2e-3])
    steep = law.lines["full"].model_copy(update={"slopes": (100.0, 100.0)})
    steep_law = law.model_copy(update={"lines": {"full": steep}})
    assert np.isfinite(steep_law.predict("full", 1e30, 1e30))


def test_kinds_have_slopes_of_their_own_drawn_together() -> None:
    """True slopes of -0.7 and -0.1 in N, over 20 studies: a kind with few cells comes closer to the other one."""
    apart = {}
    for sizes, span in ((2, 3), (12, 10)):
        methods, n, d, rates = cells(sizes=sizes, budgets=2, span=span)
        rates = np.where(np.array(methods) == "lora:32", rates * (n / 1e7) ** 0.6, rates)
        laws = [
            fit_rate_law(methods, n, d, rates * np.exp(np.random.default_rng(seed).normal(0, 0.2, len(rates))))
            for seed in range(20)
        ]
        apart[sizes] = np.mean([law.slopes("lora:32")[0] - law.slopes("full")[0] for law in laws])
    assert 0.1 < apart[2] < 0.45
    assert 0.48 < apart[12] < 0.62


def test_a_measured_model_keeps_its_own_deviation_shrunk() -> None:
    """One of five models wants a rate 2.2 times that of the others, at every budget."""
    rng = np.random.default_rng(1)
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(1e8, 1e9, 6)))
    models = [f"m{size:.3g}" for size in n]
    odd = models[2]
    deviation = np.where(np.array(models) == odd, 0.8, 0.0)
    rates = 1e-3 * (n / 1e7) ** -0.3 * np.exp(deviation + rng.normal(0, 0.1, len(n)))
    law = fit_rate_law(["full"] * len(n), n, d, rates, models=models)
    own, plain = law.predict("full", n[2], 3e8, odd), law.predict("full", n[2], 3e8)
    assert 0.3 < np.log(own / plain) < 0.8
    assert law.predict("full", n[2], 3e8, "another") == plain
    assert law.error("full", n[2], 3e8, odd) < law.error("full", n[2], 3e8) / 1.5


def test_bounds_are_observations() -> None:
    """Cells of the larger half whose best rate is only known to lie below the lowest tried: as steep as it must be."""
    n = np.geomspace(1e7, 1e9, 9)
    true = 1e-3 * (n / 1e7) ** -0.7
    lowest, below = float(true[4]), n > n[4]
    rates, ends = np.where(below, lowest, true), np.where(below, -1, 0)
    tokens = np.full(9, 1e8)
    law = fit_rate_law(["full"] * 9, n, tokens, rates, ends=ends)
    without = fit_rate_law(["full"] * 9, n, tokens, rates)
    assert law.ends == {"full": 4}
    assert law.predict("full", 1e9, 1e8) < lowest / 2
    assert law.model_params_slope < without.model_params_slope - 0.2
    assert str(law).startswith("the rate law of 5 envelopes and 4 ends")


def test_standard_errors_are_those_of_the_rates() -> None:
    """Over 200 laws, 90 % of the best rates of a new cell at 8 times N lie within 1.64 standard errors."""
    rng, z = np.random.default_rng(2), []
    for _ in range(200):
        p, q = rng.normal(0, 0.46, 2)
        n, d = np.exp(rng.uniform(0, [[np.log(10)], [np.log(100)]], (2, 20)))
        log_rates = -7 + p * np.log(n) + q * np.log(d) + rng.normal(0, 0.25, 20)
        law = fit_rate_law(["full"] * 20, 1e7 * n, 1e8 * d, np.exp(log_rates))
        at, true = 8e8, -7 + p * np.log(80) + q * np.log(10) + rng.normal(0, 0.25)
        z.append((np.log(law.predict("full", at, 1e9)) - true) / float(law.error("full", at, 1e9)))
    assert 0.84 < np.mean(np.abs(z) < 1.645) < 0.96


def test_the_excess_of_a_rate_is_that_of_its_error() -> None:
    law = fit_rate_law(*cells(sizes=3, budgets=3, span=10)).model_copy(update={"curvatures": {"full": 0.03}})
    errors = np.random.default_rng(3).normal(0, float(law.error("full", 1e9, 1e9)), 100_000)
    assert law.excess("full", 1e9, 1e9) == pytest.approx(np.mean(0.03 * errors**2), rel=0.02)
    assert law.excess("lora:32", 1e9, 1e9) == 0
    assert law.excess("full", 1e30, 1e30) == STEEP, "a rate that is far off is noticed"


def test_many_cells_take_no_time() -> None:
    rng = np.random.default_rng(4)
    kinds = rng.choice(["full", "bias", "lora:8", "lora:32", "freeze:0.5"], 500).tolist()
    n, d, rates = np.exp(rng.normal([[17.0], [19.0], [-7.0]], 1.0, (3, 500)))
    models = [f"m{i}" for i in rng.integers(0, 10, 500)]
    started = time.process_time()
    fit_rate_law(kinds, n, d, rates, models=models, ends=rng.choice([-1, 0, 0, 1], 500))
    assert time.process_time() - started < 1  # 0.1 s where nothing else runs


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


def test_a_file_whose_parts_do_not_belong_together_is_refused() -> None:
    law = fit_rate_law(["full"] * 3, [1e7, 2e7, 4e7], [1e8] * 3, [1e-3, 2e-3, 1e-3])
    for wrong, message in (
        (
            {"lines": {"bias": law.lines["full"]}},
            r"lines must have the methods of intercepts \['full'\], got \['bias'\]",
        ),
        ({"members": {"bias": {"m": law.lines["full"]}}}, r"members must have methods of intercepts .*, got bias"),
        ({"curvatures": {"full": 0.0}}, "curvatures.full"),
    ):
        with pytest.raises(ConfigError, match=message):
            RateLaw.read(law.model_dump() | wrong, "laws.json")


def test_the_law_survives_its_file() -> None:
    law = fit_rate_law(*cells(sizes=3, budgets=2, span=10))
    assert RateLaw.model_validate_json(law.model_dump_json()) == law
