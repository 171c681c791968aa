"""Where training does not pay: a start as it is beside all that a budget can train."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import embudget as eb
from embudget.cli.app import app
from embudget.errors import ConfigError
from embudget.laws import Laws, fit
from embudget.pairs import Pairs
from embudget.recipe import Recipe, recipe_curve, recommend
from embudget.report.facts import answer_of
from tests.laws.test_lineages import BASE, MODELS, RETRIEVER, study
from tests.recipe.test_starts import truly_best

BEST = MODELS[RETRIEVER][-1]


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(study(), draws=40, forms=["rectified"])


def with_start(laws: Laws, loss: float) -> Laws:
    """The same laws, with the largest retriever as good as ``loss`` before training; the others are hopeless."""

    def told(one: Laws) -> Laws:
        cells = tuple(
            cell.model_copy(update={"base_loss": loss if cell.model == BEST else 9.0}) for cell in one.table.cells
        )
        return one.model_copy(update={"table": one.table.model_copy(update={"cells": cells})})

    first, *others = map(told, laws.every)
    return first.model_copy(update={"others": tuple(others)})


def true_pay(loss: float) -> float:
    """The first budget at which the best trained choice is truly below a loss."""
    grid = np.geomspace(1e13, 1e16, 600)
    best = np.array([min(truly_best(name, budget) for name in MODELS) for budget in grid])
    return float(grid[int(np.flatnonzero(best < loss)[0])])


def test_training_pays_where_a_trained_choice_is_expected_below_every_start(laws: Laws) -> None:
    recipe = recommend(laws, 1e13)
    assert recipe.untrained is None
    assert recipe.training_pays
    assert "as it is" not in str(recipe)


def test_a_start_below_all_trained_choices_is_the_answer(laws: Laws) -> None:
    loss = min(truly_best(name, 4e13) for name in MODELS) * 0.97
    recipe = recommend(with_start(laws, loss), 4e13)
    found = recipe.untrained
    assert found is not None and not recipe.training_pays
    assert (found.model, found.lineage, found.loss) == (BEST, RETRIEVER, loss)
    lowest = min([recipe.predicted_loss, *(one.predicted_loss for one in recipe.flat)])
    assert loss < found.trained_loss <= lowest
    assert found.pays_from is not None and found.interval is not None
    assert found.interval[0] <= found.pays_from <= found.interval[1]
    assert found.interval[0] < true_pay(loss) < found.interval[1]
    assert found.pays_from > 4e13
    first, second, *rest = str(recipe).splitlines()
    assert first.startswith(
        f"use {BEST} as it is: training does not pay at this budget. Its held-out loss is {loss:.3f}"
    )
    assert f"training pays from {found.pays_from:.2g} FLOP on, with 90 %" in first
    assert second == "the best trained choice:"
    assert any(line.startswith("  train ") for line in rest), "the best trained choice is still there"
    assert not any("as it is" in text for text in recipe.warnings)
    assert answer_of(recipe, None).startswith(f'<p class="answer-of">Use {BEST} as it is')


def test_a_budget_from_which_training_pays_agrees_with_the_recipes_about_it(laws: Laws) -> None:
    told = with_start(laws, min(truly_best(name, 4e13) for name in MODELS) * 0.97)
    found = recommend(told, 4e13).untrained
    assert found is not None and found.pays_from is not None
    assert recommend(told, found.pays_from / 1.3).untrained is not None
    assert recommend(told, found.pays_from * 1.3).untrained is None
    curve = recipe_curve(told, 4e13, 1.6e15, points_per_decade=2)
    pays = [point.recipe is not None and point.recipe.training_pays for point in curve]
    assert pays == sorted(pays) and not pays[0] and pays[-1]
    assert f"; training does not pay, {BEST} as it is has" in str(curve[0])
    assert "training does not pay" not in str(curve[-1])


def test_a_loss_that_no_budget_reaches_is_said_to_be_out_of_reach(laws: Laws) -> None:
    found = recommend(with_start(laws, 0.05), 1e13).untrained
    assert found is not None
    assert (found.pays_from, found.interval, found.share) == (None, None, 0.0)
    assert str(found).endswith(f"up to {found.searched:.2g} FLOP training is not seen to pay")


def test_where_hours_are_asked_for_it_is_said_in_hours_from_which_on_training_pays() -> None:
    """The FLOP of a recipe in hours are those that the choice gets; no other choice makes as many of them."""
    timed = eb.find_laws("micro")

    def with_loss(loss: float) -> Laws:
        cells = tuple(cell.model_copy(update={"base_loss": loss}) for cell in timed.table.cells)
        return timed.model_copy(update={"table": timed.table.model_copy(update={"cells": cells})})

    told = with_loss(recommend(timed, hours=0.03).predicted_loss)
    found = recommend(told, hours=0.01).untrained
    assert found is not None and found.pays_from is not None and found.flops_per_hour is not None
    hours = found.pays_from / found.flops_per_hour
    assert f"training pays from {hours:.2g} hours on, with 90 % " in str(found)
    assert "FLOP" not in str(found)
    assert recommend(told, hours=hours * 1.1).untrained is None
    assert recommend(told, hours=hours / 1.1).untrained is not None


def test_a_start_that_breaks_a_wish_is_no_answer(laws: Laws) -> None:
    told = with_start(laws, 0.5)
    size = max(cell.model_params for cell in told.of(RETRIEVER).cells)
    assert recommend(told, 1e13).untrained is not None
    assert recommend(told, 1e13, max_params=size * 0.9).untrained is None
    assert recommend(told, 1e13, suite="smollm2").untrained is None, "the retriever is not in the suite"
    dear = recommend(told, 1e13, serve_tokens=0.9 * 1e13 / (2 * size))
    assert dear.untrained is not None, "it can still be served"
    assert recommend(told, 1e13, serve_tokens=1.1 * 1e13 / (2 * size)).untrained is None


def test_one_lineage_alone_is_beside_its_own_start(laws: Laws) -> None:
    one = with_start(laws, 0.5).of(RETRIEVER)
    recipe = recommend(one, 1e13)
    assert recipe.untrained is not None
    assert recipe.untrained.model == BEST
    assert recommend(with_start(laws, 0.5).of(BASE), 1e13).untrained is None


def test_a_recipe_whose_training_does_not_pay_is_not_trained_unless_forced(
    laws: Laws, tiny_pairs: Pairs, tmp_path: Path
) -> None:
    file, stored = tmp_path / "recipe.yaml", tmp_path / "laws.json"
    with_start(laws, 0.5).save(stored)
    runner = CliRunner()
    said = runner.invoke(app, ["recipe", str(stored), "--budget", "1e13", "--out", str(file)])
    assert said.exit_code == 0, said.output
    assert f"{file}: next: embudget export {BEST} --to sentence-transformers --out model/" in said.output
    loaded = Recipe.load(file)
    assert loaded.untrained is not None
    as_json = json.loads(runner.invoke(app, ["recipe", str(stored), "--budget", "1e13", "--json"]).output)
    assert as_json["untrained"]["model"] == BEST
    refused = runner.invoke(
        app, ["train", str(file), "--pairs", str(tiny_pairs.folder), "--out", str(tmp_path / "model")]
    )
    assert isinstance(refused.exception, ConfigError)
    assert "training does not pay" in str(refused.exception)
    assert "--force" in str(refused.exception)
    assert not (tmp_path / "model").exists()
