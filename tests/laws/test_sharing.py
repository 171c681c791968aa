"""Several methods in one fit, and the coefficients of those that differ by a number."""

import numpy as np
import pytest

from embudget.laws.basis import basis_of
from embudget.laws.coefficients import Coefficients
from embudget.laws.forms import FORMS, FormName
from embudget.laws.joint import JointFit, Sharing
from embudget.laws.problem import Points
from embudget.laws.sharing import fit_jointly
from embudget.methods import kind_of
from embudget.runs.cells import Cell
from tests.laws.studies import APART, BUDGETS, MODELS, ONE, SHARED, WIDE, cells, plain, points

RANKS = ("lora:4", "lora:8", "lora:16", "lora:64", "lora:128")
SHARINGS: tuple[Sharing, ...] = ("shared", "pooled")


def coefficients(fit: JointFit, method: str) -> dict[str, float]:
    """The parameters of a method, for N and D as they are; E must have been fitted."""
    group, vector = next((g, v) for g, v in zip(fit.groups, fit.vectors, strict=True) if method in g.basis)
    values, exponents = np.exp(vector)[:, None], len(fit.form.exponents)
    own = [group.basis[method] @ part for part in np.split(values[1 + exponents :], len(fit.form.coefficients))]
    raw = fit.form.to_raw(tuple(values[1 : 1 + exponents]), tuple(own), group.centre_n, group.centre_d)
    return {"E": float(values[0, 0]), **{name: float(value[0]) for name, value in raw.items()}}


def scaled(law: Coefficients, size: float, data: float) -> Coefficients:
    """The law of a method that shares E and the exponents."""
    tokens = {"D0": law.D0 and law.D0 * data} if law.form == "zero_shot" else {"B": law.B and law.B * data}
    return law.model_copy(update={"A": law.A * size} | tokens)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("form", list(FORMS))
def test_a_shared_truth_is_recovered(form: FormName, sharing: Sharing) -> None:
    truth = {"full": ONE[form], "lora:32": scaled(ONE[form], 1.2, 0.8), "freeze:0.5": scaled(ONE[form], 0.9, 1.1)}
    fit = fit_jointly(FORMS[form], points(truth), sharing)
    assert {method for group in fit.groups for method in group.basis} == set(truth)
    for method, law in truth.items():
        assert coefficients(fit, method) == pytest.approx(plain(law), rel=5e-3)


@pytest.mark.parametrize("form", list(FORMS))
def test_truths_apart_are_recovered_by_the_pooled_fit_alone(form: FormName) -> None:
    bent = 1.15 if form == "tied" else 0.8
    other = ONE[form].model_copy(update={"E": 1.3, "a": ONE[form].a * 1.15, "b": ONE[form].b * bent})
    truth, measured = {"full": ONE[form], "lora:32": other}, points({"full": ONE[form], "lora:32": other}, wide=True)
    pooled, shared = (fit_jointly(FORMS[form], measured, sharing) for sharing in ("pooled", "shared"))
    for method, law in truth.items():
        assert coefficients(pooled, method) == pytest.approx(plain(law), rel=0.01)
    assert np.abs(pooled.log_fit - measured.log_loss).max() < 1e-4
    assert np.abs(shared.log_fit - measured.log_loss).max() > 1e-3


def test_ranks_share_a_parabola_and_one_not_measured_alone_is_still_known() -> None:
    x = np.log([4, 16, 64, 256]) / np.log(4)
    truth = {
        f"lora:{4 ** round(one)}": scaled(ONE["chinchilla"], 1 + 0.1 * (one - 3) ** 2, 1 - 0.05 * one) for one in x
    }
    kept = [c for c in cells(truth) if c.method != "lora:16" or c.budget == 4e12]  # three cells of it
    fit = fit_jointly(FORMS["chinchilla"], Points.of(kept), "shared")
    assert fit.groups[0].problem.parameters == 3 + 2 * 3
    for method, law in truth.items():
        assert coefficients(fit, method) == pytest.approx(plain(law), rel=1e-3)


@pytest.mark.parametrize(("sharing", "noise", "off"), [("shared", 0.0, 1e-4), ("shared", 0.005, 0.03),
                                                       ("pooled", 0.005, 0.05)])  # fmt: skip
def test_a_kind_with_few_cells_leans_on_the_others(sharing: Sharing, noise: float, off: float) -> None:
    """Two cells of a method, of one budget, say what it does at 16 times the tokens."""
    few = [c for c in cells(SHARED, noise) if c.method != "lora:32" or (c.budget == 4e12 and c.model != MODELS[1])]
    assert sum(cell.method == "lora:32" for cell in few) == 2
    fit = fit_jointly(FORMS["chinchilla"], Points.of(few), sharing)
    predicted = fit.predict(np.array(["lora:32"]), np.log([1.4e7]), np.log([4e6]))
    assert predicted == pytest.approx(np.log(SHARED["lora:32"].loss(1.4e7, 4e6)), abs=off)


def test_with_noise_a_kind_of_few_cells_is_nearer_to_the_others_than_one_of_many() -> None:
    """Two laws differ in E and exponents; the one with fewer cells is drawn further towards the other."""
    measured = cells(APART, noise=0.02, models=WIDE, budgets=BUDGETS)
    few = [c for c in measured if c.method == "full" or c.budget in BUDGETS[:3:2]]
    apart = np.log(APART["full"].b / APART["lora:32"].b)

    def gap(of: list[Cell]) -> float:
        fit = fit_jointly(FORMS["chinchilla"], Points.of(of), "pooled")
        return float(np.log(coefficients(fit, "full")["b"] / coefficients(fit, "lora:32")["b"]))

    assert gap(few) < gap(measured) < 1.3 * apart


@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_noise_is_found_and_one_diverged_run_does_not_move_it(sharing: Sharing) -> None:
    clean = points(SHARED, noise=0.02, wide=True)
    diverged = Points.of(
        [c.model_copy(update={"loss": c.loss * 1.6}) if i == 13 else c
         for i, c in enumerate(cells(SHARED, 0.02, models=WIDE, budgets=BUDGETS))]
    )  # fmt: skip
    before, after = (fit_jointly(FORMS["chinchilla"], of, sharing) for of in (clean, diverged))
    assert before.noise == pytest.approx(0.02, rel=0.4)
    assert after.noise == pytest.approx(before.noise, rel=0.25)
    assert np.abs(after.log_fit - before.log_fit).max() < 0.03  # the loss itself moved by log 1.6 = 0.47


def test_parameters_that_the_prior_decides_count_for_less() -> None:
    exact, noisy = (fit_jointly(FORMS["chinchilla"], points(SHARED, noise), "pooled") for noise in (0.0, 0.03))
    assert exact.parameters == pytest.approx(15, abs=0.05)  # E, a, b, A and B of three kinds
    assert 9 < noisy.parameters < 14
    shared = fit_jointly(FORMS["chinchilla"], points(SHARED, 0.03), "shared")
    assert 7.5 < shared.parameters < 9


def test_a_given_asymptote_is_kept() -> None:
    fit = fit_jointly(FORMS["chinchilla"], points(SHARED, 0.01), "pooled", asymptote=1.8)
    assert all(group.problem.asymptote == 1.8 for group in fit.groups)
    far = fit.predict(np.array(["full"]), np.log([1e30]), np.log([1e40]))
    assert np.exp(far) == pytest.approx(1.8, rel=1e-3)


def test_predictions_need_no_cell_of_every_kind() -> None:
    measured = points(SHARED)
    fit = fit_jointly(FORMS["chinchilla"], measured, "pooled")
    rows = measured.method == "full"
    asked = fit.predict(measured.method[rows], measured.log_n[rows], measured.log_d[rows])
    assert asked == pytest.approx(measured.log_loss[rows], abs=1e-5)


@pytest.mark.parametrize("methods", [("full",), ("bias", "full", "lora:8"), RANKS, (*RANKS, "freeze:0.5", "full")])
def test_rows_are_positive_and_sum_to_one(methods: tuple[str, ...]) -> None:
    basis = basis_of(methods)
    rows = np.array([basis[method] for method in methods])
    assert set(basis) == set(methods)
    assert (rows >= 0).all()
    assert rows.sum(axis=1) == pytest.approx(1)


def test_kinds_do_not_touch_each_other() -> None:
    basis = basis_of(("full", "lora:8", "lora:32", "freeze:0.5"))
    used: dict[str, set[int]] = {kind: set() for kind in ("full", "lora", "freeze")}
    for method, row in basis.items():
        used[kind_of(method)] |= set(np.flatnonzero(row).tolist())
    assert {kind: len(columns) for kind, columns in used.items()} == {"full": 1, "lora": 2, "freeze": 1}
    assert set.union(*used.values()) == set(range(4))


def test_other_options_are_another_family() -> None:
    basis = basis_of(["lora:8", "lora:32", "lora:32:alpha=16", "lora:32:layers=mlp"])
    overlaps = [basis["lora:32"] @ basis[other] for other in ("lora:32:alpha=16", "lora:32:layers=mlp")]
    assert overlaps == [0.0, 0.0]
    assert basis["lora:32:alpha=16"] @ basis["lora:32:layers=mlp"] == 0.0


def test_one_and_two_and_three_values_have_a_coefficient_each() -> None:
    for count in (1, 2, 3):
        basis = basis_of(RANKS[:count])
        rows = np.array(list(basis.values()))
        assert rows.shape == (count, count)
        assert np.linalg.matrix_rank(rows) == count  # any three coefficients can be reached


def test_the_ends_have_a_coefficient_of_their_own() -> None:
    basis = basis_of(RANKS)
    assert basis["lora:4"].tolist() == [1, 0, 0]
    assert basis["lora:128"].tolist() == [0, 0, 1]


def test_many_values_lie_on_a_parabola_in_the_log_rank() -> None:
    x = np.log([4, 8, 16, 64, 128])
    basis = basis_of(RANKS)
    rows = np.array([basis[rank] for rank in RANKS])
    assert rows.shape == (5, 3)
    for truth in (2 + 0.3 * x, 3 + 0.2 * (x - np.log(32)) ** 2):
        _, rest, *_ = np.linalg.lstsq(rows, truth, rcond=None)
        assert rest == pytest.approx(0, abs=1e-20)
    _, rest, *_ = np.linalg.lstsq(rows, x**3, rcond=None)
    assert rest > 0.01


def test_two_values_lie_on_a_line_in_the_log_fraction() -> None:
    basis = basis_of(("freeze:0.25", "freeze:1"))
    between = basis_of(("freeze:0.25", "freeze:0.5", "freeze:1"))["freeze:0.5"]
    assert np.eye(2).tolist() == [row.tolist() for row in basis.values()]
    assert between == pytest.approx([0.25, 0.5, 0.25])  # 0.5 is half way between 0.25 and 1 by their logarithms


def test_the_order_of_the_methods_does_not_matter() -> None:
    forth, back = basis_of(RANKS), basis_of(RANKS[::-1])
    assert all(np.array_equal(forth[rank], back[rank]) for rank in RANKS)
