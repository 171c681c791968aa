"""What of the Bayesian experiment needs no NumPyro: its form, its places, its predictive intervals."""

import numpy as np
import pytest

from benchmarks.bayes import summarised
from benchmarks.bayes_law import SHAPES, Design, Posterior, Target, data_of, log_law
from embudget.laws import Coefficients
from tests.laws.studies import SHARED, cells

CELLS = cells({method: SHARED[method] for method in ("full", "lora:32")}, noise=0.01)


def target(model: str, method: str = "full") -> Target:
    return Target(model, method, 1e7, 1e6, 1.0, 4)


def test_the_form_is_the_rectified_one() -> None:
    numbers = {"E": 1.8, "A": 300, "a": 0.35, "B": 1500, "b": 0.55, "D0": 3e5}
    law = Coefficients(form="rectified", **numbers)
    values = {name.replace("D0", "start"): np.log([[number]]) for name, number in numbers.items()}
    sizes, tokens = np.array([1e7, 1e8]), np.array([1e5, 1e7])
    kind, method = np.array([0]), np.array([0, 0])
    found = log_law(np, values, kind, method, np.log(sizes), np.log(tokens))
    assert np.exp(found[0]) == pytest.approx([law.loss(n, d) for n, d in zip(sizes, tokens, strict=True)])


def test_every_run_has_its_method_and_its_series_if_that_was_measured() -> None:
    design = Design.of(CELLS)
    assert (design.methods, design.kinds, len(design.series)) == (("full", "lora:32"), ("full", "lora"), 6)
    at = design.places([target(CELLS[0].model, "lora:32"), target("smollm2-135m:7")])
    assert at["method"].tolist() == [1, 0]
    assert design.series[at["series"][0]] == (CELLS[0].model, "lora:32")
    assert at["series"][1] == -1
    assert np.mean(design.places(CELLS)["x"]) == pytest.approx(0, abs=1e-9)


def test_a_study_is_filled_up_to_its_shape_by_what_does_not_count() -> None:
    design = Design.of(CELLS)
    shape = design.shape(len(CELLS))
    data = data_of(design, CELLS, shape)
    assert shape == SHAPES[0]
    assert data["known"].sum() == len(CELLS) == 18
    assert data["log_loss"][data["known"]].tolist() == [cell.log_loss for cell in CELLS]
    assert {len(data[name]) for name in ("method", "series", "x", "y", "seeds", "known")} == {shape.cells}
    assert (data["seeds"] > 0).all() and len(data["kind"]) == shape.methods


def test_a_new_series_has_a_wider_interval_than_one_that_was_measured() -> None:
    design, count = Design.of(CELLS), 2000
    ones = np.ones((count, 2))
    draws = {name: ones * np.log(value) for name, value in (("E", 1.8), ("a", 0.3), ("b", 0.3), ("start", 1e-9))}
    draws |= {"A": ones * 0, "B": ones * 0, "noise": np.full(count, 0.01)}
    for name, spread in (("level", 0.05), ("slope", 1e-9)):
        draws |= {name: np.zeros((count, 6)), f"spread_{name}": np.full(count, spread)}
    low, high = Posterior(design, draws, 0).intervals([target(CELLS[0].model), target("smollm2-135m:7")])
    known, new = high - low
    assert known == pytest.approx(2 * 0.01 * 2.015, rel=0.03)  # 95 % quantile of Student's t with 5 degrees of freedom
    assert new == pytest.approx(2 * 1.645 * 0.0516, rel=0.05)  # with the level's spread of 5 %


def test_the_ratio_compares_the_mean_scores() -> None:
    rows = [
        {"times": 4.0, "laws": {"score": laws, "held": 1.0}, "bayes": {"score": bayes, "held": 0.5}}
        for laws, bayes in ((10.0, 8.0), (20.0, 22.0))
    ]
    found = summarised(rows)
    assert found["4"]["ratio"] == 1.0
    assert found["4"]["bayes better"] == 0.5
