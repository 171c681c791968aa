"""The contract that every form of law fulfils, and what is special to some."""

from math import exp

import numpy as np
import pytest
from pydantic import ValidationError

from embudget.errors import ConfigError
from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import FORMS, Array, DenseRetrieval, Form, FormName, Rectified, Values

NAMES = tuple(FORMS)
RAW = {
    "tied": {"A": 300.0, "a": 0.35, "B": 250.0, "b": 0.35},
    "chinchilla": {"A": 300.0, "a": 0.35, "B": 250.0, "b": 0.42},
    "multiplicative": {"A": 5e4, "a": 0.3, "b": 0.4},
    "rectified": {"A": 300.0, "a": 0.35, "B": 250.0, "b": 0.42, "D0": 2e5},
    "dense_retrieval": {"A": 2e7, "a": 0.35, "B": 1e6, "b": 0.42},
    "zero_shot": {"A": 300.0, "a": 0.35, "b": 0.42, "D0": 2e5},
    "zero_shot_level": {"A": 300.0, "a": 0.35, "B": 250.0, "b": 0.42},
}
E, START = 1.8, 5.5
"""Asymptote, and the zero-shot loss at which one of the forms begins."""


def published(form: FormName, N: float, D: float, v: dict[str, float]) -> float:
    """The loss above the asymptote as the sources print it, without logarithms."""
    found: float
    match form:
        case "tied":
            found = v["A"] / N ** v["a"] + v["B"] / D ** v["a"]
        case "chinchilla":
            found = v["A"] / N ** v["a"] + v["B"] / D ** v["b"]
        case "multiplicative":
            found = v["A"] / (N ** v["a"] * D ** v["b"])
        case "rectified":
            found = v["A"] / N ** v["a"] + v["B"] / (v["D0"] ** v["b"] + D ** v["b"])
        case "dense_retrieval":
            found = ((v["A"] / N) ** (v["a"] / v["b"]) + v["B"] / D) ** v["b"]
        case "zero_shot":
            floor = v["A"] / N ** v["a"]
            found = floor + (START - E - floor) / (1 + (D / v["D0"]) ** v["b"])
        case "zero_shot_level":
            floor = v["A"] / N ** v["a"]
            found = floor + v["B"] / (v["B"] / (START - E - floor) + D ** v["b"])
    return found


def loss(form: Form, exponents: Values, coefficients: Values, log_n: Array, log_d: Array) -> Array:
    return form.loss(np.array([[E]]), exponents, coefficients, log_n, log_d, np.log([START]))


def columns(form: Form, values: dict[str, list[float]]) -> tuple[Values, Values]:
    """Exponents and coefficients (R, 1) each."""
    return (
        tuple(np.array(values[name])[:, None] for name in form.exponents),
        tuple(np.array(values[name])[:, None] for name in form.coefficients),
    )


def places() -> tuple[Array, Array]:
    """Log N and log D about their means (9,)."""
    log_n, log_d = np.meshgrid(np.linspace(-2, 2, 3), np.linspace(-3, 3, 3))
    return log_n.ravel(), log_d.ravel()


CENTRED = {"a": [0.3, 0.7], "b": [0.5, 0.2], "D0": [0.05, 2.0], "A": [1.3, 0.4], "B": [0.8, 1.7]}


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_finite_differences(name: FormName) -> None:
    form, (log_n, log_d), step = FORMS[name], places(), 1e-6

    def moved(what: str, factor: float) -> Array:
        return loss(form, *columns(form, CENTRED | {what: [v * factor for v in CENTRED[what]]}), log_n, log_d)

    def at(asymptote: float) -> Array:
        return form.loss(np.array([[asymptote]]), *columns(form, CENTRED), log_n, log_d, np.log([START]))

    found, by_asymptote, by_exponents, by_coefficients = form.gradient(
        np.array([[E]]), *columns(form, CENTRED), log_n, log_d, np.log([START])
    )
    assert found == pytest.approx(at(E))
    assert np.broadcast_to(by_asymptote, found.shape) == pytest.approx((at(E + step) - at(E - step)) / (2 * step))
    assert (len(by_exponents), len(by_coefficients)) == (len(form.exponents), len(form.coefficients))
    for what, derivative in zip(form.exponents, by_exponents, strict=True):
        numeric = (moved(what, exp(step)) - moved(what, exp(-step))) / (2 * step)
        assert derivative == pytest.approx(numeric, abs=1e-7), what
    for what, derivative in zip(form.coefficients, by_coefficients, strict=True):
        numeric = (moved(what, exp(step)) - moved(what, exp(-step))) / (2 * step * np.array(CENTRED[what])[:, None])
        assert derivative == pytest.approx(numeric, abs=1e-7), what


@pytest.mark.parametrize("name", NAMES)
def test_linear_means_linear_in_the_coefficients(name: FormName) -> None:
    form, at = FORMS[name], places()
    exponents, coefficients = columns(form, CENTRED)
    others = tuple(np.flipud(c) for c in coefficients)
    both = loss(form, exponents, tuple(c + o for c, o in zip(coefficients, others, strict=True)), *at) + E
    apart = loss(form, exponents, coefficients, *at) + loss(form, exponents, others, *at)
    assert np.allclose(both, apart) == form.linear


@pytest.mark.parametrize("name", NAMES)
def test_a_law_is_its_published_equation_and_centring_does_not_change_it(name: FormName) -> None:
    form, raw = FORMS[name], RAW[name]
    law = Coefficients.model_validate({"form": name, "E": 1.8, **raw})
    centre_n, centre_d = np.log(1e7), np.log(1e6)
    exponents, coefficients = form.from_raw({what: np.array([[value]]) for what, value in raw.items()})
    moves = form.to_raw(exponents, coefficients, -centre_n, -centre_d)  # N and D in units of the centre
    centred = form.from_raw(moves)
    back = form.to_raw(*centred, centre_n, centre_d)
    assert {what: float(value[0, 0]) for what, value in back.items()} == pytest.approx(raw)
    for N, D in ((3e6, 1e5), (1e7, 1e6), (1e8, 3e7)):
        expected = published(name, N, D, raw)
        assert law.loss(N, D, START) == pytest.approx(E + expected)
        at = np.log([N]) - centre_n, np.log([D]) - centre_d
        assert loss(form, *centred, *at)[0, 0] == pytest.approx(E + expected)


@pytest.mark.parametrize("name", NAMES)
def test_more_of_anything_never_hurts(name: FormName) -> None:
    law = Coefficients.model_validate({"form": name, "E": 1.8, **RAW[name]})
    assert law.loss(1e7, 1e6, START) > law.loss(2e7, 1e6, START) > 1.8
    assert law.loss(1e7, 1e6, START) > law.loss(1e7, 2e6, START) > 1.8


def test_the_rectified_form_knows_what_a_model_does_without_data() -> None:
    law = Coefficients.model_validate({"form": "rectified", "E": 1.8, **RAW["rectified"]})
    assert law.loss(1e7, 0) == pytest.approx(1.8 + 300 / 1e7**0.35 + 250 / 2e5**0.42)
    form = Rectified()
    g, by_exponents, by_coefficients = form.derivatives(*columns(form, CENTRED), np.zeros(1), np.array([-np.inf]))
    assert all(np.isfinite(derivative).all() for derivative in (g, *by_exponents, *by_coefficients))
    start, b = CENTRED["D0"], CENTRED["b"]
    assert by_coefficients[1][:, 0] == pytest.approx([d0**-power for d0, power in zip(start, b, strict=True)])


def test_the_zero_shot_form_begins_at_the_zero_shot_loss_whatever_the_size() -> None:
    law = Coefficients.model_validate({"form": "zero_shot", "E": E, **RAW["zero_shot"]})
    for size, start in ((1e6, 5.8), (1e7, 3.1), (1e8, 1.2)):  # the last one below its floor, so that training harms it
        floor = E + 300 / size**0.35
        assert law.loss(size, 0, start) == pytest.approx(start)
        assert law.loss(size, 2e5, start) == pytest.approx((floor + start) / 2)
        assert law.loss(size, 1e30, start) == pytest.approx(floor, rel=1e-6)
    with pytest.raises(ConfigError, match="zero_shot_loss must be given"):
        law.loss(1e7, 1e6)
    with pytest.raises(ConfigError, match="zero_shot_loss must be finite and > 0, got -1"):
        law.loss(1e7, 1e6, -1)
    level = Coefficients.model_validate({"form": "zero_shot_level", "E": E, **RAW["zero_shot_level"]})
    for size, start in ((1e6, 5.8), (1e7, 3.1), (1e8, 1.2)):
        floor = E + 300 / size**0.35
        assert level.loss(size, 0, start) == pytest.approx(start)
        assert level.loss(size, 1e15, start) - floor == pytest.approx(
            np.sign(start - floor) * 250 / 1e15**0.42, rel=0.01
        )
    nothing = np.zeros(1), np.array([-np.inf]), np.log([START])
    for form in (FORMS["zero_shot"], FORMS["zero_shot_level"]):
        found, by_asymptote, by_exponents, by_coefficients = form.gradient(
            np.array([[E]]), *columns(form, CENTRED), *nothing
        )
        assert found == pytest.approx(START)
        assert all(np.array_equal(one, np.zeros_like(one)) for one in (by_asymptote, *by_exponents, *by_coefficients))


def test_with_one_way_for_all_the_zero_shot_form_is_the_rectified_one() -> None:
    start = Coefficients.model_validate({"form": "rectified", "E": E, **RAW["rectified"]})
    other = Coefficients.model_validate({"form": "zero_shot", "E": E, **RAW["zero_shot"]})
    level = Coefficients.model_validate({"form": "zero_shot_level", "E": E, **RAW["zero_shot_level"]})
    for size in (1e6, 1e8):
        assert level.loss(size, 3e6, start.loss(size, 0)) == pytest.approx(start.loss(size, 3e6))
        assert other.loss(size, 3e6, start.loss(size, 0)) == pytest.approx(start.loss(size, 3e6))


def test_without_a_start_the_rectified_form_is_the_one_of_chinchilla() -> None:
    plain = Coefficients.model_validate({"E": 1.8, **RAW["chinchilla"]})
    start = Coefficients.model_validate({"form": "rectified", "E": 1.8, **RAW["chinchilla"], "D0": 1e-30})
    assert start.loss(1e7, 1e6) == pytest.approx(plain.loss(1e7, 1e6), rel=1e-9)


def test_a_small_exponent_does_not_overflow_the_dense_retrieval_form() -> None:
    form, small = DenseRetrieval(), CENTRED | {"a": [0.03, 2.0], "b": [0.03, 0.03], "A": [1e3, 1e-3]}
    log_n, log_d = places()
    g, by_exponents, by_coefficients = form.derivatives(*columns(form, small), 5 * log_n, 5 * log_d)
    assert all(np.isfinite(derivative).all() for derivative in (g, *by_exponents, *by_coefficients))
    larger = np.maximum(1e3 * np.exp(-0.03 * 5 * log_n), 0.8 * np.exp(-0.03 * 5 * log_d))
    assert g[0] == pytest.approx(larger, rel=1e-6)  # at a small b the larger term decides


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"form": "chinchilla", "E": 1, "A": 1, "a": 0.3, "b": 0.3}, "the chinchilla form needs B"),
        ({"form": "multiplicative", "E": 1, "A": 1, "a": 0.3, "B": 1, "b": 0.3}, "the multiplicative form has no B"),
        ({"form": "rectified", "E": 1, "A": 1, "a": 0.3, "B": 1, "b": 0.3}, "the rectified form needs D0"),
        ({"form": "chinchilla", "E": 1, "A": 1, "a": 0.3, "B": 1, "b": 0.3, "D0": 9}, "the chinchilla form has no D0"),
        ({"form": "linear", "E": 1, "A": 1, "a": 0.3, "B": 1, "b": 0.3}, "'chinchilla', 'multiplicative'"),
        ({"E": -1, "A": 1, "a": 0.3, "B": 1, "b": 0.3}, "E\n"),
        ({"E": 1, "A": 1, "a": 0, "B": 1, "b": 0.3}, "a\n"),
    ],
)
def test_coefficients_that_are_no_law_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Coefficients.model_validate(values)
