"""The usual fit from a grid of starts."""

import numpy as np
import pytest

from embudget.laws import lbfgs
from embudget.laws.lbfgs import DELTA, search_from_starts
from embudget.laws.levenberg import Objective, gradient_of, refine
from embudget.laws.parameters import FORMS, FormName
from embudget.laws.varpro import projected_starts
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


def test_a_dense_grid_has_more_starts_and_ends_no_higher() -> None:
    of = problem("multiplicative", noise=0.02)
    coarse, dense = search_from_starts(of), search_from_starts(of, dense=True)
    assert dense.starts > 4 * coarse.starts
    assert dense.objective <= coarse.objective * (1 + 1e-6)
    low, high = of.bounds
    assert ((dense.vector >= low) & (dense.vector <= high)).all()
    assert np.isfinite(dense.vector).all()
