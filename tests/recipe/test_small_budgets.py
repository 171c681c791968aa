"""Budgets below the smallest measured one are answered as far down as those above the largest one upwards."""

import pytest

from embudget.errors import InfeasibleError, UnsupportedError
from embudget.laws import find_laws
from embudget.recipe import recommend
from embudget.recipe.hyperparameters import LEAST_STEPS, Practice

SMALLEST = {"smollm2": 1e12, "micro": 3e11}


@pytest.mark.parametrize(
    ("name", "part"), [("smollm2", 1.05), ("smollm2", 2), ("smollm2", 5), ("micro", 3), ("micro", 15)]
)
def test_just_below_the_smallest_budget_there_is_a_recipe_with_a_warning(name: str, part: float) -> None:
    """All choices take fewer steps than the shortest measured run there, which was a reason to refuse them all."""
    laws = find_laws(name)
    recipe = recommend(laws, SMALLEST[name] / part)
    assert recipe.supported
    fewest = Practice.of(laws).fewest_steps
    assert recipe.steps >= LEAST_STEPS
    assert any(f"fewer than any measured one ({fewest})" in text for text in recipe.warnings) == (recipe.steps < fewest)
    assert any("times outside those that" in text for text in recipe.warnings) == (part > 4)


def test_further_below_the_runs_support_none_as_further_above() -> None:
    with pytest.raises(UnsupportedError, match=r"16\.7 times outside"):
        recommend(find_laws("micro"), 3e11 / 16.7)


def test_a_budget_that_buys_no_ten_steps_of_any_model_names_the_nearest_one_that_does() -> None:
    laws = find_laws("smollm2")
    with pytest.raises(InfeasibleError, match=r"fewer than 10 steps, .*; at (\S+) FLOP it would hold") as refusal:
        recommend(laws, 1e10)
    nearest = str(refusal.value).split("; at ")[1].split()[0]
    assert recommend(laws, nearest).steps == LEAST_STEPS


def test_the_fewest_steps_fall_with_the_budget_below_the_smallest_one_alone() -> None:
    practice = Practice.of(find_laws("smollm2"))
    fewest = practice.fewest_steps
    assert [practice.least_steps(1e12 * times) for times in (100, 1, 0.5, 0.1)] == [
        fewest,
        fewest,
        fewest // 2,
        LEAST_STEPS,
    ]
    assert recommend(find_laws("smollm2"), 1e11, min_steps=3).steps >= 3
