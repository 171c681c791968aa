"""An impossible wish: which constraint failed, and the nearest budget at which it would hold."""

import re
from time import process_time

import pytest

from embudget.design import simulate
from embudget.errors import InfeasibleError
from embudget.laws import Laws, fit
from embudget.recipe import Wishes, recommend
from tests.recipe.worlds import BUDGET, NOISY


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=40)


def refused(laws: Laws, budget: float, wishes: Wishes) -> str:
    with pytest.raises(InfeasibleError) as error:
        recommend(laws, budget, **wishes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("budget", "wishes", "constraint"),
    [
        (1e10, Wishes(), "fewer than"),
        (BUDGET, Wishes(min_steps=10**6), "fewer than 1000000 steps"),
        (BUDGET, Wishes(serve_tokens=1e9), "serving 1e+09 tokens leaves nothing of the budget"),
        (1e16, Wishes(serve_tokens=1e12), "serving 1e+12 tokens leaves nothing of the budget"),
    ],
)
def test_the_nearest_budget_is_named_and_holds(laws: Laws, budget: float, wishes: Wishes, constraint: str) -> None:
    message = refused(laws, budget, wishes)
    assert constraint in message
    found = re.search(r"; at (\S+) FLOP it would hold: (\S+) (\S+)$", message)
    assert found is not None
    recipe = recommend(laws, float(found[1]), **(wishes | Wishes(force=True)))
    assert (recipe.model, recipe.method) == (found[2], found[3])
    for share in (0.5, 0.9):  # and no budget much nearer does
        between = budget * (float(found[1]) / budget) ** share
        if abs(between / float(found[1]) - 1) > 0.1:
            refused(laws, between, wishes)


@pytest.mark.parametrize(
    "wishes", [Wishes(max_params=1e6), Wishes(device_memory="100MB"), Wishes(pairs_available=5, min_steps=10)]
)
def test_where_no_budget_would_do_it_says_so(laws: Laws, wishes: Wishes) -> None:
    assert refused(laws, BUDGET, wishes).endswith("; no budget within 1e+06 times the measured ones meets this")


@pytest.mark.parametrize("wishes", [Wishes(max_params=1e6, serve_tokens=1e9), Wishes(min_steps=10**8)])
def test_the_search_takes_milliseconds(laws: Laws, wishes: Wishes) -> None:
    seconds = []
    for _ in range(4):  # the best of four: others may be at work on the machine
        started = process_time()
        refused(laws, BUDGET, wishes)
        seconds.append(process_time() - started)
    assert min(seconds) < 0.1
