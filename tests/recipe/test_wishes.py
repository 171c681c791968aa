"""Constraints and secondary aims: what they reject, what they cost, which of equals they take."""

import re
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.errors import ConfigError, InfeasibleError, UnsupportedError
from embudget.laws import Coefficients, Laws, fit
from embudget.memory import training_bytes
from embudget.methods import parse_method
from embudget.recipe import Choice, Recipe, Wishes, recommend
from embudget.recipe.options import Question
from embudget.suite import SUITES, find_shape
from tests.recipe.worlds import BUDGET, MODELS, NOISY, TRUTH, timed


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=60)


def choices(recipe: Recipe) -> list[Recipe | Choice]:
    return [recipe, *recipe.flat]


def named(recipe: Recipe) -> set[tuple[str, str]]:
    return {(choice.model, choice.method) for choice in choices(recipe)}


def test_no_choice_has_more_than_the_most_parameters(laws: Laws) -> None:
    free = recommend(laws, BUDGET)
    most = free.model_params - 1
    limited = recommend(laws, BUDGET, max_params=most)
    assert max(choice.model_params for choice in choices(limited)) <= most
    reasons = {no.model: no.reason for no in limited.rejected}
    assert reasons[free.model] == f"{free.model_params:.3g} parameters, more than {most:.3g}"


def test_more_epochs_allow_more_data(laws: Laws) -> None:
    free = recommend(laws, BUDGET)
    batches = -(-free.steps // 3)
    short = recommend(laws, BUDGET, pairs_available=16 * batches)
    assert (free.model, free.method) not in named(short)
    assert short.max_epochs == 1
    thrice = recommend(laws, BUDGET, pairs_available=16 * batches, max_epochs=3)
    assert (thrice.model, thrice.method, thrice.max_epochs) == (free.model, free.method, 3)
    assert thrice.run_config("pairs").max_epochs == 3
    assert recommend(laws, BUDGET, max_epochs=2).max_epochs == 2


def test_more_passes_over_the_pairs_than_were_measured_are_warned_of(laws: Laws) -> None:
    free = recommend(laws, BUDGET)
    fifth = 16 * -(-free.steps // 5)
    warned = recommend(laws, BUDGET, pairs_available=fifth, max_epochs=5)
    assert warned.max_epochs == 5
    assert free.predicted_loss < warned.predicted_loss < free.predicted_interval[1]
    (warning,) = warned.warnings
    assert re.match(r"the pairs are seen up to [45] times, and in the measured runs at most 1: how much they", warning)
    assert recommend(laws, BUDGET, pairs_available=free.pairs, max_epochs=5).warnings == ()
    cells = tuple(cell.model_copy(update={"max_epochs": 5}) for cell in laws.table.cells)
    repeated = laws.model_copy(update={"table": laws.table.model_copy(update={"cells": cells})})
    assert recommend(repeated, BUDGET, pairs_available=fifth).warnings == ()


def test_what_does_not_fit_the_device_is_rejected_with_estimate_and_limit(laws: Laws) -> None:
    free = recommend(laws, BUDGET)
    needed = training_bytes(parse_method(free.method), find_shape(free.model), free.batch_size, free.max_length)
    enough = recommend(laws, BUDGET, device_memory=needed / 0.89)
    assert (enough.model, enough.method) == (free.model, free.method)
    scarce = recommend(laws, BUDGET, device_memory=f"{needed / 0.91 / 1e6:.1f}MB")
    assert (free.model, free.method) not in named(scarce)
    reason = next(no.reason for no in scarce.rejected if (no.model, no.method) == (free.model, free.method))
    assert reason.startswith(f"needs about {needed / 1e6:.3g} MB of memory to train, more than the ")
    assert f"can be used of {needed / 0.91 / 1e6:.3g} MB" in reason
    assert free.method == "lora:32"
    assert not any(choice.method == "full" for choice in choices(scarce) if choice.model_params > free.model_params)


def test_serving_is_paid_from_the_budget_and_makes_smaller_models_win(laws: Laws) -> None:
    tokens = 1e6
    free, served = recommend(laws, BUDGET), recommend(laws, BUDGET, serve_tokens=tokens)
    assert free.serve_flops == 0
    assert free.budget == free.train_flops == BUDGET
    assert served.model_params < free.model_params
    assert served.serve_flops == 2 * served.model_params * tokens
    assert served.budget == pytest.approx(BUDGET)
    flops_per_token = parse_method(served.method).flops_per_token(find_shape(served.model))
    assert served.tokens * flops_per_token == pytest.approx(served.train_flops)
    assert served.run_config("pairs").train_flops == served.train_flops
    for choice in served.flat:
        assert choice.train_flops == pytest.approx(BUDGET - 2 * choice.model_params * tokens)
    largest = next(no for no in served.rejected if no.model == "smollm2-135m:30")
    assert largest.reason == "serving 1e+06 tokens takes 2.12e+14 FLOP, which leaves none to train with"
    assert f"6.4e+13 FLOP: {served.serve_flops:.3g} to serve, {served.train_flops:.3g} to train" in str(served)


def test_a_budget_that_is_mostly_served_is_judged_by_what_trains(laws: Laws) -> None:
    tokens = 1e14  # to serve them takes even the smallest model 7e20 FLOP, 4e7 times the largest measured budget
    smallest = find_shape("smollm2-135m:1").model_params
    recipe = recommend(laws, 2 * smallest * tokens + 1e15, serve_tokens=tokens, force=True)
    assert recipe.train_flops == pytest.approx(1e15, rel=1e-3)
    assert recipe.extrapolation < 100


def test_of_equals_the_smallest_is_taken_on_request(laws: Laws) -> None:
    best, small = recommend(laws, BUDGET), recommend(laws, BUDGET, prefer="small")
    assert len(best.flat) > 1
    assert named(best) == named(small)
    assert small.model_params == min(choice.model_params for choice in choices(best))
    assert (best.model, best.method) == (small.flat[0].model, small.flat[0].method)
    losses = [choice.predicted_loss for choice in small.flat]
    assert losses == sorted(losses)
    assert small.rejected == best.rejected
    assert (best.prefer, small.prefer) == ("loss", "small")
    assert f"chosen    as the smallest of {len(best.flat) + 1} choices" in str(small)
    assert "chosen" not in str(best)


EQUALS = {method: Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42) for method in ("full", "lora:32")}
"""Two methods of the same law."""


def test_of_equals_the_fastest_is_taken_on_request() -> None:
    records = simulate(World(truth=EQUALS, models=MODELS, noise=0.05), seed=4)
    for fast, slow in (("full", "lora:32"), ("lora:32", "full")):
        recipe = recommend(fit(timed(records, {fast: 2e9, slow: 1e9}), draws=20), BUDGET, prefer="fast")
        assert {"full", "lora:32"} == {choice.method for choice in choices(recipe)}
        assert recipe.method == fast
        assert f"  chosen    as the fastest to train of {1 + len(recipe.flat)} choices that are" in str(recipe)


@pytest.mark.parametrize("speeds", [{}, {"full": 1e9}])
def test_without_times_of_all_the_fewest_tokens_are_the_fastest(speeds: dict[str, float]) -> None:
    records = simulate(World(truth=EQUALS, models=MODELS, noise=0.05), seed=4)
    recipe = recommend(fit(timed(records, speeds), draws=20), BUDGET, prefer="fast")
    assert {"full", "lora:32"} == {choice.method for choice in choices(recipe)}
    assert recipe.tokens == min(choice.tokens for choice in choices(recipe))
    assert "  chosen    as the one of the fewest tokens (not all runs were timed) of " in str(recipe)


def test_wishes_survive_the_file(laws: Laws, tmp_path: Path) -> None:
    recipe = recommend(laws, BUDGET, prefer="small", serve_tokens=1e5, max_epochs=2, max_params=5e7)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"max_params": 0}, "max_params must be >= 1, got 0"),
        ({"max_params": float("nan")}, "max_params must be >= 1, got nan"),
        ({"max_epochs": 0}, "max_epochs must be >= 1, got 0"),
        ({"pairs_available": -3}, "pairs_available must be >= 1, got -3"),
        ({"serve_tokens": 0.0}, "serve_tokens must be finite and > 0, got 0"),
        ({"serve_tokens": float("inf")}, "serve_tokens must be finite and > 0, got inf"),
        ({"prefer": "cheap"}, "prefer must be one of loss, small, fast, got 'cheap'"),
        ({"device_memory": "24G"}, "device_memory must be > 0, as 24GB"),
    ],
)
def test_bad_wishes_are_refused_by_name(laws: Laws, wishes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recommend(laws, BUDGET, **wishes)  # type: ignore[arg-type]


def test_a_wish_that_does_not_exist_is_a_mistake_in_the_program(laws: Laws) -> None:
    with pytest.raises(TypeError, match="unknown keyword argument 'max_param'; known are max_params"):
        recommend(laws, BUDGET, max_param=1e8)  # type: ignore[call-arg]


def test_a_budget_beyond_a_million_times_is_answered_when_forced(laws: Laws) -> None:
    with pytest.raises(UnsupportedError, match=r"6.25e\+08 times outside .* set force=True"):
        recommend(laws, 1e22)
    recipe = recommend(laws, 1e22, force=True)
    assert recipe.extrapolation == pytest.approx(1e22 / 1.6e13)
    assert "6.25e+08 times outside" in recipe.warnings[0]


def test_members_that_were_not_measured_are_answered_when_forced(laws: Laws) -> None:
    of_qwen = recommend(laws, 1e15, suite="qwen3", min_steps=1, force=True)
    assert of_qwen.model in SUITES["qwen3"]
    assert of_qwen.warnings[0].endswith("no member of qwen3 was measured, only smollm2-135m")
    family = recommend(laws, BUDGET, suite="smollm2-family", min_steps=1)
    assert family.model == "smollm2-135m"
    assert not any("measured" in warning.split(":")[0] for warning in family.warnings)


def test_the_losses_of_choices_are_those_of_the_laws(laws: Laws) -> None:
    choices = Question.of(laws, Wishes(min_steps=1)).choices([BUDGET])
    there = np.flatnonzero(np.isfinite(choices.tokens[:, 0])).tolist()
    assert len(there) > 5
    assert choices.log_losses.shape == (60, len(choices.candidates), 1)
    for row in there:
        one = choices.candidates[row]
        expected = laws.predict(str(one.method), one.model_params, choices.tokens[row, 0])
        assert choices.predicted[row, 0] == pytest.approx(expected, rel=1e-12)


def test_a_recipe_takes_milliseconds() -> None:
    """16 ms where the fit takes 1.8 s; their ratio is that of the work, whatever the processor and its load."""
    world = World(truth=TRUTH, models=SUITES["pythia"], budgets=(1e16, 4e16, 1.6e17, 6.4e17), noise=0.01, seeds=3)
    runs = simulate(world)
    started = process_time()
    laws = fit(runs, draws=200)
    fitting = process_time() - started
    seconds = []
    for _ in range(4):  # the best of four: the first fills caches
        started = process_time()
        recommend(laws, 1e19, pairs_available=10**9, device_memory="24GB", prefer="fast")
        seconds.append(process_time() - started)
    assert min(seconds) < fitting / 30


def test_an_infeasible_wish_is_also_a_bad_configuration() -> None:
    assert issubclass(InfeasibleError, ConfigError)
