"""A design is judged by the regret of the recipes that its simulated studies give."""

from math import exp, log

import pytest

from embudget.design import Judgement, TrueRate, World, judge
from embudget.errors import BudgetError, ConfigError, FitError
from embudget.flops import steps_for
from embudget.laws import Coefficients
from embudget.methods import parse_method
from embudget.suite import find_suite

TRUTH = {
    "full": Coefficients(E=1.0, A=300, a=0.35, B=250, b=0.4),
    "lora:32": Coefficients(E=1.0, A=330, a=0.35, B=300, b=0.4),
}
MODELS = tuple(f"smollm2-135m:{depth}" for depth in (1, 2, 4, 8))
BUDGET = 6.4e13


def test_without_noise_the_best_choice_is_known() -> None:
    done: list[int] = []
    verdict = judge(World(truth=TRUTH, models=MODELS, noise=0), BUDGET, repeats=2, draws=5, progress=done.append)
    assert verdict.within < 1e-3
    assert verdict.runs == len(MODELS) * 3 * 2
    assert verdict.refusals == ()
    assert done == [1, 2]
    world = World(truth=TRUTH)
    losses = {(s.name, m): world.loss(s.name, m, BUDGET) for s in world.shapes() for m in TRUTH}
    assert (verdict.model, verdict.method) == min(losses, key=losses.__getitem__)
    assert verdict.loss == min(losses.values())


def test_a_recipe_pays_for_a_wrong_learning_rate() -> None:
    rates = {"full": TrueRate(at=1e-3, curvature=0.1)}
    world = World(truth={"full": TRUTH["full"]}, models=MODELS, noise=0, rate_laws=rates)
    tuned = judge(world, BUDGET, repeats=1, draws=5)
    off = judge(world.model_copy(update={"rate_multiples": (2.0,)}), BUDGET, repeats=1, draws=5)
    assert tuned.within < 1e-3
    assert off.within == pytest.approx(exp(0.1 * log(2) ** 2) - 1, abs=2e-3)


def test_the_same_seed_gives_the_same_verdict() -> None:
    world = World(truth=TRUTH, models=MODELS, noise=0.03, fail_probability=0.1)
    first, again, other = (judge(world, BUDGET, repeats=2, draws=5, seed=seed) for seed in (0, 0, 50))
    assert first == again != other


def test_studies_that_give_no_recipe_are_counted() -> None:
    world = World(truth={"full": TRUTH["full"]}, models=MODELS, budgets=(1e12, 4e12), lost_probability=0.4)
    verdict = judge(world, BUDGET, repeats=12, draws=5)
    assert 0 < len(verdict.refusals) == 12 - len(verdict.regrets) < 12
    assert f"{len(verdict.refusals)} of 12 studies gave no recipe" in str(verdict)


def test_the_verdict_is_a_sentence() -> None:
    verdict = Judgement(
        train_flops=1e19, runs=180, repeats=10, model="pythia-6.9b", method="lora:32", loss=0.25,
        regrets=(0.0,) * 8 + (0.021, 0.5), coverage=0.9,
    )  # fmt: skip
    assert str(verdict) == (
        "with these 180 runs you will know the best choice at 1e+19 FLOP to within 2.1 % (90 % of 10 simulated "
        "studies; mean 5.2 %), interval coverage 0.90; truly best: pythia-6.9b by lora:32, loss 0.250"
    )


def test_the_best_choice_takes_as_many_steps_as_a_recipe_must() -> None:
    """The larger models are the better ones, and take too few steps."""
    truth = {"full": Coefficients(E=0.5, A=3000, a=0.4, B=1e-6, b=1)}
    world = World(truth=truth, models=MODELS, noise=0.001, min_steps=20, batch_sizes=(16, 32, 64))
    free = judge(world.model_copy(update={"min_steps": 1}), BUDGET, repeats=1, draws=5)
    bound = judge(world, BUDGET, repeats=1, draws=5)
    assert bound.loss > free.loss
    batch_size = 128  # the design's doubles with every fourfold budget
    steps = {s.name: steps_for(BUDGET, parse_method("full"), s, 60, batch_size) for s in find_suite("smollm2")}
    assert steps[free.model] < 19
    assert bound.model == min((name for name in steps if steps[name] > 19), key=steps.__getitem__)
    with pytest.raises(ConfigError, match="no choice takes min_steps=20 steps at 1e"):
        judge(world, 1e11, repeats=1, draws=5)


def test_a_budget_beyond_any_recipe_is_refused_before_a_study_is_fitted() -> None:
    done: list[int] = []
    with pytest.raises(BudgetError, match=r"times those of the design \(1e\+12 to 1.6e\+13 FLOP\), got 1e\+40"):
        judge(World(truth=TRUTH, models=MODELS), 1e40, repeats=1, progress=done.append)
    assert done == []


def test_what_cannot_be_judged_is_refused() -> None:
    world = World(truth=TRUTH, models=MODELS, budgets=(1e12,))
    with pytest.raises(FitError, match="no study of this design gives a recipe: "):
        judge(world, BUDGET, repeats=2, draws=5)
    with pytest.raises(ConfigError, match="repeats must be >= 1, got 0"):
        judge(world, BUDGET, repeats=0)
    with pytest.raises(ConfigError, match="budget must be finite and > 0, got -1"):
        judge(world, -1)
