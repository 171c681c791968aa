"""Many robust fits at once, and the starts that they are made from."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from embudget.laws import solve
from embudget.laws.forms import FORMS, FormName
from embudget.laws.solve import Objective, Prior, curvature, gradient_of, project, projected_starts, refine, usual_prior
from tests.laws.studies import ONE, doubled, law_of, plain, problem

SQUARES = Objective()


@pytest.mark.parametrize("form", list(FORMS))
def test_the_truth_is_found_from_afar(form: FormName) -> None:
    of = problem(form)
    vectors, values = refine(of, projected_starts(of), SQUARES)
    best = int(values.argmin())
    assert values[best] < 1e-12
    assert law_of(form, vectors[best]) == pytest.approx(plain(ONE[form]), rel=1e-3)


@pytest.mark.parametrize("form", list(FORMS))
def test_the_minimum_is_that_of_scipy(form: FormName) -> None:
    of = problem(form, noise=0.02)
    _, values = refine(of, projected_starts(of), SQUARES)

    def residuals(vector: np.ndarray) -> np.ndarray:
        off: np.ndarray = of.log_loss - of.predict(vector[None])[0]
        return off

    low, high = of.bounds
    starts = np.clip(projected_starts(of), low + 1e-6, high - 1e-6)
    other = min(least_squares(residuals, start, bounds=(low, high), xtol=1e-12, ftol=1e-12).cost for start in starts)
    assert values.min() == pytest.approx(other, rel=1e-4)


def test_the_gradient_is_that_of_finite_differences_and_vanishes_at_the_fit() -> None:
    of = problem("rectified", noise=0.02)
    vectors, values = refine(of, projected_starts(of), objective := Objective(delta=0.01, noise=0.02))
    best = vectors[int(values.argmin())]
    assert np.abs(gradient_of(of, best, objective)[1]).max() < 1e-5
    off, step = best + 0.1, 1e-6
    value, gradient = gradient_of(of, off, objective)
    assert value > values.min()
    numeric = [
        (gradient_of(of, off + move, objective)[0] - gradient_of(of, off - move, objective)[0]) / (2 * step)
        for move in step * np.eye(of.parameters)
    ]
    assert gradient == pytest.approx(np.array(numeric), rel=1e-5, abs=1e-8)


def test_many_starts_targets_and_weights_at_once_are_as_one_at_a_time() -> None:
    of, rng = problem("chinchilla"), np.random.default_rng(0)
    starts = projected_starts(of)[:5]
    targets = of.log_loss + 0.02 * rng.standard_normal((5, 25))
    weights = rng.multinomial(25, np.full(25, 1 / 25), 5).astype(float)
    prior = Prior(usual_prior(of).centre + rng.normal(0, 0.3, (5, 3)), usual_prior(of).sd)
    objective = Objective(delta=0.03, noise=0.02, prior=prior)
    together, values = refine(of, starts, objective, targets, weights)
    for row in range(5):
        own = replace(objective, prior=prior.of(slice(row, row + 1)))
        alone = replace(of, log_loss=targets[row], weights=weights[row])
        # the bounds come from the problem's own losses, which stay those of the study
        vector, value = refine(replace(alone, log_loss=of.log_loss), starts[[row]], own, targets[[row]])
        assert vector[0] == pytest.approx(together[row], abs=1e-9)
        assert value[0] == pytest.approx(values[row], rel=1e-9)


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    of = problem("chinchilla", noise=0.02)
    starts, weights = projected_starts(of), np.random.default_rng(0).uniform(0.5, 1.5, (9, 25))
    whole = refine(of, starts, SQUARES, weights=weights)
    monkeypatch.setattr(solve, "BATCH_NUMBERS", 2.5 * of.parameters * 25)  # two fits at a time, five batches
    parts = refine(of, starts, SQUARES, weights=weights)
    assert parts[0] == pytest.approx(whole[0], abs=1e-9)
    assert parts[1] == pytest.approx(whole[1], rel=1e-9)


def test_a_weight_of_two_is_a_cell_measured_twice() -> None:
    of = problem("chinchilla", noise=0.02)
    weights, twice = doubled(of)
    starts = projected_starts(of)
    _, weighed = refine(of, starts, SQUARES, weights=np.tile(weights, (len(starts), 1)))
    _, repeated = refine(twice, starts, SQUARES)
    assert weighed.min() == pytest.approx(repeated.min(), rel=1e-6)


def test_hubers_loss_hardly_follows_a_diverged_run() -> None:
    of = problem("chinchilla", noise=0.01)
    diverged = of.log_loss.copy()
    diverged[7] += 0.5
    starts = projected_starts(of)

    def moved(objective: Objective) -> float:
        fits = [refine(of, starts, objective, np.tile(t, (len(starts), 1))) for t in (of.log_loss, diverged)]
        before, after = (of.predict(vectors[[int(values.argmin())]])[0] for vectors, values in fits)
        return float(np.abs(after - before).max())

    assert moved(Objective(delta=0.0135)) < 0.01 < 0.05 < moved(SQUARES)


def test_the_prior_pulls_the_exponents_as_the_noise_grows() -> None:
    of = problem("chinchilla", noise=0.02)
    prior = Prior(np.log([[1.0, 0.1, 1.0]]), np.array([np.inf, 0.2, 0.2]))

    def exponents(noise: float) -> np.ndarray:
        starts = projected_starts(of)
        vectors, values = refine(of, starts, Objective(noise=noise, prior=prior))
        return np.exp(vectors[int(values.argmin()), of.searched])

    free, weak, strong = exponents(0.0), exponents(0.02), exponents(100.0)
    assert strong == pytest.approx([0.1, 1.0], rel=1e-3)
    assert free[0] > weak[0] > strong[0]
    assert free[1] < weak[1] < strong[1]
    assert usual_prior(of).sd[0] == np.inf  # nothing is expected of E


def test_no_fit_leaves_the_bounds() -> None:
    of = problem("chinchilla")
    rising = of.log_loss.mean() + 0.1 * of.log_n  # a larger model is worse: A would be negative
    vectors, _ = refine(of, starts := projected_starts(of), SQUARES, np.tile(rising, (len(starts), 1)))
    low, high = of.bounds
    assert ((vectors >= low) & (vectors <= high)).all()
    far = refine(of, np.full((1, of.parameters), 50.0), SQUARES)[0]
    assert ((far >= low) & (far <= high)).all()


def test_the_curvature_is_the_information_of_a_fit() -> None:
    of = problem("chinchilla", noise=0.01)
    vectors, values = refine(of, projected_starts(of), SQUARES)
    best = vectors[[int(values.argmin())]]
    data, strength = curvature(of, best, Objective(noise=0.01))
    _, jacobian = of.linearise(best)
    assert data == pytest.approx(jacobian[0] @ jacobian[0].T, rel=1e-9)
    assert strength == pytest.approx([0.0, (0.01 / 0.5) ** 2, (0.01 / 0.5) ** 2, 0.0, 0.0])


def test_projected_coefficients_are_never_negative() -> None:
    of = problem("chinchilla")
    rising = replace(of, log_loss=np.log(2 + 0.1 * of.log_n + 0.5 * np.exp(-0.4 * of.log_d)))  # A would be < 0
    vector = project(rising, np.array([0.35, 0.4]))
    low, _ = rising.bounds
    assert vector[3] == low[3]  # as good as absent
    assert np.isfinite(vector).all()


def test_in_a_projection_too_a_weight_of_two_is_a_cell_measured_twice() -> None:
    of = problem("chinchilla", noise=0.02)
    weights, twice = doubled(of)
    exponents = np.array([0.3, 0.5])
    weighed, repeated = (project(one, exponents) for one in (replace(of, weights=weights), twice))
    assert weighed == pytest.approx(repeated, abs=1e-6)
    assert weighed != pytest.approx(project(of, exponents), abs=1e-4)


@pytest.mark.parametrize("form", list(FORMS))
def test_starts_are_distinct_and_within_the_bounds(form: FormName) -> None:
    of = problem(form, noise=0.02)
    starts = projected_starts(of)
    low, high = of.bounds
    assert starts.shape == ({"rectified": 18, "tied": 3}.get(form, 9), of.parameters)
    assert ((starts >= low) & (starts <= high)).all()
    assert len(np.unique(starts[:, of.searched], axis=0)) == len(starts)
