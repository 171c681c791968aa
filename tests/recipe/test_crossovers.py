"""Crossovers: where the best kind of method changes, how well it is known, and what cannot be told apart."""

from time import process_time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from embudget.design import World, simulate
from embudget.errors import BudgetError
from embudget.laws import Coefficients, Laws, fit
from embudget.methods import parse_method
from embudget.recipe import Crossover, Recipe, crossovers, recommend
from embudget.recipe.lowest import BEYOND
from embudget.suite import SUITES, find_shape
from tests.recipe.worlds import BUDGET, MODELS

CROSSING = {
    "full": Coefficients(E=1.5, A=450, a=0.35, B=290, b=0.42),
    "lora:8": Coefficients(E=1.9, A=450, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.9, A=450, a=0.35, B=240, b=0.42),
}
"""LoRA is the better while data are few."""
WORLD = World(truth=CROSSING, models=MODELS, noise=0.005, seeds=2)


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(WORLD, seed=1), draws=60)


def true_crossing(model: str) -> float:
    """On one model, where every budget is a size's only choice."""

    def gap(log_budget: float) -> float:
        losses = {method: WORLD.loss(model, method, float(np.exp(log_budget))) for method in CROSSING}
        return min(losses["lora:8"], losses["lora:32"]) - losses["full"]

    return float(np.exp(brentq(gap, np.log(1e12), np.log(2e14))))


def test_without_noise_the_crossover_is_the_true_one_and_known_exactly() -> None:
    exact = fit(simulate(WORLD.model_copy(update={"noise": 0.0})), draws=10)
    (found,) = crossovers(exact, [find_shape(MODELS[0])])
    true = true_crossing(MODELS[0])
    assert (found.from_method, found.to_method, found.share) == ("lora", "full", 1.0)
    assert found.budget == pytest.approx(true, rel=0.02)
    assert found.interval == pytest.approx((true, true), rel=0.02)


def test_with_noise_the_interval_holds_the_true_crossover(laws: Laws) -> None:
    (found,) = crossovers(laws, [find_shape(MODELS[1])])
    true = true_crossing(MODELS[1])
    assert found.determined
    assert found.budget is not None
    assert found.interval is not None
    low, high = found.interval
    assert low < true < high
    assert low < found.budget < high < 4 * low
    assert str(found) == f"lora to full at {found.budget:.2g} FLOP, with 90 % {low:.2g} to {high:.2g}"


def test_the_best_kind_is_the_one_that_recipes_take_on_either_side(laws: Laws) -> None:
    (found,) = crossovers(laws)
    assert found.interval is not None
    low, high = found.interval
    assert recommend(laws, low / 1.2, min_steps=1).method.startswith("lora")
    assert recommend(laws, high * 1.2, min_steps=1).method == "full"


def test_a_crossover_beyond_the_budgets_is_not_seen(laws: Laws) -> None:
    true = true_crossing(MODELS[0])
    assert crossovers(laws, [find_shape(MODELS[0])], high=true / 4) == ()
    assert crossovers(laws, [find_shape(MODELS[0])], low=true * 4) == ()
    assert len(crossovers(laws, [find_shape(MODELS[0])], low=true / 4, high=true * 4)) == 1


def test_equal_methods_are_undetermined() -> None:
    """LoRA's cheaper tokens are worth as much less each."""
    full, lora = CROSSING["full"], CROSSING["lora:32"]
    shape = find_shape(MODELS[1])
    costs = [parse_method(method).flops_per_token(shape) for method in ("full", "lora:32")]
    equal = full.model_copy(update={"B": (full.B or 0) * (costs[0] / costs[1]) ** full.b})
    world = World(truth={"full": full, "lora:32": equal}, models=MODELS, noise=0.03)
    assert world.loss(MODELS[1], "full", 1e13) == pytest.approx(world.loss(MODELS[1], "lora:32", 1e13))
    assert lora.B != equal.B
    found = crossovers(fit(simulate(world, seed=3), draws=60))
    assert found
    assert {frozenset((one.from_method, one.to_method)) for one in found} == {frozenset(("full", "lora"))}
    assert not any(one.determined for one in found)
    assert all("undetermined" in str(one) for one in found)


def test_one_kind_of_method_has_no_crossover() -> None:
    ranks = {"lora:8": CROSSING["lora:8"], "lora:32": CROSSING["full"]}
    assert crossovers(fit(simulate(World(truth=ranks, models=MODELS)), draws=10)) == ()


def test_no_members_have_no_crossover(laws: Laws) -> None:
    assert crossovers(laws, []) == ()
    assert crossovers(laws, [find_shape("pythia-12b")]) == ()  # far larger than what was measured


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 1e13, "high": 1e12}, r"below the largest, got 1e\+13 and 1e\+12"),
        ({"low": 1e30}, r"got 1e\+30 and 2.56e\+14"),
        ({"low": 1e20, "high": 1e21}, r"got 1e\+20 and 1.6e\+19"),
        ({"low": -1.0}, "budget must be finite and > 0, got -1"),
        ({"high": float("nan")}, "budget must be finite and > 0, got nan"),
    ],
)
def test_what_is_no_range_of_budgets_is_one_line(laws: Laws, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BudgetError, match=message) as error:
        crossovers(laws, **arguments)
    assert "\n" not in str(error.value)


def test_a_recipe_tells_the_crossovers_of_what_it_may_choose(laws: Laws) -> None:
    recipe = recommend(laws, BUDGET)
    assert recipe.crossovers == crossovers(laws, high=BEYOND * BUDGET)
    assert len(recipe.crossovers) == 1
    assert f"  crossover {recipe.crossovers[0]}" in str(recipe)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    limited = recommend(laws, BUDGET, max_params=4e6)
    assert limited.crossovers == crossovers(laws, [find_shape(MODELS[0])], high=BEYOND * BUDGET)
    assert limited.crossovers != recipe.crossovers
    free = recommend(laws, BUDGET, allow_unmeasured_sizes=True)
    assert free.crossovers == crossovers(laws, high=BEYOND * BUDGET, allow_unmeasured_sizes=True)
    short = recommend(laws, 5e11, min_steps=1)
    assert short.crossovers == crossovers(laws, low=5e11, min_steps=1)
    assert recommend(laws, 1e22, force=True).crossovers == crossovers(laws, high=1e30)


def test_crossovers_are_those_of_the_choices_that_the_wishes_leave(laws: Laws) -> None:
    """Full fine-tuning takes the most memory, long runs the most pairs: without it, or them, nothing is overtaken."""
    (found,) = recommend(laws, BUDGET).crossovers
    assert (found.from_method, found.to_method) == ("lora", "full")
    scarce = recommend(laws, BUDGET, device_memory="700MB")
    assert scarce.crossovers != (found,)
    assert recommend(laws, 1e12, min_steps=1, pairs_available=1000).crossovers == ()


def test_serving_counts_as_a_part_of_the_budget(laws: Laws) -> None:
    """On one model it takes the same of every method, which moves the crossover by as much."""
    members = [find_shape(MODELS[1])]
    (free,) = crossovers(laws, members)
    served = 1e4
    (paid,) = crossovers(laws, members, serve_tokens=served)
    assert free.budget is not None
    assert paid.budget == pytest.approx(free.budget + 2 * members[0].model_params * served, rel=0.03)


def test_more_draws_tell_of_the_same_interval() -> None:
    records = simulate(WORLD, seed=1)
    few, many = (crossovers(fit(records, draws=draws))[0] for draws in (200, 900))
    assert few.interval is not None
    assert many.interval is not None
    assert many.interval == pytest.approx(few.interval, rel=0.3)
    assert many.share == 1


def test_crossovers_take_milliseconds() -> None:
    """16 ms where the fit takes 3.3 s; their ratio is that of the work, whatever the processor and its load."""
    methods = {**CROSSING, "freeze:0.5": CROSSING["full"], "bias": CROSSING["lora:8"]}
    world = World(truth=methods, models=SUITES["pythia"], budgets=(1e16, 4e16, 1.6e17, 6.4e17), noise=0.01)
    runs = simulate(world)
    started = process_time()
    laws = fit(runs, draws=200)
    fitting = process_time() - started
    seconds = []
    for _ in range(6):  # the best of six: the first fills caches
        started = process_time()
        crossovers(laws)
        seconds.append(process_time() - started)
    assert min(seconds) < fitting / 50


def test_a_crossover_is_validated() -> None:
    with pytest.raises(ValueError, match="share"):
        Crossover(from_method="full", to_method="lora", budget=1e12, interval=None, share=1.5)
