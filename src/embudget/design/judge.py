"""What a design of runs can tell, before anything is paid for.

The design's study is simulated many times and fitted, and the recipe of each is held against the truth. The regret of
one simulated study is

    (true loss of its recipe - lowest true loss of any choice) / that lowest loss

at one budget and without noise. Where the world has laws of the learning rate, the recipe pays for a wrong rate too.
"""

from collections.abc import Callable
from math import ceil

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from embudget.choices import candidates_of, members_for
from embudget.design.simulate import World, planned, simulate
from embudget.errors import BudgetError, ConfigError, EmbudgetError, FitError
from embudget.frozen import Frozen
from embudget.laws import fit
from embudget.recipe import recommend
from embudget.recipe.batch_size import batch_rule
from embudget.recipe.options import MAX_EXTRAPOLATION
from embudget.runs import RunTable
from embudget.suite import find_suite

SHARE = 0.9
"""The judgement names the regret that this share of the studies does not exceed."""
DRAWS = 100
"""Bootstrap draws of each fit."""


class Judgement(Frozen):
    """How well the studies of a design know the best choice."""

    train_flops: PositiveFloat = Field(description="budget of the choice, FLOP")
    runs: PositiveInt = Field(description="of one study, those that fail or are lost included")
    repeats: PositiveInt = Field(description="simulated studies")
    model: str = Field(description="of the truly best choice")
    method: str
    loss: PositiveFloat = Field(description="of the truly best choice, nats")
    regrets: tuple[float, ...] = Field(min_length=1, description="of the studies that gave a recipe, relative")
    coverage: float = Field(ge=0, le=1, description="share of them whose interval held a new run of the recipe")
    refusals: tuple[str, ...] = Field(default=(), description="why the others gave none")

    @property
    def within(self) -> float:
        """The regret that nine studies in ten keep to, relative."""
        return float(np.quantile(self.regrets, SHARE, method="inverted_cdf"))

    def __str__(self) -> str:
        """One sentence, and one more where studies gave no recipe."""
        text = (
            f"with these {self.runs} runs you will know the best choice at {self.train_flops:.3g} FLOP to within "
            f"{100 * self.within:.1f} % ({100 * SHARE:g} % of {len(self.regrets)} simulated studies; mean "
            f"{100 * float(np.mean(self.regrets)):.1f} %), interval coverage {self.coverage:.2f}; truly best: "
            f"{self.model} by {self.method}, loss {self.loss:.3f}"
        )
        if self.refusals:
            text += f"\n{len(self.refusals)} of {self.repeats} studies gave no recipe, the first: {self.refusals[0]}"
        return text


def judge(
    world: World,
    budget: float,
    *,
    repeats: int = 20,
    suite: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Judgement:
    """Simulate the world's study ``repeats`` times and judge the recipes for a budget.

    Example:
        >>> from embudget.design import World, judge
        >>> print(judge(World.from_yaml("studies/pythia_world.yaml"), 1e19, repeats=5))  # doctest: +SKIP

    Args:
        world: the truth and the design.
        budget: FLOP.
        repeats: studies, with the seeds ``seed``, ``seed`` + 1, ...
        suite: whose members may be chosen; by default the measured ones and the built-in suites that hold them all.
        draws: bootstrap draws of each fit.
        seed: of the first study.
        progress: called with the number of studies done.

    Raises:
        BudgetError: the budget is further from the design's than any recipe goes.
        ConfigError: ``repeats`` or ``budget`` is not positive, no choice takes the world's ``min_steps`` at it, or an
            error of `simulate`.
        FitError: no study gave a recipe; with the first reason.
    """
    runs = check(world, budget, repeats)
    losses = _true_losses(world, budget, suite)
    best = min(losses, key=losses.__getitem__)
    regrets, held, refusals = [], [], []
    named = suite or world.suite
    for study in range(seed, seed + repeats):
        try:
            laws = fit(simulate(world, study), draws=draws)
            recipe = recommend(laws, budget, suite=named, min_steps=world.min_steps, force=True)
        except EmbudgetError as error:
            refusals.append(str(error))
        else:
            true = world.loss(recipe.model, recipe.method, budget, recipe.learning_rate)
            low, high = recipe.predicted_interval
            new_run = true * float(np.exp(world.noise * np.random.default_rng([study, 2]).standard_normal()))
            regrets.append(true / losses[best] - 1)
            held.append(low <= new_run <= high)
        progress(study - seed + 1)
    if not regrets:
        raise FitError(f"no study of this design gives a recipe: {refusals[0]}")
    return Judgement(
        train_flops=budget, runs=runs, repeats=repeats, model=best[0], method=best[1], loss=losses[best],
        regrets=tuple(regrets), coverage=float(np.mean(held)), refusals=tuple(refusals),
    )  # fmt: skip


def check(world: World, budget: float, repeats: int = 1) -> int:
    """Count the runs of one study, and refuse what cannot be judged before anything is simulated; errors as `judge`."""
    if repeats < 1:
        raise ConfigError(f"repeats must be >= 1, got {repeats}")
    if not 0 < budget < float("inf"):
        raise ConfigError(f"budget must be finite and > 0, got {budget:g}")
    low, high = min(world.budgets), max(world.budgets)
    if not low / MAX_EXTRAPOLATION <= budget <= high * MAX_EXTRAPOLATION:
        raise BudgetError(
            f"budget must be within {MAX_EXTRAPOLATION:g} times those of the design ({low:.3g} to {high:.3g} FLOP), "
            f"got {budget:.3g}"
        )
    return planned(world)


def _true_losses(world: World, budget: float, suite: str | None) -> dict[tuple[str, str], float]:
    """(model, method) -> the true loss, nats, of every choice that `recommend` has where it is given this suite."""
    named = suite or world.suite
    members = find_suite(named) if named else members_for([shape.name for shape in world.shapes()], None)
    # a recipe takes its batch size from those of the design
    whole = world.model_copy(update={"noise": 0.0, "seeds": 1, "fail_probability": 0.0, "lost_probability": 0.0})
    pairs = batch_rule(RunTable.of(simulate(whole)).cells)(budget)
    able = [one for one in candidates_of(members, world.truth) if one.refusal is None]
    if not able:
        raise ConfigError("no method of the world can train a member of the suite")
    losses = {
        (one.model, str(one.method)): world.loss(one.model, str(one.method), budget)
        for one in able
        if ceil(budget / one.flops_per_token / (world.tokens_per_pair * pairs)) >= world.min_steps
    }
    if not losses:
        raise ConfigError(f"no choice takes min_steps={world.min_steps} steps at {budget:.3g} FLOP")
    return losses
