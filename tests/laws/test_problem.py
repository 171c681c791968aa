"""A form over cells: derivatives, bounds, and an asymptote that is given."""

from dataclasses import replace

import numpy as np
import pytest

from embudget.laws.basis import basis_of
from embudget.laws.forms import FORMS, Array, FormName
from embudget.laws.problem import EXPONENT_BOUNDS, MAX_LEVELS, START_BOUNDS, Points, Problem, log_loss_of
from tests.laws.studies import CENTRE, ONE, plain, problem

METHODS = ("full", "lora:4", "lora:16", "lora:64")


def several(form: FormName, asymptote: float | None) -> Problem:
    """Four methods with mixed coefficients, at 12 places."""
    rng = np.random.default_rng(0)
    basis = basis_of(METHODS)
    return Problem(
        FORMS[form], rng.normal(0, 1.5, 12), rng.normal(0, 2, 12), np.array([basis[METHODS[i % 4]] for i in range(12)]),
        np.log(rng.uniform(2, 5, 12)), np.ones(12), asymptote, np.log(rng.uniform(1, 6, 12)),
    )  # fmt: skip


def some_vectors(of: Problem) -> Array:
    return np.random.default_rng(1).normal(-0.7, 0.4, (3, of.parameters))


@pytest.mark.parametrize("asymptote", [None, 1.3])
@pytest.mark.parametrize("form", list(FORMS))
def test_the_derivatives_of_the_log_loss_are_those_of_finite_differences(
    form: FormName, asymptote: float | None
) -> None:
    of, step = several(form, asymptote), 1e-6
    assert of.parameters == of.free + len(of.form.exponents) + 4 * len(of.form.coefficients)
    vectors = some_vectors(of)
    log_loss, jacobian = of.linearise(vectors)
    assert log_loss == pytest.approx(of.predict(vectors))
    assert jacobian.shape == (3, of.parameters, 12)
    for place in range(of.parameters):
        move = step * np.eye(of.parameters)[place]
        numeric = (of.predict(vectors + move) - of.predict(vectors - move)) / (2 * step)
        assert jacobian[:, place] == pytest.approx(numeric, abs=1e-7)


def test_many_vectors_are_one_vector_many_times() -> None:
    of = several("rectified", None)
    vectors = some_vectors(of)
    whole, jacobian = of.linearise(vectors)
    for row, vector in enumerate(vectors):
        one, of_one = of.linearise(vector[None])
        assert np.array_equal(one[0], whole[row]) or one[0] == pytest.approx(whole[row], rel=1e-14)
        assert of_one[0] == pytest.approx(jacobian[row], rel=1e-12)


@pytest.mark.parametrize("form", list(FORMS))
def test_the_true_parameters_give_the_measured_losses(form: FormName) -> None:
    of, truth = problem(form), plain(ONE[form])
    raw = {name: np.array([[value]]) for name, value in truth.items() if name != "E"}
    exponents, coefficients = FORMS[form].from_raw(raw)
    centred = FORMS[form].from_raw(FORMS[form].to_raw(exponents, coefficients, -CENTRE[0], -CENTRE[1]))
    vector = of.join(truth["E"], *(np.array([value[0, 0] for value in values]) for values in centred))
    assert of.predict(vector[None])[0] == pytest.approx(of.log_loss)


def test_a_joined_vector_lies_within_the_bounds() -> None:
    of = problem("rectified")
    low, high = np.exp(of.bounds)
    least = np.exp(of.log_loss.min())
    assert high[0] == pytest.approx(least)  # E is at most the lowest loss
    assert (low[1], high[1]) == pytest.approx(EXPONENT_BOUNDS)
    assert (low[3], high[3]) == pytest.approx(START_BOUNDS)
    beyond = np.exp(of.join(2 * least, np.array([5.0, 0.3, 0.0]), np.array([0.0, 1e9])))
    assert beyond == pytest.approx([high[0], high[1], 0.3, low[3], low[4], high[5]])


def test_a_given_asymptote_is_no_parameter() -> None:
    free, given = problem("chinchilla"), problem("chinchilla", asymptote=1.8)
    assert (free.free, given.free, given.parameters) == (1, 0, free.parameters - 1)
    exponents, coefficients = np.array([0.3, 0.4]), np.array([0.5, 0.7])
    with_it = free.join(1.8, exponents, coefficients)
    without = given.join(99.0, exponents, coefficients)  # ignored
    assert np.array_equal(with_it[1:], without)
    assert given.predict(without[None]) == pytest.approx(free.predict(with_it[None]))
    assert np.exp(given.predict(np.full((1, 4), -9.0))).min() > 1.8


def test_new_places_are_predicted_by_the_same_equation() -> None:
    of = problem("chinchilla")
    vector = of.join(1.8, np.array([0.3, 0.4]), np.array([0.5, 0.7]))
    found = log_loss_of(of.form, vector[None], np.ones((1, 1)), np.array([1.0]), np.array([2.0]), None)
    assert np.exp(found[0, 0]) == pytest.approx(1.8 + 0.5 * np.exp(-0.3) + 0.7 * np.exp(-0.8))


def test_mixed_methods_have_mixed_coefficients() -> None:
    of = several("chinchilla", 1.3)
    one_place = replace(of, log_n=np.zeros(12), log_d=np.zeros(12))
    vector = one_place.join(0, np.array([0.3, 0.4]), np.array([0.1, 0.2, 0.4, 0.8, 0.1, 0.1, 0.1, 0.1]))
    above = np.exp(one_place.predict(vector[None])[0]) - 1.3 - 0.1
    assert above[0] == pytest.approx(0.1)  # full
    assert above[1] == pytest.approx(0.2)  # lora:4, an end
    assert above[2] == pytest.approx(0.25 * 0.2 + 0.5 * 0.4 + 0.25 * 0.8)  # lora:16, half way to 64
    assert above[3] == pytest.approx(0.8)


def test_many_budgets_are_put_together_even_where_nearly_all_cells_are_at_the_smallest() -> None:
    def levels(budgets: np.ndarray) -> np.ndarray:
        one = np.ones(len(budgets))
        full, nowhere = np.full(len(one), "full"), np.full(len(one), "")
        points = Points(full, budgets, one, one, one, one, one, one, np.arange(len(one)), nowhere, one * np.nan)
        return np.unique(points.levels)

    assert len(levels(np.geomspace(1e12, 1e14, 300))) == MAX_LEVELS
    assert levels(np.geomspace(1e12, 1e14, 5)).tolist() == [0, 1, 2, 3, 4]
    assert len(levels(np.concatenate([np.full(400, 1e12), np.geomspace(2e12, 1e14, 20)]))) == 2
