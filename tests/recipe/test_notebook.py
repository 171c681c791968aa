"""What a notebook shows of a recipe: the choice, what to expect, what to doubt; names are escaped."""

from html import unescape

import pytest

from embudget.laws import find_laws
from embudget.recipe import Recipe, Untrained, recommend

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return recommend(find_laws("smollm2"), 4e13)


def test_it_shows_the_choice_and_what_to_expect(recipe: Recipe) -> None:
    shown = unescape(recipe._repr_html_())
    low, high = recipe.predicted_interval
    assert f"{recipe.model} by {recipe.method}" in shown
    assert f"{recipe.predicted_loss:.3f} nats, with 90 % {low:.3f} to {high:.3f}" in shown
    assert all(f"{one.model} {one.method} ({recipe.beside(one):.3f})" in shown for one in recipe.flat[:8])
    assert "color" not in shown and "background" not in shown, "else it would not suit a dark theme"


def test_names_and_warnings_are_escaped(recipe: Recipe) -> None:
    named = recipe.model_copy(update={"model": HOSTILE, "warnings": (HOSTILE,)})
    shown = named._repr_html_()
    assert "<script" not in shown and unescape(shown).count(HOSTILE) == 2


def test_of_many_choices_as_good_some_are_counted(recipe: Recipe) -> None:
    shown = recipe.model_copy(update={"flat": recipe.flat[:1] * 11})._repr_html_()
    assert "; and 3 more" in shown


def test_a_start_that_is_better_as_it_is_comes_first(recipe: Recipe) -> None:
    start = Untrained(
        model="all-minilm-l6-v2", loss=2.0, trained_loss=2.5, pays_from=None, interval=None, share=0.1, searched=1e15
    )
    shown = recipe.model_copy(update={"untrained": start})._repr_html_()
    assert shown.startswith("<div><p><b>Use all-minilm-l6-v2 as it is")
    assert "The best trained choice" in shown
