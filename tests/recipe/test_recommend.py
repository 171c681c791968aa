"""Recipes: the best choice of a known world, the rules for hyperparameters, constraints, bad input."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from embudget.design import World, simulate
from embudget.errors import BudgetError, ConfigError, ModelError, UnsupportedError
from embudget.flops import budget_of_gpu_hours
from embudget.laws import Coefficients, Laws, fit
from embudget.methods import parse_method
from embudget.recipe import Choice, Recipe, recommend
from embudget.recipe.answer import answer
from embudget.recipe.batch_size import batch_rule
from embudget.recipe.options import Question, sizes_considered
from embudget.records import RunConfig, RunRecord
from embudget.records.config import EVAL_PAIRS
from embudget.runs import RunTable, record_row
from embudget.suite import SUITES, find_shape

TRUTH = {
    "full": Coefficients(E=1.8, A=300, a=0.35, B=250, b=0.42),
    "lora:32": Coefficients(E=1.8, A=330, a=0.35, B=210, b=0.42),
}
MODELS = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-135m:12")
BUDGET = 6.4e13


def true_best(world: World, budget: float) -> tuple[float, str, str]:
    choices = [(model, method) for model in SUITES["smollm2"] for method in world.truth]
    return min((world.loss(model, method, budget), model, method) for model, method in choices)


@pytest.fixture(scope="module")
def exact() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0)), draws=10)


@pytest.fixture(scope="module")
def noisy() -> Laws:
    return fit(simulate(World(truth=TRUTH, models=MODELS, noise=0.02), seed=1), draws=60)


@pytest.mark.parametrize("budget", [2.5e11, 2e12, BUDGET])
def test_without_noise_the_recipe_is_the_true_best(exact: Laws, budget: float) -> None:
    world = World(truth=TRUTH, noise=0)
    recipe = recommend(exact, budget, min_steps=1)
    loss, model, method = true_best(world, budget)
    assert (recipe.model, recipe.method) == (model, method)
    assert recipe.predicted_loss == pytest.approx(loss, rel=1e-3)
    assert recipe.flat == ()


def test_tokens_steps_and_pairs_spend_the_budget(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    flops = parse_method(recipe.method).flops_per_token(find_shape(recipe.model))
    assert recipe.tokens * flops == pytest.approx(BUDGET)
    assert recipe.steps == -(-recipe.tokens // (60 * recipe.batch_size))
    assert recipe.pairs == recipe.steps * recipe.batch_size
    assert recipe.extrapolation == pytest.approx(4)
    assert recipe.predicted_interval[0] < recipe.predicted_loss < recipe.predicted_interval[1]


def test_runners_up_within_the_noise_are_flat_and_the_others_rejected(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    losses = [recipe.predicted_loss, *(choice.predicted_loss for choice in recipe.flat)]
    assert losses == sorted(losses)
    assert len(losses) > 1
    near = recipe.predicted_loss * (1 + noisy.noise)
    worse = {
        (no.model, no.method): float(no.reason.split()[2].rstrip(",")) for no in recipe.rejected if "worse" in no.reason
    }
    assert min(worse.values()) >= near - 5e-4
    named = {(choice.model, choice.method) for choice in recipe.flat} | set(worse) | {(recipe.model, recipe.method)}
    assert len(named) == len(SUITES["smollm2"]) * len(TRUTH)
    assert {no.method for no in recipe.rejected if no.model is None} == {"freeze", "bias"}


def test_the_run_of_a_recipe_is_the_recipe(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    config = recipe.run_config("a1b2", seed=3)
    assert (config.pairs, config.seed, config.train_flops) == ("a1b2", 3, BUDGET)
    for name in ("model", "method", "batch_size", "learning_rate", "warmup", "weight_decay", "scale", "max_length",
                 "max_epochs", "eval_pairs", "eval_candidates"):  # fmt: skip
        assert getattr(config, name) == getattr(recipe, name)


def test_a_recipe_of_old_runs_is_measured_anew_and_says_so(noisy: Laws) -> None:
    """Its promised loss is of the first 512 validation pairs; the run's would be taken for the same."""
    now = recommend(noisy, BUDGET)
    assert now.yardstick == "groups" and "on others, the loss will differ" in str(now)
    table = noisy.table.model_copy(update={"yardstick": "first", "eval_pairs": 512, "eval_candidates": 512})
    recipe = recommend(noisy.model_copy(update={"table": table}), BUDGET)
    assert (recipe.yardstick, recipe.eval_pairs) == ("first", 512)
    config = recipe.run_config("a" * 16)
    assert (config.yardstick, config.eval_pairs) == ("groups", EVAL_PAIRS)
    assert "pairs simulated, the first 512 of validation: runs are now measured on others" in str(recipe)


def by_wsd(records: list[RunRecord], every: int = 1) -> list[RunRecord]:
    """The records with every so many of them trained by wsd."""
    schedule = {"schedule": "wsd", "decay": 0.1, "warmup": 0.025}
    return [
        record if place % every else record.model_copy(update={"config": record.config.model_copy(update=schedule)})
        for place, record in enumerate(records)
    ]


def test_a_recipe_takes_the_schedule_of_the_measured_runs(noisy: Laws) -> None:
    laws = fit(by_wsd(simulate(World(truth=TRUTH, models=MODELS, noise=0))), draws=5)
    recipe = recommend(laws, BUDGET)
    config = recipe.run_config("a" * 16)
    assert (config.schedule, config.decay, config.warmup) == ("wsd", 0.1, 0.025)
    assert "warm-up 0.025, constant, decay over the last 0.1" in str(recipe)
    assert "schedules" not in laws.summary() + str(recipe)
    assert recommend(noisy, BUDGET).schedule == "cosine"
    assert "constant" not in str(recommend(noisy, BUDGET))


def test_cells_of_different_schedules_are_warned_of() -> None:
    laws = fit(by_wsd(simulate(World(truth=TRUTH, models=MODELS, noise=0)), every=3), draws=5)
    expected = "the cells were trained by different schedules, cosine (12), wsd (6): "
    assert f"warning: {expected}" in laws.summary()
    assert any(warning.startswith(expected) for warning in recommend(laws, BUDGET).warnings)


def test_a_recipe_reads_as_text(noisy: Laws) -> None:
    recipe = recommend(noisy, 1.6e15, force=True)
    text = str(recipe)
    for part in (
        recipe.model,
        recipe.method,
        f"{recipe.steps:,} steps",
        f"{recipe.predicted_loss:.3f}",
        *recipe.warnings,
    ):
        assert part in text
    assert all(f"{choice.model} {choice.method}" in text for choice in recipe.flat[:8])


def test_by_default_the_suite_of_the_measured_models_is_considered(noisy: Laws) -> None:
    assert recommend(noisy, BUDGET) == recommend(noisy, BUDGET, suite="smollm2")


def test_measured_models_of_no_suite_are_considered_themselves(tmp_path: Path) -> None:
    sizes = {"vocab_size": 1000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8}
    config = {"model_type": "llama", "num_attention_heads": 8, "max_position_embeddings": 512} | sizes
    (tmp_path / "config.json").write_text(json.dumps(config))
    models = (f"{tmp_path}:2", f"{tmp_path}:4", f"{tmp_path}:8")
    recipe = recommend(fit(simulate(World(truth=TRUTH, models=models)), draws=2), BUDGET)
    considered = {recipe.model, *(c.model for c in recipe.flat), *(no.model for no in recipe.rejected if no.model)}
    assert considered == set(models)


def test_a_recipe_survives_its_file(noisy: Laws, tmp_path: Path) -> None:
    recipe = recommend(noisy, BUDGET)
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("", "must hold a recipe .*, got nothing"),
        ("model: x", "required"),
        (None, "cannot read"),
    ],
)
def test_a_bad_recipe_file_is_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        Recipe.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ((16,), BUDGET, 16),
        ((12,), BUDGET, 12),  # one size everywhere is kept as it is
        ((16, 32, 64), BUDGET, 128),
        ((16, 32, 64), 2e12, 24),
        ((16, 24, 32), BUDGET, 48),
        ((2, 3, 4), BUDGET, 6),
        ((2, 4, 8), 1e10, 2),
    ],
)
def test_the_batch_size_follows_the_budget(sizes: tuple[int, ...], budget: float, expected: int) -> None:
    world = World(truth=TRUTH, models=MODELS, batch_sizes=sizes, noise=0)
    laws = fit(simulate(world), draws=2)
    assert batch_rule(laws.cells)(budget) == expected
    assert recommend(laws, budget, min_steps=1, force=True).batch_size == expected


def test_the_learning_rate_is_the_best_of_the_nearest_cell() -> None:
    def tuned(record: RunRecord, rate: float, factor: float) -> RunRecord:
        config = record.config.model_copy(update={"learning_rate": rate})
        return record.model_copy(update={"config": config, "loss": (record.loss or 0) * factor})

    records = simulate(World(truth=TRUTH, models=MODELS, noise=0))
    best = {model: 1e-3 / 2**i for i, model in enumerate(MODELS)}
    sweep = [tuned(r, best[r.config.model], 1) for r in records] + [tuned(r, 5e-3, 1.05) for r in records]
    laws = fit(sweep, draws=2)
    recipe = recommend(laws, BUDGET)
    nearest = min(MODELS, key=lambda model: abs(np.log(find_shape(model).model_params / recipe.model_params)))
    assert recipe.learning_rate == best[nearest]


def test_sizes_far_from_the_measured_ones_are_rejected() -> None:
    """A truth in which larger is always better, measured on the two smallest members only."""
    truth = {"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)}
    laws = fit(simulate(World(truth=truth, models=("smollm2-135m:1", "smollm2-135m:2"), noise=0.01)), draws=5)
    recipe = recommend(laws, BUDGET, min_steps=1)
    assert recipe.model == "smollm2-135m:8"  # 4 times the largest measured size for 4 times the largest budget
    assert any(no.model == "smollm2-135m:30" and "outside the measured sizes" in no.reason for no in recipe.rejected)
    assert recommend(laws, 4e12, min_steps=1).model == "smollm2-135m:2"
    assert recommend(laws, BUDGET, min_steps=1, allow_unmeasured_sizes=True).model == "smollm2-135m:30"


def test_considered_sizes_grow_with_the_budget_and_shrink_with_it(noisy: Laws) -> None:
    smallest, largest = (float(find_shape(model).model_params) for model in (MODELS[0], MODELS[-1]))
    for method in TRUTH:
        assert sizes_considered(noisy, method, 1e12) == sizes_considered(noisy, method, 1e13) == (smallest, largest)
        assert sizes_considered(noisy, method, 4 * 1.6e13) == (smallest, 4 * largest)
        assert sizes_considered(noisy, method, 1e12 / 5) == pytest.approx((smallest / 5, largest))


def test_a_best_size_that_shrinks_as_the_budget_grows_is_not_followed() -> None:
    """Smaller is always better in this truth, measured on large members only; and the same upside down."""
    small = {"full": Coefficients(E=0.5, A=1e-6, a=1, B=3000, b=0.4)}
    laws = fit(simulate(World(truth=small, models=("smollm2-135m:8", "smollm2-135m:16"), noise=0.01)), draws=20)
    recipe = recommend(laws, BUDGET, min_steps=1)
    assert recipe.model == "smollm2-135m:8"
    assert any(no.model == "smollm2-135m:1" and "outside the measured sizes" in no.reason for no in recipe.rejected)
    assert recommend(laws, BUDGET, min_steps=1, allow_unmeasured_sizes=True).model == "smollm2-135m:1"
    assert recommend(laws, 2.5e11, min_steps=1).model == "smollm2-135m:2"  # a quarter of the smallest budget
    large = {"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)}
    laws = fit(simulate(World(truth=large, models=("smollm2-135m:1", "smollm2-135m:2"), noise=0.01)), draws=20)
    assert recommend(laws, 1e10, min_steps=1, force=True).model == "smollm2-135m:2"


def test_constraints_reject_by_name(exact: Laws) -> None:
    recipe = recommend(exact, 4e12, min_steps=60)
    assert recipe.steps >= 60
    assert any("fewer than 60" in no.reason for no in recipe.rejected)
    limited = recommend(exact, BUDGET, pairs_available=5000)
    assert limited.pairs <= 5000
    assert limited.unspent_flops > 0
    assert limited.left_over == "without max_epochs the measured runs allow no more than 1 pass over the 5,000 pairs"


def test_a_method_that_cannot_train_a_model_is_rejected(tmp_path: Path) -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    biased = [r.model_copy(update={"config": r.config.model_copy(update={"method": "bias"})}) for r in records[::2]]
    recipe = recommend(fit([*records, *biased], draws=2), BUDGET)
    refused = [no for no in recipe.rejected if no.method == "bias"]
    assert len(refused) == len(SUITES["smollm2"])
    assert all("bias needs a model with bias terms" in no.reason for no in refused)


def test_a_foreign_suite_is_not_supported_by_the_runs(noisy: Laws, tmp_path: Path) -> None:
    sizes = {"vocab_size": 1000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 4}
    config = {"model_type": "llama", "num_attention_heads": 8, "max_position_embeddings": 512} | sizes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    assert recommend(noisy, BUDGET).warnings == ()
    with pytest.raises(UnsupportedError, match=r"no member of .* was measured, only smollm2-135m; call "):
        recommend(noisy, BUDGET, suite=str(tmp_path))
    recipe = recommend(noisy, BUDGET, suite=str(tmp_path), force=True)
    assert recipe.model == str(tmp_path / "mine")
    assert recipe.warnings[0].endswith(f"no member of {tmp_path} was measured, only smollm2-135m")


def test_far_budgets_are_answered_with_their_factor_when_forced(noisy: Laws) -> None:
    with pytest.raises(UnsupportedError, match=r"100 times outside the budgets that .* was measured at"):
        recommend(noisy, 1.6e15)
    recipe = recommend(noisy, 1.6e15, force=True)
    assert recipe.extrapolation == pytest.approx(100)
    assert "100 times outside" in recipe.warnings[0]


def test_device_time_and_money_are_budgets(noisy: Laws) -> None:
    hours = 1e-4
    by_time = recommend(noisy, gpu_hours=hours, device="h100", mfu=0.4)
    assert by_time.train_flops == pytest.approx(budget_of_gpu_hours(hours, "h100", 0.4))
    by_money = recommend(noisy, dollars=hours * 2, device="h100", mfu=0.4, dollars_per_hour=2)
    assert by_money.train_flops == pytest.approx(by_time.train_flops)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, BudgetError, "exactly one of budget, hours, gpu_hours and dollars, got none"),
        ({"budget": 1e13, "dollars": 5.0}, BudgetError, "got budget and dollars"),
        ({"gpu_hours": 1.0}, BudgetError, "gpu_hours needs a device"),
        ({"gpu_hours": 1.0, "device": "abacus"}, BudgetError, "device must be one of"),
        ({"budget": "abc"}, BudgetError, "got 'abc'"),
        ({"budget": -1.0}, BudgetError, "got -1"),
        ({"budget": 1e13, "suite": "nothing"}, ModelError, "suite must be one of"),
        ({"budget": 1e13, "min_steps": 0}, ConfigError, "min_steps must be >= 1, got 0"),
        ({"budget": 1e13, "pairs_available": 0}, ConfigError, "pairs_available must be >= 1, got 0"),
        ({"budget": 1e13, "pairs_available": 10}, ConfigError, "no model and method .*more pairs than the 10"),
        ({"budget": 1e13, "min_steps": 10**6}, ConfigError, "no model and method .*fewer than 1000000 steps"),
    ],
)
def test_bad_wishes_are_one_line(
    noisy: Laws, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as refusal:
        recommend(noisy, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_a_method_is_extrapolated_from_its_own_budgets() -> None:
    """LoRA is the better by far, and was measured at the smallest budget only."""
    truth = {"full": TRUTH["full"], "lora:32": Coefficients(E=1.2, A=300, a=0.35, B=210, b=0.42)}
    records = simulate(World(truth=truth, models=MODELS, noise=0.001))
    laws = fit([r for r in records if r.config.method == "full" or r.config.train_flops == 1e12], draws=5)
    near = recommend(laws, BUDGET)
    assert (near.method, near.supported) == ("full", True)
    assert any("64 times outside the budgets that lora:32 was measured at" in no.reason for no in near.rejected)
    recipe = recommend(laws, BUDGET, force=True)
    assert recipe.method == "lora:32"
    assert recipe.extrapolation == pytest.approx(64)
    assert {round(c.extrapolation) for c in recommend(laws, 1e18, force=True).flat if c.method == "full"} <= {62500}
    far, _ = answer(Question.of(laws, {}), 2e18)  # 2e6 times what LoRA, 125,000 times what full was measured at
    assert far.method == "full"
    assert any(no.method == "lora:32" and "2e+06 times outside" in no.reason for no in far.rejected)


def test_measured_budgets_are_answered_however_few_their_steps() -> None:
    world = World(truth=TRUTH, models=MODELS, noise=0.01, batch_sizes=(16, 32, 64))
    records = simulate(world)
    fewest = min(record.steps or 0 for record in records)
    assert 1 < fewest < 10
    laws = fit(records, draws=5)
    for budget in world.budgets:
        recipe = recommend(laws, budget)
        assert recipe.steps >= fewest
        assert not any(no.model in MODELS and "steps of" in no.reason for no in recipe.rejected)


def test_fewer_steps_than_ever_measured_are_refused_with_the_remedy() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01, batch_sizes=(16,)))
    fewest = min(record.steps or 0 for record in records)
    laws = fit(records, draws=5)
    with pytest.raises(ConfigError, match=rf"fewer than {fewest} steps, the least unless min_steps is set lower"):
        recommend(laws, 1e10)
    assert recommend(laws, 1e10, min_steps=1, force=True).steps < fewest


def considered_of(models: tuple[str, ...]) -> tuple[Recipe, set[str]]:
    """The recipe by runs of these models, and the models that it speaks of."""
    recipe = recommend(fit(simulate(World(truth=TRUTH, models=models)), draws=2), BUDGET)
    return recipe, {recipe.model, *(c.model for c in recipe.flat), *(no.model for no in recipe.rejected if no.model)}


def test_only_suites_that_hold_every_measured_model_are_considered() -> None:
    """The suite of cuts lacks the larger checkpoint, that of published sizes lacks the cuts."""
    models = ("smollm2-135m:1", "smollm2-135m:4", "smollm2-360m:3")
    recipe, considered = considered_of(models)
    assert considered == set(models)
    assert recipe.warnings == ()


def test_a_suite_is_considered_that_holds_every_measured_model_of_its_lineage(tmp_path: Path) -> None:
    """A folder of another lineage has laws of its own, so that it does not keep the suite of the others out."""
    sizes = {"vocab_size": 1000, "hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8}
    config = {"model_type": "llama", "num_attention_heads": 8, "max_position_embeddings": 512} | sizes
    (tmp_path / "config.json").write_text(json.dumps(config))
    _, considered = considered_of(("smollm2-135m:1", "smollm2-135m:4", f"{tmp_path}:8"))
    assert considered == {*SUITES["smollm2"], f"{tmp_path}:8"}


def test_a_rising_batch_size_stops_at_what_is_known() -> None:
    laws = fit(simulate(World(truth=TRUTH, models=MODELS, batch_sizes=(16, 64, 256), noise=0)), draws=2)
    assert batch_rule(laws.cells)(6.4e13) == 1024
    assert batch_rule(laws.cells)(1e18) == 1024
    large = fit(simulate(World(truth=TRUTH, models=MODELS, batch_sizes=(512, 1024, 2048), noise=0)), draws=2)
    assert batch_rule(large.cells)(1e18) == 2048


def test_a_measured_budget_keeps_its_batch_size() -> None:
    laws = fit(simulate(World(truth=TRUTH, models=MODELS, batch_sizes=(20, 20, 60), noise=0)), draws=2)
    assert [batch_rule(laws.cells)(budget) for budget in laws.table.budgets] == [20, 20, 60]


def test_whole_batches_of_the_pairs_are_counted_as_training_does(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    assert recipe.pairs % 16 == 0
    enough = recommend(noisy, BUDGET, pairs_available=recipe.pairs)
    assert (enough.model, enough.method) == (recipe.model, recipe.method)
    config = {"max_epochs": 2}
    twice = [
        r.model_copy(update={"config": r.config.model_copy(update=config)})
        for r in simulate(World(truth=TRUTH, models=MODELS, noise=0.02), 1)
    ]
    half = recipe.pairs // 2 if recipe.steps % 2 == 0 else (recipe.pairs - 16) // 2 + 8
    limited = recommend(fit(twice, draws=60), BUDGET, pairs_available=half + (0 if recipe.steps % 2 else 15))
    kept = {(limited.model, limited.method), *((c.model, c.method) for c in limited.flat)}
    assert ((recipe.model, recipe.method) in kept) == (recipe.steps % 2 == 0)


def test_a_method_measured_too_little_is_not_called_unmeasured() -> None:
    records = simulate(World(truth=TRUTH, models=MODELS, noise=0.01))
    few = [
        r for r in records if r.config.method == "full" or (r.config.train_flops, r.config.model) == (1e12, MODELS[0])
    ]
    reasons = {no.method: no.reason for no in recommend(fit(few, draws=2), BUDGET).rejected if no.model is None}
    assert reasons == {
        "lora:32": "measured in 1 cells, too few for a law", "freeze": "not measured", "bias": "not measured",
    }  # fmt: skip


def test_a_recipe_says_which_pairs_it_was_measured_on(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    assert recipe.measured_on == noisy.table.pairs == "simulated"
    assert "on the pairs simulated" in str(recipe)
    assert recipe.run_config("others").pairs == "others"
    with pytest.raises(ConfigError, match=r"seed: must be >= 0, got -1"):
        recipe.run_config("others", seed=-1)


def test_choices_are_ranked_by_what_they_are_predicted_to_reach(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    for choice in recipe.flat:
        draws = noisy.surface.log_draws([choice.method], np.array([choice.model_params]), np.array([choice.tokens]))
        assert choice.predicted_loss == pytest.approx(np.exp(draws.mean()))
        by_fit = noisy.surface.coefficients(choice.method).loss(choice.model_params, choice.tokens)
        assert choice.predicted_interval[0] < by_fit < choice.predicted_interval[1]


def test_intervals_are_of_a_new_run_and_of_the_loss_without_its_noise(noisy: Laws) -> None:
    recipe = recommend(noisy, BUDGET)
    choices: list[Recipe | Choice] = [recipe, *recipe.flat]
    for choice in choices:
        at = (choice.method, choice.model_params, choice.tokens)
        assert choice.predicted_interval == pytest.approx(noisy.interval(*at, level=0.9, of="run"))
        assert choice.loss_interval == pytest.approx(noisy.interval(*at, level=0.9, of="law"))
        assert choice.predicted_interval[0] < choice.loss_interval[0] < choice.predicted_loss
        assert choice.predicted_loss < choice.loss_interval[1] < choice.predicted_interval[1]
    assert "(without a run's noise {:.3f} to {:.3f})".format(*recipe.loss_interval) in str(recipe)


FOREIGN = ("model_params", "train_flops", "loss", "method")
"""The columns of a table that says nothing of models, pairs and hyperparameters."""


def foreign(path: Path, columns: tuple[str, ...] = FOREIGN) -> Laws:
    """Laws of a table in which nothing is said that it need not say."""
    rows = [record_row(record) for record in simulate(World(truth=TRUTH, models=MODELS, noise=0.01))]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return fit(RunTable.read(path), draws=5)


def test_laws_of_unnamed_models_need_a_suite(tmp_path: Path) -> None:
    laws = foreign(tmp_path / "runs.csv")
    with pytest.raises(ConfigError, match=r"suite must be given .* no known members: N=3.541e\+06 and 2 more") as error:
        recommend(laws, BUDGET)
    assert "\n" not in str(error.value)
    assert recommend(laws, BUDGET, suite="smollm2").model in SUITES["smollm2"]


def test_what_a_foreign_table_does_not_say_is_a_named_default(tmp_path: Path) -> None:
    recipe = recommend(foreign(tmp_path / "runs.csv"), BUDGET, suite="smollm2")
    defaults = RunConfig.model_fields
    for name in ("warmup", "weight_decay", "max_epochs", "scale", "max_length", "eval_pairs", "eval_candidates"):
        assert getattr(recipe, name) == defaults[name].default
    shape = find_shape(recipe.model)
    assert recipe.learning_rate == parse_method(recipe.method).default_learning_rate(shape)
    assert recipe.batch_size == 16
    assert recipe.steps == -(-recipe.tokens // (55 * 16))
    assert recipe.measured_on is None
    *_, unsaid, pairs = recipe.warnings
    assert unsaid.startswith("the table of runs does not say batch_size, learning_rate, warmup, ")
    assert "55 are assumed" in pairs
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe
    assert "pairs that the table of runs does not name" in str(recipe)


def test_what_a_foreign_table_says_is_taken(tmp_path: Path) -> None:
    known = (*FOREIGN, "model", "batch_size", "learning_rate", "warmup", "scale", "tokens", "pairs_seen", "pairs")
    recipe = recommend(foreign(tmp_path / "runs.csv", known), BUDGET)
    assert recipe.steps == -(-recipe.tokens // (60 * recipe.batch_size))
    assert recipe.measured_on == "simulated"
    (unsaid,) = recipe.warnings
    assert unsaid.startswith("the table of runs does not say weight_decay, max_epochs, max_length, eval_pairs, ")


def test_the_models_of_a_foreign_table_are_named_in_the_warning(tmp_path: Path) -> None:
    warning = recommend(foreign(tmp_path / "runs.csv"), BUDGET, suite="pythia").warnings[0]
    sizes = ", ".join(f"N={find_shape(model).model_params:.4g}" for model in MODELS)
    assert warning.startswith(f"no member of pythia was measured: the laws come from {sizes}, and the losses of ")


def random_world(rng: np.random.Generator, noise: float) -> World:
    """A truth whose best size at the middle budget lies between the measured ones; 3 sizes, 3 budgets, 3 methods."""
    sizes = [find_shape(model).model_params for model in MODELS]
    a, b = rng.uniform(0.15, 0.6, 2)
    reducible = rng.uniform(1, 2.5)
    best_size = np.exp(rng.uniform(np.log(sizes[0]), np.log(sizes[-1])))
    size_part, data_part = reducible * b / (a + b), reducible * a / (a + b)  # equal marginal gains at the best size
    asymptote = rng.uniform(0.3, 3)
    truth = {
        method: Coefficients(
            E=asymptote,
            A=size_part * best_size**a * np.exp(rng.normal(0, 0.25)),
            a=a,
            B=data_part * (4e12 / (6 * best_size)) ** b * np.exp(rng.normal(0, 0.25)),
            b=b,
        )
        for method in ("full", "freeze:0.5", "lora:32")
    }
    return World(truth=truth, models=MODELS, noise=noise)


def outcome(seed: int, noise: float, draws: int) -> tuple[float, bool, bool, float]:
    """Regret of the recipe at 4 times the budget, whether the interval holds a new run, and the flat set the best."""
    rng = np.random.default_rng(seed)
    world = random_world(rng, noise)
    recipe = recommend(fit(simulate(world, seed), draws=draws), BUDGET, min_steps=1)
    best, *winner = true_best(world, BUDGET)
    true = world.loss(recipe.model, recipe.method, BUDGET)
    low, high = recipe.predicted_interval
    choices = [[recipe.model, recipe.method], *([choice.model, choice.method] for choice in recipe.flat)]
    half_width = (high / low) ** 0.5 - 1
    return true / best - 1, low <= true * np.exp(rng.normal(0, noise)) <= high, winner in choices, half_width


def test_the_regret_is_small_in_random_worlds() -> None:
    regrets = [outcome(seed, noise=0.02, draws=5)[0] for seed in range(6)]
    assert np.mean(regrets) < 0.01
    assert max(regrets) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_regret_coverage_and_flat_sets_over_many_random_worlds(noise: float) -> None:
    outcomes = np.array([outcome(1000 + seed, noise, draws=80) for seed in range(60)])
    regret, covered, flat, half_width = outcomes.T
    assert regret.mean() < 0.01
    # nominal 0.90, and meant to cover more where the law's form is right, as it is here: 0.94 in 240 such worlds;
    # intervals that cover by being wide are told by their width, of which the noise of one run alone is 1.7 times
    assert covered.mean() >= 0.85
    assert np.median(half_width) < 5 * noise
    assert flat.mean() > 0.9


def test_methods_without_a_common_budget_are_warned_of() -> None:
    low, high = (1e12, 4e12, 1.6e13), (6.4e13, 2.56e14, 1.024e15)
    apart = [
        record
        for method, budgets in (("full", low), ("lora:32", high))
        for record in simulate(World(truth={method: TRUTH[method]}, models=MODELS, budgets=budgets, noise=0.01))
    ]
    warnings = recommend(fit(apart, draws=20), 4e14, min_steps=1).warnings
    assert any("full and lora:32 were measured at no common budget" in warning for warning in warnings)
