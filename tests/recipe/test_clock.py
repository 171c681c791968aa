"""A budget in hours: each choice gets the FLOP that it makes of them, at the speeds of the measured runs."""

import pytest

import embudget as eb
from embudget.errors import BudgetError, ConfigError
from embudget.laws import Laws
from embudget.recipe.clock import Clock
from embudget.recipe.options import Option, Question


@pytest.fixture(scope="module")
def laws() -> Laws:
    return eb.find_laws("micro")


def test_a_recipe_takes_the_hours_that_it_is_given(laws: Laws) -> None:
    recipe = eb.recommend(laws, hours=0.02)
    assert recipe.seconds == pytest.approx(72, rel=0.02)
    assert "hours at the speeds of the measured runs" in str(recipe)


def test_a_slow_choice_gets_fewer_flop_out_of_the_same_hours(laws: Laws) -> None:
    """The smallest member reaches a third of the FLOP/s of the largest on the machine of these runs."""
    clock = Clock.of(laws)
    question = Question.of(laws, {}, clock=clock)
    budget = clock.flops(0.02)
    flops = {
        one.model: question.due(one, budget) for one in question.candidates if str(one.method) == "full"
    }  # fmt: skip
    assert 2 * flops["micro-200k"] < flops["micro-3m"]
    for one in question.candidates:
        due = question.due(one, budget)
        if isinstance(question.option(one, due), Option):
            assert question.seconds(one, due) == pytest.approx(72, rel=0.02)


def test_the_rule_gives_back_what_the_runs_took(laws: Laws) -> None:
    clock = Clock.of(laws)
    assert clock.speeds.error is not None
    assert clock.speeds.error < 0.25
    cell = next(cell for cell in laws.cells if cell.model == "micro-1m" and cell.method == "full")
    question = Question.of(laws, {}, clock=clock)
    candidate = next(one for one in question.candidates if (one.model, str(one.method)) == (cell.model, cell.method))
    assert question.seconds(candidate, cell.train_flops) == pytest.approx(cell.seconds, rel=0.2)


def test_the_nearest_budget_that_would_do_is_in_hours_and_holds(laws: Laws) -> None:
    with pytest.raises(eb.EmbudgetError, match=r"at 0.01 hours: .* at [0-9.e-]+ hours it would hold") as caught:
        eb.recommend(laws, hours=0.01, min_steps=2000)
    hours = float(str(caught.value).rpartition(" hours it would hold")[0].rpartition(" ")[2])
    assert 0.01 < hours < 0.1
    assert eb.recommend(laws, hours=hours * 1.01, min_steps=2000).model == "micro-200k"


def test_laws_of_untimed_runs_say_so_and_what_to_give(laws: Laws) -> None:
    cells = tuple(cell.model_copy(update={"seconds": None}) for cell in laws.cells)
    untimed = laws.model_copy(update={"table": laws.table.model_copy(update={"cells": cells})})
    with pytest.raises(ConfigError, match="timed on known models, and these laws hold none: give gpu_hours"):
        eb.recommend(untimed, hours=1)


def test_hours_and_flop_together_are_refused(laws: Laws) -> None:
    with pytest.raises(BudgetError, match="exactly one"):
        eb.recommend(laws, 1e12, hours=1)
    with pytest.raises(BudgetError, match="of this machine"):
        eb.recommend(laws, hours=1, device="h100")
