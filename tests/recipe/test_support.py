"""Where the measured runs support a recipe, and where not: distance, family, a pilot's own runs; and the batch size."""

import csv
from pathlib import Path
from typing import Any

import pytest

from embudget.design import TrueRate, World, simulate
from embudget.errors import ConfigError, UnsupportedError
from embudget.laws import Laws, fit
from embudget.recipe import Recipe, recommend
from embudget.recipe.batch_size import DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE, far_batch, sourced_batch_rule
from embudget.runs import RunTable, record_row
from embudget.suite import find_shape
from tests.recipe.worlds import MODELS, NOISY, TRUTH

LARGEST, SMALLEST = 1.6e13, 1e12


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


@pytest.mark.parametrize("budget", [SMALLEST / 15, LARGEST, 15 * LARGEST, 16 * LARGEST])
def test_up_to_16_times_outside_is_supported(laws: Laws, budget: float) -> None:
    recipe = recommend(laws, budget, min_steps=1)
    assert recipe.supported
    assert str(recipe).startswith(f"{budget:.3g} FLOP")
    assert recipe == recommend(laws, budget, min_steps=1, force=True)


@pytest.mark.parametrize(("budget", "times"), [(SMALLEST / 17, "17"), (17 * LARGEST, "17"), (1e25, "6.25e+11")])
def test_further_outside_is_not(laws: Laws, budget: float, times: str) -> None:
    with pytest.raises(UnsupportedError) as error:
        recommend(laws, budget, min_steps=1)
    said = f"these runs do not support a recipe for {budget:.3g} FLOP: {times} times outside the budgets that "
    assert str(error.value).startswith(said)
    assert "embudget.pilot" in str(error.value)
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ConfigError)
    recipe = recommend(laws, budget, min_steps=1, force=True)
    assert not recipe.supported
    assert recipe.warnings[0] == error.value.reason
    assert str(recipe).splitlines()[0] == f"warning: {error.value.reason}"
    assert str(recipe).count(error.value.reason) == 1
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_what_serving_takes_is_no_distance(laws: Laws) -> None:
    """Serving takes 7e20 FLOP of this budget, and what is left lies 6 times outside."""
    tokens = 1e14
    budget = 2 * find_shape(MODELS[0]).model_params * tokens + 1e14
    assert recommend(laws, budget, serve_tokens=tokens, min_steps=1).supported


def test_a_larger_model_of_the_measured_family_is_supported(laws: Laws) -> None:
    recipe = recommend(laws, 6.4e13, suite="smollm2-family", min_steps=1)
    assert (recipe.model, recipe.supported) == ("smollm2-135m", True)


@pytest.mark.parametrize("budget", [1e13, 1e14])
def test_another_family_is_not_supported_even_where_its_sizes_are_too_large(laws: Laws, budget: float) -> None:
    with pytest.raises(UnsupportedError, match="no member of qwen3 was measured, only smollm2-135m"):
        recommend(laws, budget, suite="qwen3", min_steps=1)


def table(path: Path, models: dict[str, str], scale: float = 1.0) -> Laws:
    """Laws of a table with other names for the models, or none, and with sizes ``scale`` times as large."""
    columns = ["model_params", "train_flops", "loss", "method", *(["model"] if models else [])]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for record in simulate(NOISY, seed=1):
            row = record_row(record)
            row["model_params"] = round(float(row["model_params"]) * scale)
            writer.writerow(row | {"model": models.get(str(row["model"]), "")})
    return fit(RunTable.read(path), draws=5, forms=["chinchilla"])


def test_a_table_that_names_no_models_leaves_the_family_to_the_user(tmp_path: Path) -> None:
    for scale in (1.0, 1.1):
        recipe = recommend(table(tmp_path / f"{scale}.csv", {}, scale), 1e13, suite="pythia")
        assert recipe.supported
        assert recipe.warnings[0].startswith("no member of pythia was measured: the laws come from N=")


def test_models_of_unknown_name_are_known_by_their_sizes(tmp_path: Path) -> None:
    models = dict(zip(MODELS, ("ours-s", "ours-m", "ours-l"), strict=True))
    same = table(tmp_path / "same.csv", models)
    assert recommend(same, 1e13, suite="smollm2").supported
    with pytest.raises(UnsupportedError, match="no member of pythia was measured, only "):
        recommend(same, 1e13, suite="pythia")
    other = table(tmp_path / "other.csv", models, scale=1.1)
    with pytest.raises(UnsupportedError, match="no member of smollm2 was measured, only "):
        recommend(other, 1e13, suite="smollm2")


PILOTED = 4e15


def of_a_pilot(rates: tuple[float, ...] = (1 / 3, 1.0, 3.0), **changes: object) -> Laws:
    """Laws of runs at the parts of 4e15 that a pilot has, with several rates in two cells of each method."""
    true = {method: TrueRate(at=1e-3, curvature=0.05) for method in TRUTH}
    values = {"budgets": tuple(PILOTED / part for part in (4000, 1000, 250)), "batch_sizes": (128,)} | changes
    world = World.model_validate({"truth": TRUTH, "models": MODELS, "noise": 0.01, "rate_laws": true} | values)
    records = simulate(world)
    tuned = world.model_copy(update={"models": MODELS[:1], "budgets": world.budgets[:2], "rate_multiples": rates})
    tuned = tuned.model_copy(update={"batch_sizes": world.batch_sizes[:2]})
    known = {record.config.id for record in records}
    records += [record for record in simulate(tuned, seed=1) if record.config.id not in known]
    return fit(records, draws=5, forms=["chinchilla"])


@pytest.fixture(scope="module")
def piloted() -> Laws:
    return of_a_pilot()


@pytest.mark.parametrize("times", [1 / 10, 1 / 1.5, 0.97, 1.0, 1.03, 1.5, 2.0])
def test_the_runs_of_a_pilot_support_budgets_up_to_twice_that_it_is_for(piloted: Laws, times: float) -> None:
    recipe = recommend(piloted, times * PILOTED, min_steps=1)
    assert recipe.supported
    assert recipe.extrapolation == pytest.approx(250 * times)
    assert any(f"{250 * times:.3g} times outside" in warning for warning in recipe.warnings)


@pytest.mark.parametrize("times", [2.1, 4, 16])
def test_beyond_twice_its_target_a_pilot_supports_no_recipe(piloted: Laws, times: float) -> None:
    with pytest.raises(UnsupportedError):
        recommend(piloted, times * PILOTED, min_steps=1)


@pytest.mark.parametrize("times", [1.0, 1.5])
@pytest.mark.parametrize(
    "change",
    [
        {"batch_sizes": (64, 128, 256)},
        {"rates": (1.0,)},
        {"budgets": tuple(PILOTED / part for part in (4000, 2000, 1000, 250))},
    ],
)
def test_runs_that_are_no_pilot_reach_16_times_and_no_further(change: dict[str, Any], times: float) -> None:
    with pytest.raises(UnsupportedError):
        recommend(of_a_pilot(**change), times * PILOTED, min_steps=1)


def test_a_study_whose_budgets_have_a_pilots_shape_is_none() -> None:
    """With several rates everywhere, or a batch that leaves the target far too many steps, 16 times is the end."""
    true = {method: TrueRate(at=1e-3, curvature=0.05) for method in TRUTH}
    world = World(truth=TRUTH, models=MODELS, noise=0.01, rate_laws=true, rate_multiples=(0.3, 1.0, 3.0))
    everywhere = fit(simulate(world), draws=5, forms=["chinchilla"])
    assert recommend(everywhere, 16 * LARGEST, min_steps=1).supported
    for laws, budget in ((everywhere, 20 * LARGEST), (of_a_pilot(batch_sizes=(16,)), 1.5 * PILOTED)):
        with pytest.raises(UnsupportedError):
            recommend(laws, budget, min_steps=1)


@pytest.mark.parametrize(
    ("sizes", "budget", "size", "source"),
    [
        ((16,), 6.4e13, 16, "the only one measured: not known to be best here"),
        ((16, 32, 64), 4e12, 32, "that of the runs measured at this budget"),
        ((16, 32, 64), 6.4e13, 128, "by a power law through the study's, 16 to 64 measured"),
    ],
)
def test_the_batch_size_is_named_with_its_source(sizes: tuple[int, ...], budget: float, size: int, source: str) -> None:
    laws = fit(
        simulate(World(truth=TRUTH, models=MODELS, batch_sizes=sizes, noise=0.01)), draws=5, forms=["chinchilla"]
    )
    assert sourced_batch_rule(laws.cells)(budget) == (size, source)
    recipe = recommend(laws, budget, min_steps=1)
    assert (recipe.batch_size, recipe.batch_source) == (size, source)
    assert f"  batch     {size}, {source}" in str(recipe)


def test_a_table_without_batch_sizes_says_so() -> None:
    size, source = sourced_batch_rule(())(1e15)
    assert (size, source) == (DEFAULT_BATCH_SIZE, "a default: the table of runs names none")


def test_the_batch_of_a_far_budget_leaves_it_enough_steps_and_is_bounded() -> None:
    for pairs in (1e3, 5e4, 3e5, 1e6, 1e9):
        size = far_batch((), 1e17, pairs).size
        assert size & (size - 1) == 0, "a power of two"
        assert DEFAULT_BATCH_SIZE <= size <= MAX_BATCH_SIZE
        if DEFAULT_BATCH_SIZE < size < MAX_BATCH_SIZE:
            assert 2000 <= pairs / size < 4000


def test_a_study_that_varied_its_batch_says_that_of_a_far_budget() -> None:
    laws = fit(
        simulate(World(truth=TRUTH, models=MODELS, batch_sizes=(16, 24, 32), noise=0)), draws=2, forms=["chinchilla"]
    )
    assert far_batch(laws.cells, 1e15, 1e9) == sourced_batch_rule(laws.cells)(1e15)
