"""What a budget allows each candidate under the wishes, at one budget and along a grid of them."""

from typing import Unpack

import numpy as np
import pytest

from embudget.choices import Choices, budgets_between
from embudget.design import simulate
from embudget.laws import Laws, fit
from embudget.recipe import Wishes
from embudget.recipe.crossing import span_of
from embudget.recipe.lowest import BEYOND
from embudget.recipe.options import Question, sizes_considered
from embudget.suite import SUITES, find_shape, find_suite
from tests.recipe.worlds import MODELS, NOISY


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


def between(laws: Laws, low: float, high: float, **wishes: Unpack[Wishes]) -> Choices:
    return Question.of(laws, wishes, members=find_suite("smollm2")).choices(budgets_between(low, high))


def models(choices: Choices) -> set[str]:
    """The models that are considered at some budget."""
    return {
        one.model for one, tokens in zip(choices.candidates, choices.tokens, strict=True) if np.isfinite(tokens).any()
    }


def test_choices_are_of_the_considered_sizes(laws: Laws) -> None:
    choices = between(laws, *span_of(laws), min_steps=1)
    assert choices.kinds == ("full", "lora")
    assert (choices.budgets[0], choices.budgets[-1]) == pytest.approx((1e12, BEYOND * 1.6e13))
    assert max(choices.budgets[1:] / choices.budgets[:-1]) <= 1.5
    assert len({(one.model, one.method) for one in choices.candidates}) == len(choices.candidates)
    full = [row for row, one in enumerate(choices.candidates) if str(one.method) == "full"]
    for place, budget in enumerate(choices.budgets.tolist()):
        least, most = sizes_considered(laws, "full", budget)
        expected = {name for name in SUITES["smollm2"] if least <= find_shape(name).model_params <= most}
        assert {choices.candidates[row].model for row in full if np.isfinite(choices.tokens[row, place])} == expected


def test_all_sizes_can_be_considered(laws: Laws) -> None:
    near, every = (between(laws, 1e12, 1e13, min_steps=1, allow_unmeasured_sizes=free) for free in (False, True))
    assert models(near) == set(SUITES["smollm2"][: SUITES["smollm2"].index(MODELS[-1]) + 1])
    assert models(every) == set(SUITES["smollm2"])


def test_what_breaks_a_wish_is_no_choice(laws: Laws) -> None:
    free = between(laws, 1e13, 1e14)
    short = between(laws, 1e13, 1e14, pairs_available=2000, max_epochs=1)
    assert models(short) == models(free), "a choice stops where its pairs end"
    assert np.nanmax(short.tokens) <= 2000 * 60 < np.nanmax(free.tokens)


def test_what_is_served_is_not_trained_with(laws: Laws) -> None:
    served = between(laws, 1e13, 1e14, serve_tokens=1e5)
    cost = np.array([one.flops_per_token for one in served.candidates])[:, None]
    spent = served.tokens * cost + 2e5 * served.sizes[:, None]
    there = np.isfinite(spent)
    assert there.any()
    assert spent[there] == pytest.approx(np.broadcast_to(served.budgets, spent.shape)[there])
