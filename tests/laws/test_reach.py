"""How far a choice lies outside of what was measured, and what that adds to its interval."""

import numpy as np
import pytest

from embudget.laws import fit
from embudget.laws.reach import Reach
from embudget.laws.surface import GROWTH, Surface
from embudget.runs.cells import RunTable
from tests.laws.studies import BUDGETS, SHARED, WIDE, cells

N, D = np.log([1e6, 1e7, 1e8]), np.log([1e9, 1e8, 1e6])
MEASURED = Reach.of(N, D)
"""N from 1e6 to 1e8, D from 1e6 to 1e9, N D from 1e14 to 1e15."""


@pytest.mark.parametrize(
    ("model_params", "tokens", "times"),
    [
        (1e7, 1e8, 1.0),  # measured itself
        (3e6, 1e8, 1.0),  # between
        (1e7, 1e9, 10.0),  # a larger budget, N and D each inside
        (1e9, 1e6, 10.0),  # a budget that was measured, a model that was not
        (1e9, 1e5, 100.0),  # and less data than ever
        (1e5, 1e10, 100.0),  # a smaller model on more data
        (1e6, 1e10, 10.0),  # both count once
        (1e6, 1e7, 10.0),  # a smaller budget
    ],
)
def test_a_choice_lies_outside_by_its_budget_or_by_its_size_and_data(
    model_params: float, tokens: float, times: float
) -> None:
    (distance,) = MEASURED.distance(np.log([model_params]), np.log([tokens]))
    assert distance == pytest.approx(np.log(times), abs=1e-9)


def test_a_choice_leaves_what_was_measured_at_the_nearest_size_and_its_most_or_fewest_tokens() -> None:
    for at, edge in (
        ((1e7, 1e9), (1e7, 1e8)),  # a larger budget, by its tokens
        ((1e9, 1e6), (1e8, 1e6)),  # a larger model
        ((1e6, 1e7), (1e6, 1e8)),  # a smaller budget
        ((1e7, 1e8), (1e7, 1e8)),
    ):
        assert np.exp(MEASURED.edge(*np.log([[at[0]], [at[1]]]))).ravel() == pytest.approx(edge)


def surface() -> Surface:
    made = cells({"full": SHARED["full"], "lora:32": SHARED["lora:32"]}, 0.005, models=WIDE, budgets=BUDGETS)
    return fit(RunTable(cells=tuple(made), run_count=len(made)), draws=20, forms=["chinchilla"]).surface


def half(of: Surface, model_params: float, tokens: float) -> float:
    low, high = of.interval("full", model_params, tokens)
    return float(np.log(high / low)) / 2


def test_intervals_of_larger_models_widen_where_their_budget_was_measured() -> None:
    """By the discrepancy, and by the misfit for each factor e; both are 0 inside."""
    found = surface()
    (_, most), (least, _) = found.reach["full"].model_params, found.reach["full"].tokens
    for model_params, tokens, wider in ((most, 2 * least, False), (8 * most, least, True)):
        plain = found.model_copy(update={"discrepancy": 0.0, "misfit": 0.0, "noise": 0.01})
        off = found.model_copy(update={"discrepancy": 0.05, "misfit": 0.0, "noise": 0.01})
        assert (half(off, model_params, tokens) > 1.2 * half(plain, model_params, tokens)) == wider


def test_the_misfit_grows_with_the_distance() -> None:
    """That which is constant along a series grows with the distance in size alone, which is 0 here."""
    found = surface().model_copy(update={"discrepancy": 0.0, "misfit": 0.01, "correction": None, "noise": 0.01})
    names, distances = ["full"] * 3, np.array([0.0, 1.0, 3.0])
    size = found.reach["full"].model_params[1]
    tokens = found.reach["full"].product[1] / size * np.exp(distances)
    added = found._beyond(names, np.full(3, size), tokens, np.zeros(3))
    assert np.sqrt(added) == pytest.approx(GROWTH * 0.01 * distances, rel=1e-6, abs=1e-9)
    constant = found.model_copy(update={"constant": 1.0})
    assert constant._beyond(names, np.full(3, size), tokens, np.zeros(3)) == pytest.approx(0, abs=1e-12)
    larger = constant._beyond(names, np.full(3, size) * np.exp(distances), tokens, np.zeros(3))
    assert np.sqrt(larger) == pytest.approx(GROWTH * 0.01 * distances, rel=1e-6, abs=1e-9)


def test_below_the_smallest_budget_intervals_widen_as_the_law_steepens() -> None:
    """The same error of the law moves a loss that falls three times as fast by three times as much."""
    found = surface().model_copy(update={"discrepancy": 0.01, "misfit": 0.0, "correction": None})
    reach = found.reach["full"]
    size = reach.model_params[0]
    tokens = reach.product[0] / size * np.exp(np.array([0.0, -1.5, -3.0]))
    mean = found.log_draws(["full"] * 3, np.full(3, size), tokens).mean(axis=0)
    slopes = (mean - mean[0])[1:] / np.array([1.5, 3.0])
    assert (slopes > 2 * found.fall).all()
    added = np.sqrt(found._beyond(["full"] * 3, np.full(3, size), tokens, mean))
    assert added == pytest.approx([0.0, *(0.01 * slopes / found.fall * np.sqrt([1.5, 3.0]))], abs=1e-9)
