"""Variable projection: only the exponents are searched."""

from dataclasses import replace

import numpy as np
import pytest
from embudget.laws.varpro import project, search
from scipy.optimize import nnls

from embudget.laws.forms import FORMS, FormName
from embudget.laws.solve import Objective, gradient_of, projected_starts, refine
from tests.laws.studies import ONE, doubled, law_of, plain, problem

LINEAR: list[FormName] = [name for name, form in FORMS.items() if form.linear]
SQUARES = Objective()


@pytest.mark.parametrize("asymptote", [None, 1.8])
@pytest.mark.parametrize("form", LINEAR)
def test_the_truth_is_recovered(form: FormName, asymptote: float | None) -> None:
    vector = search(problem(form, asymptote=asymptote), SQUARES)
    assert law_of(form, vector, asymptote) == pytest.approx(plain(ONE[form]), rel=1e-3)


@pytest.mark.parametrize("form", LINEAR)
@pytest.mark.parametrize("delta", [np.inf, 0.01])
def test_it_finds_the_minimum_of_the_other_fit(form: FormName, delta: float) -> None:
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


def test_coefficients_are_never_negative() -> None:
    of = problem("chinchilla")
    rising = replace(of, log_loss=np.log(2 + 0.1 * of.log_n + 0.5 * np.exp(-0.4 * of.log_d)))  # A would be < 0
    vector = project(rising, np.array([0.35, 0.4]), SQUARES)
    low, _ = rising.bounds
    assert vector[3] == low[3]  # as good as absent
    assert np.isfinite(vector).all()


def test_one_diverged_run_hardly_moves_the_law() -> None:
    of = problem("chinchilla", noise=0.01)
    diverged = of.log_loss.copy()
    diverged[7] += 0.5
    objective = Objective(delta=0.0135)
    before, after = (of.predict(search(replace(of, log_loss=y), objective)[None]) for y in (of.log_loss, diverged))
    assert np.abs(after - before).max() < 0.02


def test_a_weight_of_two_is_a_cell_measured_twice() -> None:
    of = problem("chinchilla", noise=0.02)
    weights, twice = doubled(of)
    exponents = np.array([0.3, 0.5])
    weighed, repeated = (project(one, exponents, SQUARES) for one in (replace(of, weights=weights), twice))
    assert weighed == pytest.approx(repeated, abs=1e-6)
    assert weighed != pytest.approx(project(of, exponents, SQUARES), abs=1e-4)


@pytest.mark.parametrize("form", list(FORMS))
def test_starts_are_distinct_and_within_the_bounds(form: FormName) -> None:
    of = problem(form, noise=0.02)
    starts = projected_starts(of)
    low, high = of.bounds
    assert starts.shape == (18 if form == "rectified" else 9, of.parameters)
    assert ((starts >= low) & (starts <= high)).all()
    assert len(np.unique(starts[:, of.searched], axis=0)) == len(starts)
