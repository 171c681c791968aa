"""Prediction and interval."""

from math import exp, log

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import norm
from scipy.stats import t as student

from embudget.laws import FormName, Surface
from embudget.laws.components import Branch, Component
from embudget.laws.ensemble import surfaces_of
from embudget.laws.surface import BETWEEN_KINDS
from embudget.laws.uncertainty import INFLATION
from embudget.laws.weights import LEAST_SHARE, draws_of, rank
from tests.laws.studies import SHARED, points

PLACES = (["full", "lora:32", "full"], np.array([3e6, 1.4e7, 1e8]), np.array([4e5, 1e6, 4e7]))


def fitted(*forms: FormName, draws: int, seed: int = 0, asymptote: float | None = None) -> Surface:
    """The surface of a study of three methods."""
    measured = points(SHARED, 0.02)
    drawn = draws_of(rank(measured, forms, asymptote), draws)
    (found,) = surfaces_of(measured, drawn, asymptote, np.random.default_rng(seed)).values()
    return found


@pytest.fixture(scope="module")
def surface() -> Surface:
    """Two forms, of three methods."""
    return fitted("chinchilla", "rectified", draws=60)


def made(draws: np.ndarray, **values: object) -> Surface:
    """E + A + B = exp of each draw everywhere: nothing depends on N or D. The fit is exp(0)."""
    bent = tuple(tuple(map(float, (log(0.5) + one, 0.0, 0.0, log(0.25) + one, log(0.25) + one))) for one in draws)
    branch = Branch(
        basis={"full": (1.0,)}, centre_n=0, centre_d=0, fit=(log(0.5), 0, 0, log(0.25), log(0.25)), draws=bent
    )
    component = Component(form="chinchilla", sharing="shared", weight=1, branches=(branch,))
    reach = {"full": {"product": (0.01, 1.0), "model_params": (1.0, 1.0), "tokens": (0.01, 1.0)}}
    base = {"noise": 0.0, "freedom": 4.0, "discrepancy": 0.0, "step": 4.0, "reach": reach}
    return Surface.model_validate({"components": (component,), **base, **values})


def half(surface: Surface, tokens: float = 1.0, level: float = 0.9, **of: str) -> float:
    low, high = surface.interval("full", 1.0, tokens, level, **of)  # type: ignore[arg-type]
    return log(high / low) / 2


def test_the_interval_is_its_formula() -> None:
    draws = 0.02 * np.random.default_rng(0).standard_normal(4000)
    quantile = float(student.ppf(0.95, 4))
    spread = quantile * INFLATION * 0.02
    assert half(made(draws - draws.mean())) == pytest.approx(spread, rel=0.05)
    assert half(made(np.zeros(10), noise=0.01)) == pytest.approx(quantile * 0.01)
    assert half(made(np.zeros(10), noise=0.01), of="law") == pytest.approx(0, abs=1e-12)
    assert half(made(np.full(10, 0.04), noise=0.03)) == pytest.approx(quantile * 0.05)  # draws off the fit
    every = made(draws - draws.mean() - 0.04, noise=0.03)
    assert half(every) == pytest.approx(np.hypot(spread, quantile * 0.05), rel=0.05)
    assert half(made(np.zeros(10), noise=0.01, freedom=1e6)) == pytest.approx(1.645 * 0.01, rel=1e-3)


def test_what_no_form_explains_grows_with_the_root_of_the_distance_from_the_measured_range() -> None:
    law = made(np.zeros(10), discrepancy=0.01, noise=0.0)
    quantile = float(student.ppf(0.95, 4))
    assert half(law, tokens=0.5) == pytest.approx(0, abs=1e-12)  # N D inside 0.01 to 1
    assert half(law, tokens=exp(1)) == pytest.approx(quantile * 0.01)
    assert half(law, tokens=exp(9)) == pytest.approx(quantile * 0.03)
    assert half(law, tokens=0.01 * exp(-4)) == pytest.approx(quantile * 0.02)


def test_the_prediction_is_the_geometric_mean_of_the_draws_and_lies_in_its_interval(surface: Surface) -> None:
    drawn = surface.log_draws(*PLACES)
    assert drawn.shape == (60, 3)
    for place, (method, size, tokens) in enumerate(zip(*PLACES, strict=True)):
        predicted = surface.predict(method, size, tokens)
        assert predicted == pytest.approx(exp(drawn[:, place].mean()))
        low, high = surface.interval(method, size, tokens)
        assert low < predicted < high
    assert surface.coefficients("full").loss(3e6, 4e5) == pytest.approx(SHARED["full"].loss(3e6, 4e5), rel=0.05)


def test_many_choices_at_once_are_as_one_at_a_time(surface: Surface) -> None:
    lows, highs = surface.intervals(*PLACES)
    for place, choice in enumerate(zip(*PLACES, strict=True)):
        assert surface.interval(*choice) == pytest.approx((lows[place], highs[place]), rel=1e-12)
        alone = surface.log_draws([choice[0]], np.array([choice[1]]), np.array([choice[2]]))
        assert alone[:, 0] == pytest.approx(surface.log_draws(*PLACES)[:, place], rel=1e-12)
    assert surface.log_draws([], np.array([]), np.array([])).shape == (60, 0)


def test_intervals_widen_with_level_and_with_distance_and_are_wider_for_a_run(surface: Surface) -> None:
    def width(tokens: float, level: float = 0.9, **of: str) -> float:
        low, high = surface.interval("full", 1.4e7, tokens, level, **of)  # type: ignore[arg-type]
        return log(high / low)

    assert width(4e5, 0.5) < width(4e5, 0.9) < width(4e7, 0.9)
    assert width(4e5, of="law") < width(4e5, of="run")
    assert width(4e5) > 2 * 1.64 * surface.noise


def test_draws_are_dealt_to_the_forms_by_their_weights(surface: Surface) -> None:
    counts = {(one.form, one.sharing): len(one.branches[0].draws) for one in surface.components}
    assert sum(counts.values()) == 60
    assert all(one.weight >= LEAST_SHARE for one in surface.components)
    assert [one.weight for one in surface.components] == sorted((o.weight for o in surface.components), reverse=True)
    for one in surface.components[1:]:
        assert counts[one.form, one.sharing] == round(60 * one.weight)


def test_coefficients_are_the_law_that_is_fitted(surface: Surface) -> None:
    first = surface.components[0]
    law = surface.coefficients("lora:32")
    assert law.form == first.form
    logs = first.log_losses(["lora:32"], np.log([1e7]), np.log([1e6]), None)
    assert law.loss(1e7, 1e6) == pytest.approx(exp(logs[0, 0]))
    raw = first.coefficients("lora:32", None)
    A, a, B, b, E = (raw[name][1:] for name in ("A", "a", "B", "b", "E"))
    D0 = raw["D0"][1:] if "D0" in raw else 0.0
    assert E + A / 1e7**a + B / (D0**b + 1e6**b) == pytest.approx(np.exp(logs[1:, 0]))


def test_a_surface_survives_json(surface: Surface) -> None:
    again = Surface.model_validate_json(surface.model_dump_json())
    assert again == surface
    assert np.array_equal(again.log_draws(*PLACES), surface.log_draws(*PLACES))
    assert again.interval("full", 1e7, 1e6) == surface.interval("full", 1e7, 1e6)


def test_the_same_seed_gives_the_same_draws() -> None:
    first, again, other = (fitted("chinchilla", draws=3, seed=seed) for seed in (5, 5, 6))
    assert first == again
    assert not np.allclose(first.log_draws(*PLACES), other.log_draws(*PLACES), rtol=1e-6)
    assert first.coefficients("full") == other.coefficients("full")


def test_a_known_asymptote_is_in_every_draw() -> None:
    known = fitted("chinchilla", draws=10, asymptote=1.8)
    assert known.asymptote == 1.8
    for component in known.components:
        logs = component.log_losses(["full"], np.log([1e40]), np.log([1e60]), 1.8)
        assert np.exp(logs) == pytest.approx(np.full(logs.shape, 1.8), rel=1e-3)
    assert known.coefficients("full").E == 1.8


def test_a_surface_without_components_is_refused() -> None:
    with pytest.raises(ValidationError, match="components"):
        made(np.zeros(2), components=())


def test_the_draws_that_choices_are_compared_by_are_as_wide_as_the_interval() -> None:
    """Without the discrepancy, which is there where kinds of method are compared, and in the interval."""
    law = made(0.02 * norm.ppf((np.arange(400) + 0.5) / 400), discrepancy=0.03)
    logs = law.log_draws(["full", "full"], np.ones(2), np.array([0.5, 16.0]))
    low, high = law.interval("full", 1.0, 0.5, of="law")
    assert np.exp(np.quantile(logs[:, 0], (0.05, 0.95))) == pytest.approx([low, high], rel=1e-3)
    assert np.exp(logs[:, 0].mean()) == pytest.approx(law.predict("full", 1.0, 0.5))
    gaps, mean, times = np.zeros((100, 2)), np.zeros(2), np.array([1.0, exp(4)])
    wide = law.with_discrepancy(gaps, mean, times)
    assert np.array_equal(wide[:, 0], gaps[:, 0])
    scale = student.ppf(0.95, 4) / norm.ppf(0.95)
    assert wide[:, 1].std() == pytest.approx(BETWEEN_KINDS * 2 * 0.03 * scale, rel=0.02), "where all draws are the same"
