"""Other objectives and other ways to their minimum, beside the fit that laws are made of."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.optimize import nnls

from benchmarks.objectives import DELTA, alternatives, lines, project, search, search_from_starts, starts_of
from embudget.laws.forms import FORMS, FormName
from embudget.laws.problem import MANY_CELLS, Points
from embudget.laws.solve import Objective, gradient_of, projected_starts, refine
from tests.laws.studies import ONE, SHARED, law_of, plain, points, problem

LINEAR: list[FormName] = [name for name, form in FORMS.items() if form.linear]
SQUARES = Objective()


@pytest.mark.parametrize("asymptote", [None, 1.8])
@pytest.mark.parametrize("form", ["chinchilla", "multiplicative"])
def test_by_lbfgs_the_truth_is_recovered(form: FormName, asymptote: float | None) -> None:
    found = search_from_starts(problem(form, asymptote=asymptote))
    assert law_of(form, found.vector, asymptote) == pytest.approx(plain(ONE[form]), rel=0.01)


@pytest.mark.parametrize("form", list(FORMS))
def test_the_best_start_is_as_good_as_the_other_fit(form: FormName) -> None:
    of = problem(form, noise=0.02)
    found = search_from_starts(of)
    _, values = refine(of, projected_starts(of), Objective(delta=DELTA))
    assert found.objective < 1.01 * values.min()
    assert found.objective == pytest.approx(gradient_of(of, found.vector, Objective(delta=DELTA))[0])


def test_the_search_says_how_many_starts_reached_the_best() -> None:
    of = problem("chinchilla", noise=0.02)
    found = search_from_starts(of)
    assert (found.starts, found.reached) == (24, 24)  # in centred logarithms the start does not matter
    assert 1 <= search_from_starts(of, same=1e-16).reached < 24  # to the last digit it does


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
    form: FormName, asymptote: float | None, coarse: int, dense: int
) -> None:
    of = problem(form, noise=0.02, asymptote=asymptote)
    for grid, count in ((False, coarse), (True, dense)):
        starts = starts_of(of, dense=grid)
        assert len(starts) == count
        assert len(np.unique(starts, axis=0)) == count


@pytest.mark.parametrize("form", ["chinchilla", "multiplicative"])
@pytest.mark.parametrize("asymptote", [None, 1.8])
def test_every_start_has_the_typical_loss_at_the_centre(form: FormName, asymptote: float | None) -> None:
    of = problem(form, noise=0.02, asymptote=asymptote)
    centre = replace(of, log_n=np.zeros(1), log_d=np.zeros(1), basis=np.ones((1, 1)))
    losses = centre.predict(np.array(starts_of(of, dense=False)))
    assert losses == pytest.approx(np.full(losses.shape, of.log_loss.mean()))


def test_a_dense_grid_ends_no_higher() -> None:
    of = problem("multiplicative", noise=0.02, asymptote=1.8)
    coarse, dense = search_from_starts(of), search_from_starts(of, dense=True)
    assert dense.objective <= coarse.objective * (1 + 1e-6)
    low, high = of.bounds
    assert ((dense.vector >= low) & (dense.vector <= high)).all()
    assert np.isfinite(dense.vector).all()


@pytest.mark.parametrize("asymptote", [None, 1.8])
@pytest.mark.parametrize("form", LINEAR)
def test_by_projection_the_truth_is_recovered(form: FormName, asymptote: float | None) -> None:
    vector = search(problem(form, asymptote=asymptote), SQUARES)
    assert law_of(form, vector, asymptote) == pytest.approx(plain(ONE[form]), rel=1e-3)


@pytest.mark.parametrize("form", LINEAR)
@pytest.mark.parametrize("delta", [np.inf, 0.01])
def test_projection_finds_the_minimum_of_the_other_fit(form: FormName, delta: float) -> None:
    of, objective = problem(form, noise=0.02), Objective(delta=delta)
    _, values = refine(of, projected_starts(of), objective)
    value, _ = gradient_of(of, search(of, objective), objective)
    assert values.min() * 0.9999 < value < values.min() * 1.01


def test_residuals_in_nats_are_least_squares_of_the_losses() -> None:
    of = problem("chinchilla", noise=0.05)
    losses = np.exp(of.log_loss)
    vector = project(of, np.array([0.35, 0.42]), SQUARES, in_nats=True)
    columns = np.stack([np.ones(25), np.exp(-0.35 * of.log_n), np.exp(-0.42 * of.log_d)], axis=1)
    solved, _ = nnls(columns, losses)
    assert np.exp(vector)[[0, 3, 4]] == pytest.approx(solved)

    def squares(found: np.ndarray) -> float:
        return float(((losses - np.exp(of.predict(found[None])[0])) ** 2).sum())

    in_nats, in_logs = search(of, SQUARES, in_nats=True), search(of, SQUARES)
    assert squares(in_nats) < squares(in_logs)
    assert gradient_of(of, in_nats, SQUARES)[0] > gradient_of(of, in_logs, SQUARES)[0]


def test_by_projection_one_diverged_run_hardly_moves_the_law() -> None:
    of = problem("chinchilla", noise=0.01)
    diverged = of.log_loss.copy()
    diverged[7] += 0.5
    objective = Objective(delta=0.0135)
    before, after = (of.predict(search(replace(of, log_loss=y), objective)[None]) for y in (of.log_loss, diverged))
    assert np.abs(after - before).max() < 0.02


def test_the_table_has_a_row_for_each_objective() -> None:
    measured = points(SHARED, 0.01)
    found = alternatives(measured)
    assert [one.name for one in found] == ["robust", "huber, starts", "huber, projected", "squares of logs", "squares"]
    first, _, *rows = lines(found)
    assert first.startswith("L = E + A/N^a + B/D^b")
    assert all(row.startswith(f"  {one.name:<17} ") for one, row in zip(found, rows, strict=True))
    assert min(one.huber for one in found) == pytest.approx(found[1].huber, rel=1e-3)  # what it minimises
    many = Points(*(np.resize(getattr(measured, field.name), MANY_CELLS + 1) for field in fields(measured)))
    assert alternatives(many) == ()  # the slower ones are not made for so many
