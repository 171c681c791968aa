"""Which form of law, by forecasts of the largest budgets."""

from dataclasses import replace

import numpy as np
import pytest

from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import FORMS, FormName
from embudget.laws.misfit import winsorised
from embudget.laws.problem import Points
from embudget.laws.sharing import fit_jointly, parameters_of
from embudget.laws.weights import rank
from tests.laws.studies import APART, BUDGETS, MODELS, ONE, SHARED, WIDE, cells, points

ALL = tuple(name for name, form in FORMS.items() if name != "tied" and not form.by_member)
"""Without the one for cells too few for these, and the one that needs zero-shot losses."""


@pytest.mark.parametrize("form", ALL)
def test_the_form_that_made_the_data_wins(form: FormName) -> None:
    found = rank(points({"full": ONE[form]}, noise=0.002, wide=True), ALL)
    assert len(found) == 4
    assert sum(one.weight for one in found) == pytest.approx(1)
    assert max(found, key=lambda one: one.weight).fit.form.name == form
    assert found[0].fit.form.name in ({form, "rectified"} if form == "chinchilla" else {form})  # D0 = 0 is the same law
    assert [one.forecast for one in found] == sorted(one.forecast or 0 for one in found)


@pytest.mark.parametrize(("truth", "sharing"), [(SHARED, "shared"), (APART, "pooled")])
def test_the_data_choose_whether_methods_share(truth: dict[str, Coefficients], sharing: str) -> None:
    found = rank(points(truth, noise=0.005, wide=True), ["chinchilla"])
    assert {one.fit.sharing for one in found} == {"shared", "pooled"}
    assert max(found, key=lambda one: one.weight).fit.sharing == sharing
    assert sum(one.weight for one in found) == pytest.approx(1)


def test_one_kind_of_method_has_nothing_to_share_with() -> None:
    found = rank(points({"lora:8": SHARED["full"], "lora:32": SHARED["lora:32"]}, noise=0.01), ["chinchilla"])
    assert [one.fit.sharing for one in found] == ["shared"]


def test_two_budgets_allow_no_forecast() -> None:
    measured = cells({"full": ONE["chinchilla"]}, noise=0.005, models=WIDE, budgets=BUDGETS[:2])
    found = rank(Points.of(measured), ["chinchilla", "multiplicative"])
    assert [one.forecast for one in found] == [None, None]
    assert sum(one.weight for one in found) == pytest.approx(1)  # by the criterion alone
    assert found[0].weight >= found[1].weight


def test_a_form_without_a_forecast_is_not_the_best_one() -> None:
    """Rectified has as many parameters as there are cells below the largest of three budgets."""
    found = rank(points({"full": ONE["chinchilla"]}, noise=0.01), ALL)
    assert [one.fit.form.name for one in found if one.forecast is None] == ["rectified"]
    assert found[-1].fit.form.name == "rectified"


def test_a_forecast_uses_only_smaller_budgets() -> None:
    """A change at the last budget changes its errors one to one, and leaves what the law below it says."""
    measured = points({"full": ONE["chinchilla"]}, noise=0.005)
    last = measured.budget == measured.budget.max()
    (before,) = rank(measured, ["chinchilla"])
    changed = replace(measured, log_loss=measured.log_loss + np.where(last, 0.3, 0.0))
    (after,) = rank(changed, ["chinchilla"])
    below = measured.where(~last)
    fit = fit_jointly(FORMS["chinchilla"], below, "shared")
    at = measured.where(last)
    errors = at.log_loss - fit.predict(at.method, at.log_n, at.log_d)
    assert before.forecast == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-6)
    assert after.forecast == pytest.approx(float(np.sqrt(((errors + 0.3) ** 2).mean())), rel=1e-6)


def test_a_kind_that_was_not_measured_at_the_largest_budget_does_no_harm() -> None:
    measured = [
        c for c in cells(SHARED, 0.01, models=WIDE, budgets=BUDGETS) if c.method != "lora:32" or c.budget < 3e12
    ]
    found = rank(Points.of(measured), ["chinchilla"])
    assert all(one.forecast is not None and one.forecast < 0.1 for one in found)


def test_as_many_cells_as_parameters_give_all_weight_to_the_first_form() -> None:
    measured = cells({"full": ONE["chinchilla"]}, noise=0.01, models=MODELS, budgets=BUDGETS[:2])
    found = rank(Points.of(measured), ["chinchilla", "dense_retrieval", "multiplicative"])
    assert len(measured) == 6
    assert all(not np.isfinite(one.criterion) for one in found)
    assert [(one.fit.form.name, one.weight) for one in found if one.weight > 0] == [("chinchilla", 1.0)]


@pytest.mark.parametrize(("form", "one", "three"), [("chinchilla", 5, 9), ("multiplicative", 4, 6),
                                                     ("rectified", 6, 10), ("dense_retrieval", 5, 9)])  # fmt: skip
def test_parameters_are_counted(form: FormName, one: int, three: int) -> None:
    assert parameters_of(form, points({"full": ONE["chinchilla"]})) == one
    assert parameters_of(form, points(SHARED)) == three


def test_forms_are_compared_by_the_same_forecasts() -> None:
    """3 sizes x 4 budgets: the 6 cells below the third budget are too few for the 6 parameters of rectified."""
    few = Points.of(cells({"full": SHARED["full"]}, 0.01, seed=4, budgets=BUDGETS))
    assert len(few) == 12
    found = {one.fit.form.name: one for one in rank(few, ("chinchilla", "rectified"))}
    last = few.where(few.levels < 3), few.where(few.levels == 3)
    for name, one in found.items():
        fit = fit_jointly(FORMS[name], last[0], "shared")
        missed = last[1].log_loss - fit.predict(last[1].method, last[1].log_n, last[1].log_d)
        errors = winsorised(missed, last[1].weights)
        assert one.forecast == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-6)


def test_a_form_that_cannot_forecast_is_taken_to_do_it_no_better() -> None:
    measured = points({"full": SHARED["full"]}, 0.01, seed=2)
    three = measured.where(measured.levels < 3)
    found = {one.fit.form.name: one for one in rank(three, ("chinchilla", "multiplicative", "rectified"))}
    assert found["rectified"].forecast is None
    assert found["chinchilla"].forecast is not None
    assert sum(one.weight for one in found.values()) == pytest.approx(1)
