"""The recipe of a study that mixes base models and a retriever: the better start, and where it changes."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from embudget.cli.app import app
from embudget.design import World, simulate
from embudget.errors import ConfigError, InfeasibleError, UnsupportedError
from embudget.findings import explain
from embudget.laws import Coefficients, Laws, fit
from embudget.recipe import Recipe, Wishes, recipe_curve, recommend
from embudget.recipe.lowest import span_near
from embudget.recipe.options import Question, of_measured_start
from embudget.recipe.starts import BETWEEN_STARTS, questions, start_crossovers
from embudget.report import write_report
from embudget.runs import Cell, RunTable
from embudget.suite import find_shape
from tests.laws.test_lineages import BASE, BUDGETS, MODELS, RETRIEVER, TRUTH, study, world


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(study(), draws=40, forms=["rectified"])


def truly_best(lineage: str, budget: float) -> float:
    it = world(lineage)
    return min(it.loss(model, method, budget) for model in MODELS[lineage] for method in TRUTH[lineage])


def true_crossover() -> float:
    grid = np.geomspace(BUDGETS[0], BUDGETS[-1], 400)
    return float(min(budget for budget in grid if truly_best(BASE, budget) < truly_best(RETRIEVER, budget)))


@pytest.mark.parametrize("budget", [1e13, 6.4e14])
def test_the_better_start_is_recommended(laws: Laws, budget: float) -> None:
    recipe = recommend(laws, budget)
    better = min(TRUTH, key=lambda lineage: truly_best(lineage, budget))
    assert recipe.lineage == better
    assert recipe.model.startswith(better.split()[0])
    assert recipe.predicted_loss == pytest.approx(truly_best(better, budget), rel=0.05)


def test_the_best_of_each_start_is_there_with_its_interval(laws: Laws) -> None:
    recipe = recommend(laws, 1e13)
    assert [one.lineage for one in recipe.starts] == [RETRIEVER, BASE]
    for one in recipe.starts:
        low, high = one.predicted_interval
        assert low < truly_best(one.lineage, 1e13) < high
        assert one.supported
    assert recipe.starts[0].model == recipe.model
    assert any(no.reason.endswith(f"the best of {BASE}") for no in recipe.rejected)


def test_starts_that_never_change_places_are_said_to(laws: Laws) -> None:
    recipe = recommend(laws, 1e13)
    line = f"  crossover none found between {RETRIEVER} and {BASE}"
    assert line in str(recipe.model_copy(update={"start_crossovers": ()})).splitlines()
    assert line not in str(recipe).splitlines()


def test_a_start_tuned_at_several_rates_is_not_compared_with_one_at_a_single_rate_in_silence(laws: Laws) -> None:
    """What the untuned start loses by its rate would be taken for what it is worth."""

    def tried(rates: dict[str, int]) -> Laws:
        first, *others = (
            one.model_copy(
                update={"table": one.table.model_copy(update={"cells": _at_rates(one.table, rates[str(one.lineage)])})}
            )
            for one in laws.every
        )
        return first.model_copy(update={"others": tuple(others)})

    text = f"{BASE} was measured at one learning rate in most cells, {RETRIEVER} at 3 in most cells: "
    uneven = tried({BASE: 1, RETRIEVER: 3})
    (warning,) = (one for one in recommend(uneven, 1e13).warnings if one.startswith(text))
    assert f"warning   {warning}" in str(recommend(uneven, 1e13))
    assert f"warning: {warning}" in uneven.summary()
    for even in ({BASE: 3, RETRIEVER: 3}, {BASE: 1, RETRIEVER: 1}):
        assert not any("one learning rate" in one for one in recommend(tried(even), 1e13).warnings)
        assert "one learning rate" not in tried(even).summary()
    assert not any("one learning rate" in one for one in recommend(uneven, 1e13, suite="smollm2").warnings), (
        "no comparison"
    )


def _at_rates(table: RunTable, rates: int) -> tuple[Cell, ...]:
    return tuple(cell.model_copy(update={"rates": rates, "learning_rate": 1e-4}) for cell in table.cells)


def test_the_crossover_of_starts_is_found(laws: Laws) -> None:
    recipe = recommend(laws, 1e13)
    (crossover,) = (one for one in recipe.start_crossovers if one.determined)
    assert (crossover.from_lineage, crossover.to_lineage) == (RETRIEVER, BASE)
    assert crossover.interval is not None
    assert crossover.interval[0] < true_crossover() < crossover.interval[1]
    assert crossover.budget == pytest.approx(true_crossover(), rel=0.2)
    assert f"crossover {RETRIEVER} to {BASE} at" in str(recipe)
    assert f"best fresh start from {BASE}" in str(recipe)


def test_what_no_form_explains_widens_a_crossover_of_starts_beyond_the_measured_budgets(laws: Laws) -> None:
    """A crossover that is extrapolated is known less well than the draws alone say."""

    def width(discrepancy: float) -> float:
        parts = [
            one.model_copy(update={"surface": one.surface.model_copy(update={"discrepancy": discrepancy})})
            for one in laws.every
        ]
        few = parts[0].model_copy(update={"others": tuple(parts[1:])})
        asked, _ = questions(few, None, {})
        cut = {name: one._replace(laws=_with_budgets_up_to(one.laws, 2e13)) for name, one in asked.items()}
        (found,) = (one for one in start_crossovers(cut) if one.budget is not None)
        assert found.interval is not None
        return found.interval[1] / found.interval[0]

    assert 0 < BETWEEN_STARTS < 1
    assert width(0.01) > width(0.0)


def _with_budgets_up_to(laws: Laws, most: float) -> Laws:
    cells = [cell.model_dump() for cell in laws.table.cells if cell.budget <= most]
    table = RunTable.model_validate(laws.table.model_dump() | {"cells": cells})
    return laws.model_copy(update={"table": table})


def test_starts_that_tie_are_both_named(laws: Laws) -> None:
    recipe = recommend(laws, true_crossover())
    assert {recipe.lineage, *(one.lineage for one in recipe.flat)} >= set(TRUTH)


def test_among_starts_that_tie_the_smaller_model_may_be_preferred(laws: Laws) -> None:
    at = true_crossover()
    small = recommend(laws, at, prefer="small")
    assert small.model_params <= recommend(laws, at).model_params


def test_a_suite_leaves_only_its_own_start(laws: Laws) -> None:
    recipe = recommend(laws, 1e13, suite="smollm2")
    assert [one.lineage for one in recipe.starts] == [BASE]
    assert recipe.start_crossovers == ()


def test_a_suite_whose_lineage_was_never_measured_is_refused(laws: Laws) -> None:
    with pytest.raises(
        UnsupportedError, match=r"no member of olmo-2 is of a lineage that was measured \(.*\), only of"
    ):
        recommend(laws, 1e13, suite="olmo-2")


def test_retrievers_are_not_given_the_law_of_base_models() -> None:
    """A retriever is good before any training: by the law of base models it would be promised a far higher loss."""
    base = fit(simulate(world(BASE)), draws=3, forms=["chinchilla"])
    fresh = find_shape("smollm2-135m:4")
    retriever = find_shape("pythia-31m").model_copy(update={"start": "retriever"})
    assert of_measured_start(base, [fresh, retriever]) == ((fresh,), ("pythia retriever",))
    assert of_measured_start(base, [retriever]) == ((retriever,), ()), "then no member was measured, as a recipe says"
    question = Question.of(base, {}, members=[fresh, retriever])
    assert {one.model for one in question.candidates} == {fresh.name}
    assert question.unmeasured == ("pythia retriever",)


def test_constraints_hold_for_every_start(laws: Laws) -> None:
    recipe = recommend(laws, 6.4e14, max_params=2.5e6)
    assert recipe.lineage == RETRIEVER, "whose smallest member is the only one so small"
    assert any(no.model == f"members of {BASE}" for no in recipe.rejected)
    with pytest.raises(InfeasibleError):
        recommend(laws, 6.4e14, max_params=1e3)


def test_a_curve_changes_its_start_at_the_crossover(laws: Laws) -> None:
    points = recipe_curve(laws, 1e13, 6.4e14, points_per_decade=2)
    starts = [point.recipe.lineage for point in points if point.recipe]
    assert starts[0] == RETRIEVER
    assert starts[-1] == BASE
    assert sum(one != other for one, other in pairwise(starts)) == 1


def test_findings_are_of_one_lineage(laws: Laws) -> None:
    with pytest.raises(ConfigError, match="lineage must be one of"):
        explain(laws)
    assert explain(laws.of(BASE))


def test_a_recipe_with_starts_is_read_as_it_was_written(laws: Laws, tmp_path: Path) -> None:
    recipe = recommend(laws, 1e13)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


def test_the_commands_answer_for_both_starts(laws: Laws, tmp_path: Path) -> None:
    laws.save(tmp_path / "laws.json")
    run = CliRunner().invoke
    done = run(app, ["recipe", str(tmp_path / "laws.json"), "--budget", "1e13", "--json"])
    assert done.exit_code == 0, done.output
    assert {one["lineage"] for one in json.loads(done.stdout)["starts"]} == set(TRUTH)
    done = run(app, ["explain", str(tmp_path / "laws.json")])
    assert done.exit_code == 0, done.output
    assert all(f"== lineage {name} ==" in done.stdout for name in TRUTH)


def test_the_page_has_figures_of_each_lineage(laws: Laws, tmp_path: Path) -> None:
    page = write_report(tmp_path / "report.html", study(), laws, recommend(laws, 1e13)).read_text()
    assert all(f"Lineage {name}" in page for name in TRUTH)
    assert 'id="frontier-of-0"' in page
    assert 'id="frontier-of-1"' in page


def test_coefficients_of_the_worlds_cross() -> None:
    """The worlds of these tests have a true crossover within the measured budgets."""
    assert isinstance(TRUTH[BASE]["full"], Coefficients)
    assert isinstance(world(BASE), World)
    assert BUDGETS[0] < true_crossover() < BUDGETS[-1]


def test_starts_are_compared_at_the_budget_that_is_asked_for_though_serving_takes_nearly_all_of_it(laws: Laws) -> None:
    """A budget a million times beyond the measured ones may train within them, and what it asks is no nearer."""
    budget = 1e7 * BUDGETS[-1]

    def span(wishes: Wishes) -> tuple[float, float]:
        return span_near(list(questions(laws, None, wishes)[0].values()), budget)

    assert span({}) == pytest.approx((BUDGETS[0], 1e6 * BUDGETS[-1]))
    assert span({"serve_tokens": 1e12}) == pytest.approx((BUDGETS[0], 16 * budget))
