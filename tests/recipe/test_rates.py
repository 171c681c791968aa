"""The learning rate of a recipe, and where it says that it comes from."""

import numpy as np
import pytest

from embudget.design import TrueRate, World, simulate
from embudget.laws import Laws, find_laws, fit
from embudget.laws.rates import REACH, rate_text
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


@pytest.mark.parametrize(("slope", "word"), [(1.0, "above"), (-1.0, "below")])
def test_a_rate_far_beyond_the_measured_ones_is_said_to_be_far(tuned: Laws, slope: float, word: str) -> None:
    steep = with_lines(tuned, slopes=(0.0, slope))
    assert steep.rate_law is not None
    recipe = recommend(steep, 100 * BUDGET, force=True)
    assert recipe.learning_rate == pytest.approx(
        steep.rate_law.predict(recipe.method, recipe.model_params, recipe.tokens, recipe.model)
    )
    times = steep.rate_law.beyond(recipe.method, recipe.learning_rate)
    assert max(times, 1 / times) > REACH
    (warning,) = (text for text in recipe.warnings if "learning rate" in text)
    assert f" times {word} any best rate measured of {recipe.method} (" in warning


def test_a_member_that_was_measured_at_another_rate_than_the_law_says_is_warned_of(tuned: Laws) -> None:
    """The loss to expect is then of runs that the recipe does not make: the law's rate is that of other members."""
    smallest = find_shape(MODELS[0]).model_params
    model, method = (recipe := recommend(tuned, BUDGET, max_params=smallest)).model, recipe.method

    def measured(times: float, **said: object) -> Laws:
        one = {"learning_rate": recipe.learning_rate * times, **said}
        cells = tuple(
            cell.model_copy(update=one) if (cell.model, cell.method) == (model, method) else cell
            for cell in tuned.table.cells
        )
        return tuned.model_copy(update={"table": tuned.table.model_copy(update={"cells": cells})})

    untuned = {"rates": 1, "rate_inside": None, "rate_curvature": None, "lowest_rate": None, "highest_rate": None}
    far = recommend(measured(10, **untuned), BUDGET, max_params=smallest)
    (warning,) = (text for text in far.warnings if "learning rate" in text)
    assert f" is 10 times below the {rate_text(10 * recipe.learning_rate)} at which " in warning
    assert f"at which {model} was measured by {method}" in warning
    near = recommend(measured(2, **untuned), BUDGET, max_params=smallest)
    assert not any("at which" in text for text in near.warnings)


def test_a_rate_near_the_measured_ones_is_not_warned_of(tuned: Laws) -> None:
    assert not any("learning rate" in text for text in recommend(tuned, 16 * BUDGET, force=True).warnings)


def with_lines(laws: Laws, **update: object) -> Laws:
    """The laws with another rate law: these values in the line of every method and measured model."""
    law = laws.rate_law
    assert law is not None
    lines = {method: line.model_copy(update=update) for method, line in law.lines.items()}
    return laws.model_copy(update={"rate_law": law.model_copy(update={"lines": lines, "members": {}})})


def test_the_loss_pays_for_an_uncertain_rate(tuned: Laws) -> None:
    """A scatter of 0.6 in log rate costs 0.36 times the curvature; the interval contains that and its spread."""
    sure, unsure = (with_lines(tuned, covariance=(0.0,) * 6, scatter=scatter) for scatter in (0.0, 0.6))
    assert sure.rate_law is not None
    before, after = recommend(sure, BUDGET), recommend(unsure, BUDGET)
    assert before.predicted_loss == pytest.approx(
        tuned.predict(before.method, before.model_params, before.tokens), rel=1e-9
    )
    excess = 0.36 * sure.rate_law.curvatures[after.method.partition(":")[0]]
    assert excess == pytest.approx(0.36 * 0.02, rel=0.3)
    best = tuned.predict(after.method, after.model_params, after.tokens)
    assert after.predicted_loss == pytest.approx(best * np.exp(excess), rel=1e-6)
    for of, interval in (("run", after.predicted_interval), ("law", after.loss_interval)):
        low, high = tuned.interval(after.method, after.model_params, after.tokens, of=of)  # type: ignore[arg-type]
        assert interval[0] > low * np.exp(-1.4 * excess)
        assert interval[1] > high * np.exp(excess)
    assert "standard error a factor 1.8" in after.rate_source


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


@pytest.mark.parametrize("name", ["smollm2", "micro"])
@pytest.mark.parametrize("budget", [4e13, 1e15, 1e17])
def test_no_choice_that_was_not_taken_is_shown_with_a_lower_loss(name: str, budget: float) -> None:
    """Each choice's promise pays for its own learning rate; what is shown beside the recipe's is on its footing."""
    recipe = recommend(find_laws(name), budget, force=True)
    rejected = [float(no.reason.split()[2].rstrip(",")) for no in recipe.rejected if no.reason.endswith("% worse")]
    assert all(loss >= recipe.predicted_loss - 5e-4 for loss in rejected)
    beside = [recipe.predicted_loss, *(recipe.beside(one) for one in recipe.flat)]
    assert beside[1:] == sorted(beside[1:])
    assert recipe.predicted_loss <= 1.002 * min(beside)
    if recipe.rate_cost >= 5e-4:
        assert f"  of which  {100 * recipe.rate_cost:.1f} % are for the uncertain learning rate" in str(recipe)


def test_far_away_a_choice_as_good_may_promise_less_since_its_rate_is_surer() -> None:
    """Without such a case the test above could not fail."""
    recipe = recommend(find_laws("smollm2"), 1e17, force=True)
    assert any(one.predicted_loss < recipe.predicted_loss for one in recipe.flat)
