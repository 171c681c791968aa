"""The learning rate of a recipe, and where it says that it comes from."""

import pytest

from embudget.design import TrueRate, World, simulate
from embudget.laws import Laws, fit
from embudget.laws.rates import REACH
from embudget.methods import parse_method
from embudget.recipe import Recipe, recommend
from embudget.records import RunRecord
from embudget.suite import find_shape
from tests.recipe.worlds import BUDGET, MODELS, TRUTH

WORLD = World(
    truth=TRUTH,
    models=MODELS,
    noise=0.002,
    rate_laws={
        "full": TrueRate(at=1.5e-3, p=-0.3, q=0.2, curvature=0.02),
        "lora:32": TrueRate(at=4e-3, p=-0.3, q=0.2, curvature=0.02),
    },
    rate_multiples=(0.3, 0.9, 2.7),
)


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return simulate(WORLD)


@pytest.fixture(scope="module")
def tuned(records: list[RunRecord]) -> Laws:
    return fit(records, draws=20)


def test_the_rate_is_that_of_the_law_for_a_choice_that_was_not_measured(tuned: Laws) -> None:
    recipe = recommend(tuned, BUDGET)
    best = WORLD.rate_laws[recipe.method].best(recipe.model_params, recipe.tokens)
    assert recipe.learning_rate == pytest.approx(best, rel=0.2)
    assert recipe.learning_rate not in {cell.learning_rate for cell in tuned.cells}
    assert recipe.rate_source.startswith("by the rate law of 18 envelopes, spread x1.")
    assert f"  rate      {recipe.rate_source}\n" in str(recipe)
    assert recipe.run_config("pairs").learning_rate == recipe.learning_rate


def test_a_rate_far_beyond_the_measured_ones_is_kept_near_them(tuned: Laws) -> None:
    assert tuned.rate_law is not None
    steep = tuned.rate_law.model_copy(update={"tokens_slope": 3.0})
    recipe = recommend(tuned.model_copy(update={"rate_law": steep}), 100 * BUDGET, force=True)
    assert recipe.learning_rate == pytest.approx(REACH * steep.measured[recipe.method][1])
    assert recipe.rate_source.endswith(f", kept within a factor {REACH:g} of the best rates measured")


def test_a_method_without_envelopes_takes_the_rate_of_the_nearest_cell(records: list[RunRecord]) -> None:
    """Only the other method was run at several rates."""
    best = recommend(fit(records, draws=20), BUDGET).method
    rates = sorted({record.config.learning_rate for record in records if record.config.method == best})
    single = [
        changed(record, rates[0]) if record.config.method == best else record
        for record in records
        if record.config.method != best or is_middle(record)
    ]
    laws = fit(single, draws=20)
    assert laws.rate_law is not None
    assert best not in laws.rate_law.methods
    recipe = recommend(laws, BUDGET)
    assert recipe.method == best
    assert recipe.learning_rate == rates[0]
    assert recipe.rate_source.startswith("of the nearest measured cell, smollm2-135m:")


def is_middle(record: RunRecord) -> bool:
    law = WORLD.rate_laws[record.config.method]
    multiple = record.config.learning_rate / law.best(record.model_params or 0, record.tokens or 0)
    return 0.8 < multiple < 1


def changed(record: RunRecord, rate: float) -> RunRecord:
    return record.model_copy(update={"config": record.config.model_copy(update={"learning_rate": rate})})


def test_a_best_rate_at_an_end_is_said_to_be_one() -> None:
    fixed = WORLD.model_copy(update={"learning_rates": dict.fromkeys(TRUTH, (1e-5, 3e-5, 9e-5))})
    laws = fit(simulate(fixed), draws=20)
    assert laws.rate_law is None
    recipe = recommend(laws, BUDGET)
    assert recipe.learning_rate == 9e-5
    assert recipe.rate_source.endswith(" FLOP, where it is the highest tried")
    assert "best rate 9e-5 is the highest tried" in laws.summary()


def test_without_any_rate_the_default_is_taken_and_named(tuned: Laws) -> None:
    cells = tuple(cell.model_copy(update={"learning_rate": None}) for cell in tuned.table.cells)
    table = tuned.table.model_copy(update={"cells": cells})
    recipe = recommend(Laws.model_validate(tuned.model_dump() | {"table": table, "rate_law": None}), BUDGET)
    assert recipe.learning_rate == parse_method(recipe.method).default_learning_rate(find_shape(recipe.model))
    assert recipe.rate_source == f"the default of {recipe.method}"
    assert any("does not say learning_rate" in warning for warning in recipe.warnings)


def test_a_recipe_without_a_source_of_its_rate_prints_no_line_of_it(tuned: Laws) -> None:
    data = recommend(tuned, BUDGET).model_dump(exclude={"rate_source"})
    assert "  rate " not in str(Recipe.read(data, "recipe"))
