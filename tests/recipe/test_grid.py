"""The grid of all choices at all budgets that crossovers are sought on."""

from typing import Unpack

import numpy as np
import pytest

from embudget.laws import Laws, fit
from embudget.recipe.crossover import BEYOND, span_of
from embudget.recipe.grid import grid_of
from embudget.recipe.options import Terms, fewest_steps, sizes_considered
from embudget.recipe.wishes import Wishes, limits_of
from embudget.design import simulate
from embudget.suite import SUITES, find_shape, find_suite
from tests.recipe.worlds import MODELS, NOISY


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


def terms(laws: Laws, **wishes: Unpack[Wishes]) -> Terms:
    return Terms.of(laws, limits_of(wishes, fewest_steps(laws)))


def test_the_grid_holds_the_considered_sizes_and_the_best_of_each_kind(laws: Laws) -> None:
    grid = grid_of(terms(laws, min_steps=1), find_suite("smollm2"), *span_of(laws))
    assert grid.kinds == ("full", "lora")
    assert (grid.budgets[0], grid.budgets[-1]) == pytest.approx((1e12, BEYOND * 1.6e13))
    assert max(grid.budgets[1:] / grid.budgets[:-1]) <= 1.5
    choices = set(zip(grid.models, grid.methods, grid.places.tolist(), strict=True))
    assert len(choices) == len(grid.models)
    for place, budget in enumerate(grid.budgets.tolist()):
        least, most = sizes_considered(laws, "full", budget)
        expected = {name for name in SUITES["smollm2"] if least <= find_shape(name).model_params <= most}
        assert {model for model, method, at in choices if method == "full" and at == place} == expected
    losses = np.arange(1.0, 1 + len(grid.models))
    best = grid.of_kinds(losses[None])[0]
    for kind, name in enumerate(grid.kinds):
        mine = np.array([method.startswith(name) for method in grid.methods])
        for place in range(len(grid.budgets)):
            assert best[kind, place] == losses[mine & (grid.places == place)].min()


def test_all_sizes_can_be_considered(laws: Laws) -> None:
    near, every = (
        grid_of(terms(laws, min_steps=1, allow_unmeasured_sizes=free), find_suite("smollm2"), 1e12, 1e13)
        for free in (False, True)
    )
    assert set(near.models) == set(SUITES["smollm2"][: SUITES["smollm2"].index(MODELS[-1]) + 1])
    assert set(every.models) == set(SUITES["smollm2"])


def test_what_breaks_a_wish_is_not_on_the_grid(laws: Laws) -> None:
    free = grid_of(terms(laws), find_suite("smollm2"), 1e13, 1e14)
    short = grid_of(terms(laws, pairs_available=2000, max_epochs=1), find_suite("smollm2"), 1e13, 1e14)
    assert set(short.models) < set(free.models)
    assert max(short.tokens) <= 2000 * 60 < max(free.tokens)
    served = grid_of(terms(laws, serve_tokens=1e5), find_suite("smollm2"), 1e13, 1e14)
    assert served.train_flops + 2e5 * served.model_params == pytest.approx(served.budgets[served.places])
