"""The usual fit from a grid of starts."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from embudget.laws.lbfgs import DELTA, search_from_starts

from embudget.laws import lbfgs
from embudget.laws.forms import FORMS, FormName
from embudget.laws.solve import Objective, gradient_of, projected_starts, refine
from tests.laws.studies import ONE, law_of, plain, problem


@pytest.mark.parametrize("asymptote", [None, 1.8])
@pytest.mark.parametrize("form", ["chinchilla", "multiplicative"])
def test_the_truth_is_recovered(form: FormName, asymptote: float | None) -> None:
    found = search_from_starts(problem(form, asymptote=asymptote))
    assert law_of(form, found.vector, asymptote) == pytest.approx(plain(ONE[form]), rel=0.01)


@pytest.mark.parametrize("form", list(FORMS))
def test_the_best_start_is_as_good_as_the_other_fit(form: FormName) -> None:
    of = problem(form, noise=0.02)
    found = search_from_starts(of)
    _, values = refine(of, projected_starts(of), Objective(delta=DELTA))
    assert found.objective < 1.01 * values.min()
    assert found.objective == pytest.approx(gradient_of(of, found.vector, Objective(delta=DELTA))[0])


def test_the_search_says_how_many_starts_reached_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    of = problem("chinchilla", noise=0.02)
    found = search_from_starts(of)
    assert (found.starts, found.reached) == (24, 24)  # in centred logarithms the start does not matter
    monkeypatch.setattr(lbfgs, "SAME", 1e-16)  # to the last digit it does
    assert 1 <= search_from_starts(of).reached < 24


@pytest.mark.parametrize(
    ("form", "asymptote", "coarse", "dense"),
    [
        ("chinchilla", None, 24, 300),
        ("chinchilla", 1.8, 12, 75),
        ("multiplicative", None, 8, 100),
        ("multiplicative", 1.8, 4, 25),
    ],
)
def test_starts_are_as_many_as_said_and_no_two_are_equal(
    monkeypatch: pytest.MonkeyPatch, form: FormName, asymptote: float | None, coarse: int, dense: int
) -> None:
    starts: list[np.ndarray] = []

    def noted(_value: object, start: np.ndarray, **_options: object) -> SimpleNamespace:
        starts.append(start)
        return SimpleNamespace(x=start, fun=1.0)

    monkeypatch.setattr(lbfgs, "minimize", noted)
    of = problem(form, noise=0.02, asymptote=asymptote)
    for grid in (False, True):
        starts.clear()
        assert search_from_starts(of, dense=grid).starts == len(starts) == (dense if grid else coarse)
        assert len(np.unique(starts, axis=0)) == len(starts)


@pytest.mark.parametrize("form", ["chinchilla", "multiplicative"])
@pytest.mark.parametrize("asymptote", [None, 1.8])
def test_every_start_has_the_typical_loss_at_the_centre(
    monkeypatch: pytest.MonkeyPatch, form: FormName, asymptote: float | None
) -> None:
    of = problem(form, noise=0.02, asymptote=asymptote)
    centre = replace(of, log_n=np.zeros(1), log_d=np.zeros(1), basis=np.ones((1, 1)))

    def checked(_value: object, start: np.ndarray, **_options: object) -> SimpleNamespace:
        assert centre.predict(start[None])[0, 0] == pytest.approx(of.log_loss.mean())
        return SimpleNamespace(x=start, fun=1.0)

    monkeypatch.setattr(lbfgs, "minimize", checked)
    search_from_starts(of)


def test_a_dense_grid_ends_no_higher() -> None:
    of = problem("multiplicative", noise=0.02, asymptote=1.8)
    coarse, dense = search_from_starts(of), search_from_starts(of, dense=True)
    assert dense.objective <= coarse.objective * (1 + 1e-6)
    low, high = of.bounds
    assert ((dense.vector >= low) & (dense.vector <= high)).all()
    assert np.isfinite(dense.vector).all()
