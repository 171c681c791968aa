"""The pilot study: what it holds and costs, that its runs support a recipe, and what is expected of it."""

import re
from pathlib import Path

import numpy as np
import pytest

from embudget.design import Pilot, World, pilot, simulate
from embudget.design.extension import extension
from embudget.design.guesses import _of_the_prior, _world, worth
from embudget.design.rates import RATE_SD, belief
from embudget.design.simulate import TrueRate, sized
from embudget.design.simulated_runs import simulate_runs
from embudget.errors import ConfigError, InfeasibleError, ModelError, UnsupportedError
from embudget.laws import Laws, find_laws, fit
from embudget.laws.rates import rate_text
from embudget.methods import parse_method
from embudget.recipe import recommend
from embudget.recipe.answer import near_or_guess
from embudget.recipe.options import Question
from embudget.recipe.support import guessing
from embudget.records import RunConfig
from embudget.study import Study
from embudget.suite import SUITES, find_shape
from tests.recipe.worlds import MODELS, NOISY, TRUTH

TARGET = 4e16


@pytest.fixture(scope="module")
def laws() -> Laws:
    return fit(simulate(NOISY, seed=1), draws=20)


@pytest.fixture(scope="module")
def near(laws: Laws) -> Pilot:
    """On the measured family, 2500 times outside."""
    return pilot(laws, TARGET, worlds=0)


def configs_of(study: Study) -> list[RunConfig]:
    tokens = 60.0
    every = [run.config for run in study.runs("0" * 16, identified=False)]
    return [config for config in every if sized(config, tokens).steps > study.min_steps]


@pytest.mark.parametrize(
    ("name", "budget", "suite"),
    [
        ("smollm2", 1e17, "pythia"),
        ("smollm2", 4.36e15, None),
        ("smollm2", 1e19, "qwen3"),
        ("smollm2", 1e25, "pythia"),
        ("smollm2", 1e19, "olmo-2"),  # one member: it is cut to its first blocks
        ("micro", 1e15, None),
    ],
)
def test_it_costs_about_a_twentieth_at_the_batch_and_parts_of_the_budget(
    name: str, budget: float, suite: str | None
) -> None:
    found = pilot(find_laws(name), budget, suite=suite, worlds=0)
    study = found.study
    assert 0.03 <= found.share <= 0.06
    assert study.budgets == pytest.approx((budget / 4000, budget / 1000, budget / 250), rel=1e-3)
    assert isinstance(study.batch_size, int)
    assert 3 <= len(study.members) <= 5
    assert 1 <= len(study.methods) <= 3
    assert len({parse_method(method).name for method in study.methods}) == len(study.methods)
    assert len(study.also) == 2
    for grid in study.also:
        for low, middle, high in grid["learning_rates"].values():
            assert (middle / low, high / middle) == pytest.approx((3, 3), rel=0.05)
    sizes = [find_shape(member).model_params for member in study.members]
    assert sizes == sorted(sizes)
    least = min(find_shape(member).model_params for member in SUITES.get(suite or name, study.members))
    assert sizes[0] < find_shape(found.model).model_params or sizes[0] == least


def test_every_budget_has_runs_that_are_long_enough_and_every_method_two_cells_with_three_rates(near: Pilot) -> None:
    configs = configs_of(near.study)
    assert {config.train_flops for config in configs} == set(near.study.budgets)
    assert near.runs == len(configs)
    for method in near.study.methods:
        cells: dict[tuple[str, float], set[float | None]] = {}
        for config in configs:
            if config.method == method:
                cells.setdefault((config.model, config.train_flops), set()).add(config.learning_rate)
        assert sum(len(rates) >= 3 for rates in cells.values()) == 2
        assert len({model for model, _ in cells}) >= 3


def test_its_file_is_a_study(near: Pilot, tmp_path: Path) -> None:
    near.save(tmp_path / "pilot.yaml")
    study = Study.from_yaml(tmp_path / "pilot.yaml")
    assert study.pairs == tmp_path / "pairs"
    assert study.configs("0" * 16) == near.study.configs("0" * 16)
    text = (tmp_path / "pilot.yaml").read_text()
    assert "budgets: [1.0e+13, 4.0e+13, 1.6e+14]" in text
    assert near.reason[1:] in text
    of_qwen = pilot(find_laws("smollm2"), 1e18, suite="qwen3", worlds=0)
    of_qwen.save(tmp_path / "qwen.yaml")
    assert "embudget recipe laws.json --budget 1e+18 --suite qwen3\n" in (tmp_path / "qwen.yaml").read_text()
    near.save(tmp_path / "pilot.yaml")  # a study may take the place of a study
    (tmp_path / "recipe.yaml").write_text("predicted_loss: 1\nmethod: full\n")
    with pytest.raises(ConfigError, match="a recipe"):
        near.save(tmp_path / "recipe.yaml")


def test_its_runs_support_the_recipe_that_it_is_for_and_a_good_one(laws: Laws, near: Pilot) -> None:
    """The truth is that of the laws: with the pilot's runs the best choice 250 times beyond them is nearly found."""
    rates = {method: TrueRate(at=1e-3, p=-0.2, q=-0.1, curvature=0.05) for method in TRUTH}
    world = World(truth=TRUTH, models=MODELS, noise=0.01, rate_laws=rates)
    with pytest.raises(UnsupportedError):
        recommend(laws, TARGET)
    measured = fit(simulate_runs(world, configs_of(near.study), seed=5), draws=20)
    recipe = recommend(measured, TARGET, suite="smollm2")
    assert recipe.supported
    assert recipe.batch_size == near.study.batch_size
    best = min(world.loss(model, method, TARGET) for model in SUITES["smollm2"] for method in TRUTH)
    assert world.loss(recipe.model, recipe.method, TARGET) / best - 1 < 0.02  # what the choice loses
    assert world.loss(recipe.model, recipe.method, TARGET, recipe.learning_rate) / best - 1 < 0.1  # its rate included


@pytest.mark.parametrize(
    ("budget", "suite", "part"),
    [
        (4.36e15, None, 250),
        (1e17, "pythia", 250),
        (2e15, "qwen3", 15.625),  # models so large that only larger parts of the budget pay for useful runs
    ],
)
def test_whatever_the_truth_no_second_pilot_is_asked_for(budget: float, suite: str | None, part: float) -> None:
    laws = find_laws("smollm2")
    found = pilot(laws, budget, suite=suite, worlds=0)
    assert max(found.study.budgets) == pytest.approx(budget / part, rel=1e-3)
    law = {"E": 1.5, "A": 200, "a": 0.3, "B": 250, "b": 0.4}
    world = World.read({"truth": dict.fromkeys(found.study.methods, law), "models": found.study.members}, "a world")
    every = [run.config for run in found.study.runs("0" * 16, identified=False)]
    runs = [config for config in every if sized(config, world.tokens_per_pair).steps >= found.study.min_steps]
    measured = fit(simulate_runs(world, runs), draws=5, forms=["chinchilla"])
    assert recommend(measured, budget, suite=suite or "smollm2").supported


def test_the_expected_regret_comes_with_its_error(laws: Laws) -> None:
    done: list[int] = []
    found = pilot(laws, TARGET, worlds=3, progress=done.append)
    assert done == [1, 2, 3]
    assert len(found.regrets) + found.failures == 3
    assert len(found.regrets) >= 2
    assert found.expected_regret == pytest.approx(np.mean(found.regrets))
    assert found.regret_error == pytest.approx(np.std(found.regrets, ddof=1) / len(found.regrets) ** 0.5)
    assert all(0 <= regret < 1 for regret in found.regrets)
    assert all(0 <= part <= whole for part, whole in zip(found.choice_regrets, found.regrets, strict=True))
    assert f"loses {100 * (found.expected_regret or 0):.1f} % ± " in str(found)
    dumped = found.model_dump(mode="json")
    assert dumped["expected_regret"] == found.expected_regret
    assert Study.model_validate(dumped["study"]).configs("0" * 16) == found.study.configs("0" * 16)


def test_a_pilot_of_many_runs_is_worth_more_than_a_few_of_them(laws: Laws, near: Pilot) -> None:
    """With the largest budget alone left out, the recipe lies 1000 times outside, and loses more."""
    question, guess = Question.of(laws, {}), recommend(laws, TARGET, force=True)
    configs = configs_of(near.study)
    some = [config for config in configs if config.train_flops < max(near.study.budgets)]
    every, fewer = (
        [worth(question, guess, runs, seed) for seed in range(4)] for runs in (configs, some)
    )  # fmt: skip
    known = [one.regret for one in every if one is not None]
    less = [one.regret if one is not None else 1.0 for one in fewer]
    assert len(known) == 4
    assert np.mean(known) <= np.mean(less)


def test_a_study_too_small_for_a_law_is_worth_nothing_and_a_slip_of_ours_is_none_of_its_failures(
    laws: Laws, near: Pilot
) -> None:
    question, guess, configs = Question.of(laws, {}), recommend(laws, TARGET, force=True), configs_of(near.study)
    assert worth(question, guess, configs[:2], seed=0) is None
    renamed = question._replace(candidates=tuple(one._replace(model="nobody") for one in question.candidates))
    with pytest.raises(ModelError, match="nobody"):
        worth(renamed, guess, configs, seed=0)


def test_a_truth_of_another_family_has_its_best_size_near_the_guess(laws: Laws) -> None:
    guess = recommend(laws, 1e17, suite="pythia", force=True)
    ratios = []
    for seed in range(40):
        (law,) = _of_the_prior(guess, ["full"], np.random.default_rng(seed)).values()
        product = guess.model_params * guess.tokens
        sizes = np.geomspace(1e4, 1e12, 400)
        losses = [law.loss(size, product / size) for size in sizes.tolist()]
        ratios.append(np.log(sizes[int(np.argmin(losses))] / guess.model_params))
        assert law.loss(guess.model_params, guess.tokens) < 5 * guess.predicted_loss
    assert abs(np.median(ratios)) < 0.6
    assert 0.5 < np.std(ratios) < 2.5


def test_runs_of_a_trunk_share_a_part_of_their_noise() -> None:
    world = World(truth={"full": TRUTH["full"]}, models=MODELS, noise=0.02)
    study = Study.model_validate(
        {"pairs": "p", "members": [MODELS[0]], "methods": ["full"], "budgets": [1e13, 4e13], "seeds": range(300)}
    )
    configs = [run.config for run in study.runs("0" * 16, identified=False)]
    quiet = {record.config.id: record.loss for record in simulate_runs(world.model_copy(update={"noise": 0}), configs)}
    noise: dict[tuple[int, float], float] = {}
    for record in simulate_runs(world, configs, seed=2):
        config = record.config
        noise[config.seed, config.train_flops] = np.log((record.loss or 0) / (quiet[config.id] or 1))
    low, high = (np.array([noise[seed, budget] for seed in range(300)]) for budget in (1e13, 4e13))
    assert np.std(low) == pytest.approx(0.02, rel=0.15)
    assert np.corrcoef(low, high)[0, 1] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("budget", "wishes", "error", "message"),
    [
        (5e10, {"min_steps": 1}, InfeasibleError, "a pilot study with runs of 20 steps would take most of the budget"),
        (1e17, {"max_params": 10}, InfeasibleError, "no model and method is feasible"),
        (1e17, {"worlds": -1}, ConfigError, "worlds must be >= 0, got -1"),
    ],
)
def test_what_cannot_be_planned_is_one_line(
    laws: Laws, budget: float, wishes: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as refusal:
        pilot(laws, budget, **wishes)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_the_wishes_of_the_recipe_are_kept_in_the_pilot(laws: Laws) -> None:
    most = 2e7
    found = pilot(laws, TARGET, worlds=0, max_params=most, max_epochs=3)
    assert find_shape(found.model).model_params <= most
    assert all(find_shape(member).model_params <= most for member in found.study.members)
    assert found.study.max_epochs == 3
    assert recommend(laws, TARGET, force=True).steps > 5000
    batches = [pilot(laws, TARGET, worlds=0, min_steps=steps).study.batch_at(TARGET) for steps in (1, 5000)]
    assert batches[1] < batches[0]  # else the target would take too few steps


@pytest.mark.parametrize("budget", [1.6e14, 1.6e13, 2.5e11])
def test_where_the_runs_support_a_recipe_it_says_so(laws: Laws, budget: float) -> None:
    said = re.escape(f"these runs support a recipe for {budget:.3g} FLOP: use recommend")
    with pytest.raises(ConfigError, match=said) as refusal:
        pilot(laws, budget, worlds=0, min_steps=1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "budget"), [("smollm2", 1e17), ("smollm2", 1e20), ("micro", 1e15), ("micro", 1e17)])
def test_the_reason_is_that_of_the_refused_recipe(name: str, budget: float) -> None:
    """The study's pairs are few for such budgets, the guess of a pilot is for others: one of the two must be said."""
    with pytest.raises(UnsupportedError) as refusal:
        recommend(find_laws(name), budget)
    assert pilot(find_laws(name), budget, worlds=0).reason == refusal.value.reason
    assert f"a recipe for {budget:.3g} FLOP" in refusal.value.reason


def on_today_s_yardstick(laws: Laws) -> Laws:
    """The same laws as if their losses were of the pairs that new runs are measured on."""
    table = laws.table.model_copy(update={"yardstick": RunConfig.model_fields["yardstick"].default})
    return laws.model_copy(update={"table": table})


def test_a_pilot_of_its_own_keeps_the_held_out_pairs_of_today_s_yardstick_only() -> None:
    """512 pairs of the older one were too few: a new study is measured on as many as any other."""
    old = find_laws("smollm2")
    assert (old.table.yardstick, old.table.eval_pairs) == ("first", 512)
    assert pilot(old, 1e17, suite="pythia", worlds=0).study.eval_pairs is None
    assert pilot(on_today_s_yardstick(old), 1e17, suite="pythia", worlds=0).study.eval_pairs == 512


def test_runs_on_an_older_yardstick_are_not_extended() -> None:
    """The losses of new runs are of other held-out pairs, and no fit would take them together."""
    assert find_laws("smollm2").table.yardstick == "first"
    found = pilot(find_laws("smollm2"), 3e14, worlds=0)
    assert found.measured == 0 and found.runs > 10


@pytest.mark.parametrize(
    ("name", "budget", "suite"),
    [("smollm2", 3e14, None), ("smollm2", 4e14, "smollm2-family"), ("micro", 8e13, None), ("smollm2", 2.57e14, None)],
)
def test_just_beyond_16_times_it_adds_one_run_to_the_measured_ones(name: str, budget: float, suite: str | None) -> None:
    """A study of its own would cost up to half of the budget, and repeat budgets that were measured."""
    laws = on_today_s_yardstick(find_laws(name))
    found = pilot(laws, budget, suite=suite, worlds=0)
    assert (found.runs, found.measured) == (1, len(laws.cells))
    assert 0.0625 <= found.share <= 0.064
    assert budget / 16.2 <= found.study.budgets[0]
    assert 16 * found.study.budgets[0] >= budget
    assert found.study.batch_size == 16, "that of the measured runs"
    assert "to be fitted with those of the" in str(found)
    assert found.study.methods == (found.method,)


def test_with_the_run_it_adds_the_measured_runs_support_the_recipe(tmp_path: Path) -> None:
    world = World(truth=TRUTH, models=MODELS, noise=0.01)
    measured = simulate(world, seed=1)
    laws = fit(measured, draws=20)
    budget = 17 * max(world.budgets)
    with pytest.raises(UnsupportedError):
        recommend(laws, budget)
    found = pilot(laws, budget, worlds=2)
    assert found.failures == 0
    found.save(tmp_path / "pilot.yaml")
    assert "run it into their store" in (tmp_path / "pilot.yaml").read_text()
    (config,) = configs_of(Study.from_yaml(tmp_path / "pilot.yaml"))
    added = simulate_runs(world, [config.model_copy(update={"pairs": measured[0].config.pairs})], seed=5)
    again = fit([*measured, *added], draws=5, forms=["chinchilla"])
    assert recommend(again, budget).supported
    assert recommend(again, 0.9 * budget).supported


def test_the_run_it_adds_is_trained_and_scored_as_the_measured_ones(laws: Laws) -> None:
    """A loss at another scale, or after training at another, is of no use beside theirs: no fit takes them together."""
    cells = tuple(cell.model_copy(update={"query_prompt": "query: ", "pooling": "cls"}) for cell in laws.table.cells)
    own = {"cells": cells, "eval_scale": "best", "scale": 20.0}
    told = laws.model_copy(update={"table": laws.table.model_copy(update=own)})
    found = pilot(told, 17 * laws.table.budgets[-1], worlds=1)
    assert found.measured and found.failures == 0
    (config,) = configs_of(found.study)
    assert (config.eval_scale, config.scale, config.query_prompt, config.pooling) == ("best", 20, "query: ", "cls")


def test_runs_of_models_that_nobody_knows_do_not_count(laws: Laws, tmp_path: Path) -> None:
    question = Question.of(laws, {})
    guess, _ = near_or_guess(question, 17 * laws.table.budgets[-1])
    assert extension(guessing(question), guess, Path("pairs")) is not None
    laws.save(tmp_path / "laws.json")
    (tmp_path / "ours.json").write_text((tmp_path / "laws.json").read_text().replace("smollm2-135m:", "ours-"))
    unknown = find_laws(str(tmp_path / "ours.json"))
    assert extension(guessing(question)._replace(laws=unknown), guess, Path("pairs")) is None


def test_the_rates_are_by_the_laws_on_another_family_too() -> None:
    """Best rates that the laws know lie far above the method's default; the pilot tries theirs, and says so."""
    true = {"full": TrueRate(at=3e-3, p=-0.2, q=-0.1, curvature=0.06)}
    world = World(truth={"full": TRUTH["full"]}, models=MODELS, rate_laws=true, rate_multiples=(0.3, 1, 3), noise=0.003)
    laws = fit(simulate(world), draws=5, forms=["chinchilla"])
    found = pilot(laws, 1e17, suite="pythia", worlds=0)
    rates, middle = found.study.learning_rates["full"], find_shape(found.study.members[1])
    default = parse_method("full").default_learning_rate(middle)
    expected = true["full"].best(middle.model_params, 1e14 / parse_method("full").flops_per_token(middle))
    assert rates[0] > 3 * default
    assert rates[0] == pytest.approx((128 / 16) ** 0.5 * expected, rel=0.3)
    assert "by the rate law" in found.rate_sources["full"]
    assert "times 2.8, for the batch of 128" in found.rate_sources["full"]
    text = str(found)
    assert f"  rate      full {rate_text(rates[0])}: by the rate law" in text


def test_a_rate_far_from_any_measured_one_is_warned_of() -> None:
    far = pilot(find_laws("smollm2"), 1e20, worlds=0)
    warning = next(one for one in far.warnings if "lora:128" in one)
    assert "times below any best rate measured of it" in warning
    assert f"  warning   {warning}" in str(far)
    assert pilot(find_laws("micro"), 1e15, worlds=0).warnings == ()


def test_true_rates_are_drawn_from_the_laws_wherever_the_pilots_own_lie(laws: Laws, near: Pilot) -> None:
    """Rates 30 times too high must cost a pilot its recipe, not move the truth to them."""
    question, guess = Question.of(laws, {}), recommend(laws, TARGET, force=True)
    configs = configs_of(near.study)
    high = [one.model_copy(update={"learning_rate": 30 * (one.learning_rate or 0)}) for one in configs]
    methods = sorted({one.method for one in configs})
    truths = [
        _world(question, guess, runs, methods, 64, np.random.default_rng(1)).rate_laws for runs in (configs, high)
    ]
    assert truths[0] == truths[1]
    right, wrong = ([worth(question, guess, runs, seed) for seed in range(4)] for runs in (configs, high))
    by_rate = [[one.regret - one.by_choice for one in found if one is not None] for found in (right, wrong)]
    assert np.mean(by_rate[0]) < np.mean(by_rate[1]) / 2


def test_the_truth_of_a_known_rate_is_as_uncertain_as_the_law_of_it() -> None:
    """At the law's own centre a draw scatters by its standard error, on another family by a factor 2 more."""
    laws = find_laws("smollm2")
    question, guess = Question.of(laws, {}), recommend(laws, 1e17, force=True)
    law, rng = laws.rate_law, np.random.default_rng(0)
    assert law is not None
    size, tokens = np.exp(law.centre).tolist()
    other = Question.of(laws, {}, "pythia")
    for asked, more in ((question, 0.0), (other, RATE_SD)):
        known = belief(asked, guess, parse_method("full"), 16)
        logs = np.log([known.draw(rng).best(size, tokens) for _ in range(2000)])
        assert np.mean(logs) == pytest.approx(np.log(law.predict("full", size, tokens)), abs=0.06)
        assert np.std(logs) == pytest.approx(np.hypot(float(law.error("full", size, tokens)), more), rel=0.1)
