"""A recipe takes the negatives and the length of the nearest measured cell, and says what others came to."""

from collections.abc import Iterator

import pytest

import embudget as eb
from embudget.design import simulate
from embudget.laws import Laws
from embudget.memory import USABLE_SHARE, training_bytes
from embudget.methods import parse_method
from embudget.recipe import Recipe
from embudget.records import GroupScore, RunRecord
from embudget.runs.tried import Tried
from embudget.suite import find_shape
from tests.recipe.worlds import BUDGET, MODELS, NOISY

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


def swept(negatives: int, gain: float) -> Iterator[RunRecord]:
    """A simulated study of three members, each run with and without negatives, which change its loss by ``gain``."""
    for record in simulate(NOISY, seed=1):
        assert record.loss is not None and record.pairs_seen is not None and record.steps is not None
        for count, times in ((0, 1.0), (negatives, gain)):
            longer = (2 + count) / 2  # a budget buys the same tokens, and a negative is as long as a positive
            loss = times * record.loss
            fields = {
                "config": record.config.model_copy(update={"negatives": count}),
                "loss": loss,
                "steps": round(record.steps / longer),
                "pairs_seen": round(record.pairs_seen / longer),
                "groups": {f"demo/{k}": GroupScore(20, loss * (0.8 + 0.1 * k) * (1 + 0.01 * k * count), 0.5)
                           for k in range(5)},
            }  # fmt: skip
            yield record.model_copy(update=fields)


@pytest.mark.parametrize(("gain", "best", "tokens_a_pair"), [(0.9, 1, 90.0), (1.1, 0, 60.0)])
def test_a_study_that_swept_negatives_gives_a_recipe_with_the_better_number(
    gain: float, best: int, tokens_a_pair: float
) -> None:
    """From records to the run that realises the recipe, by a fit to several members."""
    laws = eb.fit(list(swept(1, gain)))
    assert laws.table.models == MODELS and {cell.negatives for cell in laws.cells} == {best}
    recipe = eb.recommend(laws, BUDGET)
    assert recipe.negatives == best
    assert recipe.tokens / recipe.pairs == pytest.approx(tokens_a_pair, rel=0.02), "as long as with this many"
    assert recipe.texts_source.startswith("as in the nearest measured cell, smollm2-135m:")
    worse = recipe.texts_source.split(f"{1 - best}: ")[1]
    assert "(+0." in worse and "with standard error 0.0" in worse
    assert f"  texts     {best} hard negative{'' if best else 's'} of each pair, as in the nearest" in str(recipe)
    assert recipe.run_config("0" * 16).negatives == best


def test_negatives_need_memory_too() -> None:
    laws = eb.fit(list(swept(64, 0.9)))
    recipe = eb.recommend(laws, BUDGET)
    at = parse_method(recipe.method), find_shape(recipe.model), recipe.batch_size, recipe.max_length
    with_them, without = (training_bytes(*at, negatives=count) for count in (64, 0))
    scarce = eb.recommend(laws, BUDGET, device_memory=(with_them + without) / 2 / USABLE_SHARE)
    (reason,) = (no.reason for no in scarce.rejected if (no.model, no.method) == (recipe.model, recipe.method))
    assert reason.startswith(f"needs about {with_them / 1e6:.3g} MB of memory to train")


def test_attention_is_mentioned_at_long_texts() -> None:
    recipe = eb.recommend(eb.find_laws("smollm2"), 1e13)
    assert "attention adds" not in str(recipe)
    long = recipe.model_copy(update={"pairs": 100, "tokens": 400_000})
    assert "  not paid  attention adds " in str(long)
    assert "even if all texts had the mean length of 2000 tokens, which budgets do not count" in str(long)
