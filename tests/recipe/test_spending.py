"""Recipes know the study's pairs: they repeat them, and stop where more passes would not help."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

import embudget.recipe
from embudget.design import simulate
from embudget.errors import InfeasibleError
from embudget.laws import Laws, fit
from embudget.laws.on_pairs import OnPairs
from embudget.laws.repetition import Repetition
from embudget.recipe import Recipe
from embudget.recipe.options import Option, Question
from embudget.recipe.spending import WORTH
from tests.recipe.worlds import BUDGET, NOISY

recommend = partial(embudget.recipe.recommend, force=True)
"""Some of the budgets are far away."""
FEW = 2000
"""Pairs, of which the recipe for `BUDGET` would see many times as many."""
FAR = 3e16


@pytest.fixture(scope="module")
def unlimited() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=60)


@pytest.fixture(scope="module")
def known(unlimited: Laws) -> Callable[[int], Laws]:
    """The same laws, of a study with so many pairs."""

    def with_pairs(pairs: int) -> Laws:
        return unlimited.model_copy(update={"table": unlimited.table.model_copy(update={"training_pairs": pairs})})

    return with_pairs


def test_enough_pairs_change_nothing(unlimited: Laws, known: Callable[[int], Laws]) -> None:
    free, enough = recommend(unlimited, BUDGET), recommend(known(10**7), BUDGET)
    assert enough.model_copy(update={"training_pairs": None}) == free
    assert (free.training_pairs, enough.training_pairs) == (None, 10**7)
    assert enough.crossovers == free.crossovers


def test_few_pairs_are_repeated_for_less(unlimited: Laws, known: Callable[[int], Laws]) -> None:
    free, few = recommend(unlimited, BUDGET), recommend(known(FEW), BUDGET)
    assert few.pairs > few.max_epochs * FEW - FEW - few.batch_size
    assert few.run_config("pairs").max_epochs == few.max_epochs > 1
    assert few.predicted_loss > free.predicted_loss
    effective = float(Repetition().effective(few.tokens, FEW * 60.0))
    assert few.predicted_loss == pytest.approx(unlimited.predict(few.method, few.model_params, effective), rel=1e-9)
    assert f"({few.passes:.3g} passes over 2,000)" in str(few)
    (warning,) = few.warnings
    assert warning.startswith(f"the pairs are seen up to {few.max_epochs} times, and in the measured runs at most 1: ")
    assert warning.endswith("how much they still teach is assumed (R 15 [5.59, 40.2]), and they may be overfitted")


def test_what_repeats_beyond_use_is_left_over(known: Callable[[int], Laws]) -> None:
    laws = known(FEW)
    recipe = recommend(laws, FAR)
    assert recipe.unspent_flops > FAR / 2
    assert recipe.train_flops + recipe.unspent_flops == pytest.approx(FAR) == pytest.approx(recipe.budget)
    unique = FEW * 60.0
    whole = laws.predict(recipe.method, recipe.model_params, recipe.tokens * FAR / recipe.train_flops, unique)
    assert whole * (1 + WORTH) == pytest.approx(recipe.predicted_loss, rel=WORTH / 50)
    warned, first, *_ = str(recipe).splitlines()
    assert warned.startswith("warning: these runs do not support")
    assert first.startswith(f"{recipe.train_flops:.3g} of 3e+16 FLOP, ")
    why = f"more than {recipe.passes:.3g} passes over the 2,000 pairs would not help"
    assert first.endswith(f"{recipe.unspent_flops:.3g} are left over, since {why}")
    assert Recipe.read(recipe.model_dump(), "again") == recipe
    for choice in recipe.flat:
        assert choice.train_flops <= FAR
    more = recommend(laws, 4 * FAR)
    assert (more.model, more.method) == (recipe.model, recipe.method)
    assert more.train_flops == pytest.approx(recipe.train_flops, rel=0.1), "with more FLOP more is left over"


def test_one_pass_is_always_spent(unlimited: Laws, known: Callable[[int], Laws]) -> None:
    free = recommend(unlimited, BUDGET)
    once = recommend(known(free.pairs), BUDGET)
    assert (once.model, once.tokens, once.unspent_flops, once.warnings) == (free.model, free.tokens, 0, free.warnings)
    for budget in np.geomspace(1e13, FAR, 6):
        recipe = recommend(known(FEW), float(budget))
        assert recipe.unspent_flops == 0 or recipe.pairs >= FEW


def test_wishes_limit_the_passes(known: Callable[[int], Laws]) -> None:
    """Choices stop there; over the user's own pairs after as many as the runs made, if nothing is wished."""
    laws = known(FEW)
    recipe = recommend(laws, FAR, max_epochs=4)
    assert (recipe.pairs, recipe.max_epochs) == (4 * FEW, 4)
    assert recipe.budget == pytest.approx(FAR)
    assert recipe.left_over == "max_epochs allows no more than 4 passes over the 2,000 pairs"
    assert recommend(laws, BUDGET / 8, max_epochs=4).pairs <= 4 * FEW
    assert recommend(laws, FAR, max_epochs=4, pairs_available=FEW) == recipe
    assert recommend(laws, FAR, pairs_available=FEW).left_over == (
        "without max_epochs the measured runs allow no more than 1 pass over the 2,000 pairs"
    )
    own = recommend(laws, BUDGET, pairs_available=10**6)
    assert (own.training_pairs, own.pairs <= 10**6, own.warnings) == (10**6, True, ())


def test_fewer_pairs_than_a_batch_are_refused(known: Callable[[int], Laws]) -> None:
    with pytest.raises(InfeasibleError, match="more pairs than the 10 there are"):
        recommend(known(10), BUDGET)


def test_what_was_measured_to_repeat_is_not_warned_of(known: Callable[[int], Laws]) -> None:
    laws = known(FEW)
    few = recommend(laws, BUDGET)
    repetition = Repetition(fitted=True, passes=float(few.max_epochs))
    measured = laws.model_copy(update={"repetition": repetition})
    assert recommend(measured, BUDGET).warnings == ()


def test_a_shorter_option_keeps_to_the_limits(known: Callable[[int], Laws]) -> None:
    """Where fewer steps than the fewest would do, all is spent."""
    laws = known(FEW)
    recipe = recommend(laws, FAR)
    needed = recommend(laws, FAR, min_steps=2 * recipe.steps)
    assert needed.steps >= 2 * recipe.steps
    question = Question.of(laws, {"min_steps": 1})
    assert isinstance(question.law, OnPairs)
    option = question.option(question.candidates[0], BUDGET)
    assert isinstance(option, Option)
    assert option.train_flops == BUDGET
