"""The exponent of the best size: closed forms, the interval of its draws, published runs, and what has none."""

import time
from pathlib import Path

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError, FitError, MethodError, TooFewRunsError
from embudget.laws import FormName, Laws, Surface, find_laws, fit
from embudget.laws.components import Branch, Component
from embudget.laws.reach import Reach
from embudget.laws.size_exponent import exponent_of, lowest
from embudget.runs import Cell
from tests.laws.studies import MODELS, SHARED
from tests.laws.test_published_laws import chinchilla_laws

FREEDOM = 1e6
"""So many degrees of freedom that Student's t is the normal distribution."""


def surface_of(form: FormName, *vectors: tuple[float, ...], method: str = "full") -> Surface:
    """A surface centred at N = 1e8 and D = 2e9; its draws are these vectors, and its fit is the first of them."""
    rows = [tuple(np.log(vector)) for vector in vectors]
    centres = {"centre_n": float(np.log(1e8)), "centre_d": float(np.log(2e9))}
    branch = Branch(basis={method: (1.0,)}, **centres, fit=rows[0], draws=tuple(rows))
    component = Component(form=form, sharing="shared", weight=1, branches=(branch,))
    reach = {method: Reach(product=(1e15, 1e19), model_params=(1e7, 1e9), tokens=(1e8, 1e10))}
    return Surface(components=(component,), noise=0.01, freedom=FREEDOM, discrepancy=0, step=4, reach=reach)


def cells_of(method: str = "full", power: float = 1.0) -> list[Cell]:
    """Sizes at budgets, with 6 N^power FLOP per token; their losses are of no use here."""
    return [
        Cell(model=f"N={size}", method=method, budget=budget, model_params=size, train_flops=budget,
             tokens=budget / (6 * size**power), loss=2.5, seeds=1, seed_squares=0)
        for size in (1e7, 1e8, 1e9) for budget in (1e17, 1e18, 1e19)
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["chinchilla", "dense_retrieval"])
@pytest.mark.parametrize(("a", "b"), [(0.35, 0.37), (0.5, 0.3), (0.2, 0.45)])
@pytest.mark.parametrize("power", [1.0, 0.8])
def test_the_exponent_is_that_of_the_closed_form(form: FormName, a: float, b: float, power: float) -> None:
    """With c ~ N^v FLOP per token, A/N^a + B (c/C)^b is lowest where N^(a + v b) ~ C^b."""
    exponent = exponent_of(surface_of(form, (1.7, a, b, 0.4, 0.4)), "full", cells_of(power=power), 0.9)
    expected = b / (a + power * b)
    assert exponent.value == pytest.approx(expected, abs=1e-3)
    assert exponent.interval == pytest.approx((expected, expected), abs=2e-3)
    assert exponent.budgets == pytest.approx((1e17, 1e19))


def test_the_interval_is_as_wide_as_the_draws_and_their_inflation() -> None:
    rng = np.random.default_rng(0)
    a, b = 0.35 * np.exp(0.05 * rng.standard_normal((2, 400)))
    vectors = [(1.7, 0.35, 0.35, 0.4, 0.4), *((1.7, one, other, 0.4, 0.4) for one, other in zip(a, b, strict=True))]
    exponent = exponent_of(surface_of("chinchilla", *vectors), "full", cells_of(), 0.9)
    low, high = np.quantile(b / (a + b), (0.05, 0.95))
    assert exponent.interval[1] - exponent.interval[0] == pytest.approx(1.1 * (high - low), rel=0.02)
    half = exponent_of(surface_of("chinchilla", *vectors), "full", cells_of(), 0.5).interval
    assert exponent.interval[0] < half[0] < exponent.value < half[1] < exponent.interval[1]


def test_a_law_without_a_best_size_is_refused() -> None:
    """A product of powers prefers one end of the sizes, whatever the budget."""
    with pytest.raises(FitError, match=r"full has no best size within a factor of 10 .* by 100% of the draws"):
        exponent_of(surface_of("multiplicative", (1.7, 0.2, 0.4, 0.8)), "full", cells_of(), 0.9)


@pytest.mark.parametrize("name", ["budget", "model_params"])
def test_one_budget_or_one_size_has_no_exponent(name: str) -> None:
    cells = cells_of()
    alike = [cell for cell in cells if getattr(cell, name) == getattr(cells[0], name)]
    with pytest.raises(TooFewRunsError, match="full was measured at one budget or one size"):
        exponent_of(surface_of("chinchilla", (1.7, 0.3, 0.3, 0.4, 0.4)), "full", alike, 0.9)


def test_a_minimum_is_found_between_the_points_and_never_at_an_end() -> None:
    x = np.linspace(0, 5, 51)
    curves = np.stack([(x - 1.234) ** 2, np.cosh(x - 3.04), x, -x, np.zeros_like(x)])
    found = lowest(x, curves)
    assert found[:2] == pytest.approx([1.234, 3.04], abs=1e-3)
    assert np.isnan(found[2:]).all()


def test_laws_of_a_simulated_study_give_the_exponent_of_their_truth() -> None:
    truth = {"full": SHARED["full"], "lora:32": SHARED["lora:32"]}
    laws = fit(simulate(World(truth=truth, models=MODELS, noise=0.002)), draws=40, forms=["chinchilla"])
    exponent = laws.size_exponent("full")
    assert exponent.value == pytest.approx(0.42 / 0.77, abs=0.03)
    assert exponent.interval[0] < 0.42 / 0.77 < exponent.interval[1]
    assert f"N* ~ C^{exponent.value:.2f} ({exponent.interval[0]:.2f} to {exponent.interval[1]:.2f})" in laws.summary()


def test_the_published_runs_have_the_published_exponent(tmp_path: Path) -> None:
    """Besiroglu et al. 2024: 0.513, with a standard deviation of 0.020 over 4000 bootstraps."""
    exponent = chinchilla_laws(tmp_path, everything=False).size_exponent("full")
    assert exponent.value == pytest.approx(0.513, abs=0.020)
    assert exponent.interval[0] < 0.513 < exponent.interval[1]
    assert 0.02 < exponent.interval[1] - exponent.interval[0] < 4 * 1.645 * 0.020


@pytest.fixture(scope="module")
def laws() -> Laws:
    return find_laws("smollm2")


def test_arguments_that_are_none_are_refused(laws: Laws) -> None:
    with pytest.raises(MethodError, match="bias has no law"):
        laws.size_exponent("bias")
    with pytest.raises(ConfigError, match=r"level must be in \(0, 1\), got 90"):
        laws.size_exponent("full", level=90)


def test_the_exponent_takes_no_time(laws: Laws) -> None:
    started = time.perf_counter()
    laws.size_exponent("full")
    assert time.perf_counter() - started < 0.3
