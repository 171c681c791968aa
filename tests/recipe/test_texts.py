"""A recipe takes the negatives and the length of the nearest measured cell, and says what others came to."""

import embudget as eb
from embudget.laws import Laws
from embudget.recipe import Recipe
from embudget.runs.tried import Tried

TRIED = (
    Tried(negatives=0, loss=1.25, seeds=1, worse=0.05, error=0.01),
    Tried(negatives=4, loss=1.2, seeds=1, worse=0.0),
)


def with_negatives(laws: Laws) -> Laws:
    """The same laws, of a study that swept negatives: with 4 the pairs have three times the tokens."""
    a_pair = 3 * (laws.table.tokens_per_pair or 55)
    cells = [
        cell.model_copy(update={"negatives": 4.0, "tried": TRIED, "pairs_seen": cell.tokens / a_pair})
        for cell in laws.table.cells
    ]
    copied = laws.model_copy(update={"table": laws.table.model_copy(update={"cells": tuple(cells)})})
    copied.__dict__.pop("cells", None)  # what the laws have looked up already
    return copied


def test_the_negatives_of_the_nearest_cell_are_named_with_their_evidence() -> None:
    plain = eb.find_laws("smollm2")
    before, recipe = eb.recommend(plain, 1e13), eb.recommend(with_negatives(plain), 1e13)
    assert (before.negatives, before.texts_source) == (0, "")
    assert (recipe.model, recipe.method, recipe.negatives) == (before.model, before.method, 4)
    assert recipe.texts_source.endswith(
        "; nats by hard negatives: 0: 1.250 (+0.050 with standard error 0.010), 4: 1.200"
    )
    assert "texts     4 hard negatives of each pair, as in the nearest measured cell, smollm2-135m" in str(recipe)
    assert "hard negative" not in str(before)
    assert 0.3 < recipe.steps / before.steps < 0.37, "each pair takes three times the tokens"
    assert recipe.run_config("0" * 16).negatives == 4
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_attention_is_mentioned_at_long_texts() -> None:
    recipe = eb.recommend(eb.find_laws("smollm2"), 1e13)
    assert "attention adds" not in str(recipe)
    long = recipe.model_copy(update={"pairs": round(recipe.tokens / 4000)})
    assert "  not paid  attention adds " in str(long)
    assert "tokens, which budgets do not count" in str(long)
