"""The recipe: over all members of a suite and all measured methods, the lowest predicted loss at a budget.

A choice (member, method) buys D = C / c tokens, c the method's FLOP per token, and the law predicts its loss. Before
the comparison a choice is rejected, by name, where

- the method cannot train the model, or takes fewer than a stated number of steps, or more pairs than there are;
- its size is far from anything measured: outside the method's measured sizes by a larger factor than the budget lies
  outside the measured budgets. An optimal size that grew faster than the budget would mean less data for more compute,
  so this cuts nothing plausible, and no badly determined exponent can send a recipe to the end of the suite.

The prediction's minimum is taken as it is. Choices that the study cannot tell from it form the flat set: predicted
within one run's noise of the best, or better than it in a tenth of the bootstrap draws. The optimum in N is flat, so
the set tells which sizes are as good; all else is rejected as worse by so many per cent.
"""

import numpy as np

from embudget.errors import BudgetError, ConfigError
from embudget.flops import DEFAULT_MFU, resolve_budget
from embudget.laws import Laws
from embudget.methods import Bias, Freeze, Full, LoRA, parse_method
from embudget.recipe.hyperparameters import FROM_NEAREST, nearest_run
from embudget.recipe.options import Limits, Option, options_for
from embudget.recipe.values import Choice, Recipe, Rejection
from embudget.suite import SUITES, ModelShape, find_shape, find_suite
from embudget.suite.members import split_depth

MAX_EXTRAPOLATION = 1e6
"""Budgets further outside the measured ones are refused."""
MIN_STEPS = 30
"""Optimiser steps below which a run hardly learns: in a pilot 13 to 33 steps lost to smaller models with more."""
MAX_TRUSTED = 4.0
"""Times outside the measured budgets up to which the intervals' coverage was checked in simulation."""
LEVEL = 0.9
"""Of the intervals."""
FLAT_DRAWS = 0.1
"""Share of the draws in which a choice must beat the best one to count as no worse."""


def recommend(
    laws: Laws,
    budget: str | float | None = None,
    *,
    suite: str | None = None,
    gpu_hours: float | None = None,
    dollars: float | None = None,
    device: str | None = None,
    mfu: float = DEFAULT_MFU,
    dollars_per_hour: float | None = None,
    pairs_available: int | None = None,
    min_steps: int = MIN_STEPS,
    allow_unmeasured_sizes: bool = False,
) -> Recipe:
    """The best way to spend a budget, by the laws.

    Args:
        laws: of a study.
        budget: in FLOP; or give ``gpu_hours`` or ``dollars``, with ``device``.
        suite: whose members are considered: a built-in name or a folder of models; by default the built-in suites
            of the measured models, or these models where they are of none.
        gpu_hours: budget as time of one device.
        dollars: budget as money for one device.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches.
        dollars_per_hour: price of the device, instead of the table's.
        pairs_available: training pairs there are; a run repeats them at most as often as the study's runs might.
        min_steps: choices with fewer optimiser steps are rejected.
        allow_unmeasured_sizes: consider sizes far from the measured ones too.

    Raises:
        BudgetError: not exactly one budget, one that cannot be read, or one too far from the measured ones.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: no choice meets the constraints; they are named.
    """
    train_flops = resolve_budget(
        budget, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu, dollars_per_hour=dollars_per_hour
    )
    extrapolation = laws.extrapolation(train_flops)
    if extrapolation > MAX_EXTRAPOLATION:
        raise BudgetError(
            f"budget must be within {MAX_EXTRAPOLATION:g} times the measured ones "
            f"({laws.table.budgets[0]:.3g} to {laws.table.budgets[-1]:.3g} FLOP), got {train_flops:.3g}"
        )
    for name, count in (("pairs_available", pairs_available), ("min_steps", min_steps)):
        if count is not None and count < 1:
            raise ConfigError(f"{name} must be >= 1, got {count}")
    limits = Limits(pairs_available, min_steps, float("inf") if allow_unmeasured_sizes else extrapolation)
    members = _members_of_measured(laws) if suite is None else find_suite(suite)
    options, rejected = options_for(laws, train_flops, members, limits)
    ranked = sorted(((_choice(laws, option), option) for option in options), key=lambda pair: pair[0].predicted_loss)
    best, option = ranked[0]
    flat, worse = _tell_apart(laws, [choice for choice, _ in ranked])
    nearest = nearest_run(best.method, best.model_params, train_flops, laws.cells)
    return Recipe(
        train_flops=train_flops,
        **best.model_dump(),
        pairs=option.pairs,
        batch_size=option.batch_size,
        **{name: getattr(nearest, name) for name in FROM_NEAREST},
        **{name: getattr(laws.table, name) for name in ("max_length", "eval_pairs", "eval_candidates")},
        level=LEVEL,
        extrapolation=extrapolation,
        flat=flat,
        rejected=(*worse, *rejected, *_unmeasured(laws)),
        warnings=_warnings(laws, suite, members, extrapolation),
    )


def _members_of_measured(laws: Laws) -> tuple[ModelShape, ...]:
    measured = {run.model for run in laws.table.runs}
    names = {member for members in SUITES.values() if measured & set(members) for member in members} or measured
    return tuple(sorted((find_shape(name) for name in names), key=lambda shape: shape.model_params))


def _choice(laws: Laws, option: Option) -> Choice:
    at = (str(option.method), option.shape.model_params, option.tokens)
    return Choice(
        model=option.shape.name,
        method=str(option.method),
        model_params=option.shape.model_params,
        tokens=option.tokens,
        steps=option.steps,
        predicted_loss=laws.predict(*at),
        predicted_interval=laws.interval(*at, LEVEL),
    )


def _tell_apart(laws: Laws, ranked: list[Choice]) -> tuple[tuple[Choice, ...], tuple[Rejection, ...]]:
    """Part the runners-up, best first, into those within the noise of the best and those worse."""
    best, *others = ranked
    flat: list[Choice] = []
    worse: list[Rejection] = []
    best_draws = laws.surface.drawn(best.method, best.model_params, best.tokens)
    for other in others:
        excess = other.predicted_loss / best.predicted_loss - 1
        wins = float(np.mean(laws.surface.drawn(other.method, other.model_params, other.tokens) < best_draws))
        if excess <= laws.noise or wins >= FLAT_DRAWS:
            flat.append(other)
        else:
            reason = f"predicted loss {other.predicted_loss:.3f}, {100 * excess:.1f} % worse"
            worse.append(Rejection(model=other.model, method=other.method, reason=reason))
    return tuple(flat), tuple(worse)


def _unmeasured(laws: Laws) -> tuple[Rejection, ...]:
    """The kinds of method that the study left out."""
    measured = {parse_method(method).name for method in laws.methods}
    kinds = [kind.name for kind in (Full, Freeze, Bias, LoRA)]
    return tuple(Rejection(method=name, reason="not measured") for name in kinds if name not in measured)


def _warnings(laws: Laws, suite: str | None, members: tuple[ModelShape, ...], extrapolation: float) -> tuple[str, ...]:
    warnings = []
    measured = {split_depth(run.model)[0] for run in laws.table.runs}
    if not measured & {split_depth(shape.name)[0] for shape in members}:
        warnings.append(
            f"the laws were measured on {', '.join(sorted(measured))}, not on the suite {suite}: "
            "its losses may lie elsewhere, measure a few of its members"
        )
    if extrapolation > MAX_TRUSTED:
        warnings.append(
            f"the budget is {extrapolation:.3g} times outside the measured ones; "
            f"intervals are checked up to {MAX_TRUSTED:g} times"
        )
    return tuple(warnings)
