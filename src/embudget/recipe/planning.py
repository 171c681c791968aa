"""The recipe: over all members of a suite and all measured methods, the lowest predicted loss at a budget.

A choice (member, method) buys D = C / c tokens, c the method's FLOP per token, and the law predicts its loss. Before
the comparison a choice is rejected, by name, where

- the method cannot train the model, or takes fewer steps than any fitted cell did (or a stated number), where the law
  saw nothing, or more pairs than there are;
- its size is far from anything measured: outside the method's measured sizes by a larger factor than the budget lies
  outside the method's measured budgets. An optimal size that grew faster than the budget would mean less data for
  more compute, so this cuts nothing plausible, and no badly determined exponent can send a recipe to the end of the
  suite.

The prediction, a mean over the bootstrap draws, is minimised as it is. Choices that the study cannot tell from the best
form the flat set: predicted within one run's noise of it, or better than it in a tenth of the draws. The optimum in N
is flat, so the set tells which sizes are as good; all else is rejected as worse by so many per cent.
"""

from collections import Counter

import numpy as np

from embudget.errors import BudgetError, ConfigError
from embudget.flops import DEFAULT_MFU, resolve_budget
from embudget.laws import Laws
from embudget.laws.base import Array
from embudget.methods import Bias, Freeze, Full, LoRA, parse_method
from embudget.recipe.hyperparameters import assumed, hyperparameters, nearest_cell
from embudget.recipe.options import MAX_EXTRAPOLATION, Limits, Option, fewest_steps, options_for
from embudget.recipe.values import Choice, Recipe, Rejection
from embudget.suite import SUITES, ModelShape, find_shape, find_suite, known_shape
from embudget.suite.members import is_hub_id, split_depth

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
    min_steps: int | None = None,
    allow_unmeasured_sizes: bool = False,
) -> Recipe:
    """The best way to spend a budget, by the laws.

    Args:
        laws: of a study.
        budget: in FLOP; or give ``gpu_hours`` or ``dollars``, with ``device``.
        suite: whose members are considered: a built-in name or a folder of models; by default the measured models
            and the built-in suites that hold all of them.
        gpu_hours: budget as time of one device.
        dollars: budget as money for one device.
        device: a name in `embudget.flops.DEVICES`.
        mfu: share of the device's peak that training reaches.
        dollars_per_hour: price of the device, instead of the table's.
        pairs_available: training pairs there are; a run repeats them at most as often as the study's runs might.
        min_steps: choices with fewer optimiser steps are rejected; by default the fewest of a fitted cell.
        allow_unmeasured_sizes: consider sizes far from the measured ones too.

    Raises:
        BudgetError: not exactly one budget, one that cannot be read, or one too far from the measured ones.
        ModelError: the suite is unknown, or a measured model is not there any more.
        ConfigError: no choice meets the constraints; they are named.
    """
    train_flops = resolve_budget(
        budget, gpu_hours=gpu_hours, dollars=dollars, device=device, mfu=mfu, dollars_per_hour=dollars_per_hour
    )
    if laws.extrapolation(train_flops) > MAX_EXTRAPOLATION:
        raise BudgetError(
            f"budget must be within {MAX_EXTRAPOLATION:g} times the measured ones "
            f"({laws.table.budgets[0]:.3g} to {laws.table.budgets[-1]:.3g} FLOP), got {train_flops:.3g}"
        )
    for name, count in (("pairs_available", pairs_available), ("min_steps", min_steps)):
        if count is not None and count < 1:
            raise ConfigError(f"{name} must be >= 1, got {count}")
    least = fewest_steps(laws) if min_steps is None else min_steps
    limits = Limits(pairs_available, least, any_size=allow_unmeasured_sizes)
    members = _members_of_measured(laws) if suite is None else find_suite(suite)
    options, rejected = options_for(laws, train_flops, members, limits)
    choices = ((_choice(laws, option, train_flops), option) for option in options)
    ranked = sorted(choices, key=lambda pair: pair[0].predicted_loss)
    best, option = ranked[0]
    flat, worse = _tell_apart(laws, [choice for choice, _ in ranked])
    nearest = nearest_cell(best.method, best.model_params, train_flops, laws.cells)
    return Recipe(
        train_flops=train_flops,
        **best.model_dump(),
        pairs=option.pairs,
        batch_size=option.batch_size,
        **hyperparameters(nearest, laws.table, option.method, option.shape),
        measured_on=laws.table.pairs,
        level=LEVEL,
        flat=flat,
        rejected=(*worse, *rejected, *_without_law(laws)),
        warnings=(*_warnings(laws, best), *assumed(nearest, laws.table, laws.cells)),
    )


def _members_of_measured(laws: Laws) -> tuple[ModelShape, ...]:
    measured = set(laws.table.models)
    if unknown := [name for name in laws.table.models if not _may_be_found(name)]:
        raise ConfigError(
            f"suite must be given where the laws were measured on models that are no known members: {unknown[0]}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f" (one of {', '.join(SUITES)}, or a folder of models)"
        )
    names = measured.union(*(members for members in SUITES.values() if measured <= set(members)))
    return tuple(sorted((find_shape(name) for name in names), key=lambda shape: shape.model_params))


def _may_be_found(name: str) -> bool:
    """Whether a model of a table can be looked up: one that is here, or on the hub by its id."""
    return known_shape(name) is not None or is_hub_id(name)


def _base(name: str) -> str:
    """A model's name without a depth; a foreign name that only looks as if it had one is kept."""
    return split_depth(name)[0] if _may_be_found(name) else name


def _choice(laws: Laws, option: Option, budget: float) -> Choice:
    at = (str(option.method), option.shape.model_params, option.tokens)
    return Choice(
        model=option.shape.name,
        method=str(option.method),
        model_params=option.shape.model_params,
        tokens=option.tokens,
        steps=option.steps,
        predicted_loss=laws.predict(*at),
        predicted_interval=laws.interval(*at, LEVEL),
        extrapolation=laws.extrapolation(budget, str(option.method)),
    )


def _tell_apart(laws: Laws, ranked: list[Choice]) -> tuple[tuple[Choice, ...], tuple[Rejection, ...]]:
    """Part the runners-up, best first, into those within the noise of the best and those worse."""
    best, *others = ranked
    flat: list[Choice] = []
    worse: list[Rejection] = []
    best_draws = _draws(laws, best)
    for other in others:
        excess = other.predicted_loss / best.predicted_loss - 1
        wins = float(np.mean(_draws(laws, other) < best_draws))
        if excess <= laws.noise or wins >= FLAT_DRAWS:
            flat.append(other)
        else:
            reason = f"predicted loss {other.predicted_loss:.3f}, {100 * excess:.1f} % worse"
            worse.append(Rejection(model=other.model, method=other.method, reason=reason))
    return tuple(flat), tuple(worse)


def _draws(laws: Laws, choice: Choice) -> Array:
    return laws.surface.drawn([choice.method], np.array([choice.model_params]), np.array([choice.tokens]))[:, 0]


def _without_law(laws: Laws) -> tuple[Rejection, ...]:
    """The methods that were measured too little, and the kinds of method that were not measured at all."""
    few = Counter(cell.method for cell in laws.table.cells if cell.method not in laws.methods)
    measured = {parse_method(method).name for method in laws.table.methods}
    kinds = [kind.name for kind in (Full, Freeze, Bias, LoRA)]
    return (
        *(Rejection(method=name, reason=f"measured in {n} cells, too few for a law") for name, n in few.items()),
        *(Rejection(method=name, reason="not measured") for name in kinds if name not in measured),
    )


def _warnings(laws: Laws, best: Choice) -> tuple[str, ...]:
    warnings = []
    measured = list(dict.fromkeys(_base(model) for model in laws.table.models))
    base = _base(best.model)
    if base not in measured:
        listed = ", ".join(measured[:4]) + (f" and {len(measured) - 4} more" if len(measured) > 4 else "")
        warnings.append(
            f"the laws were measured on {listed}, not on {base}: its losses may lie elsewhere, "
            "measure it or a few members of its suite"
        )
    if best.extrapolation > MAX_TRUSTED:
        warnings.append(
            f"the budget is {best.extrapolation:.3g} times outside those that {best.method} was measured at; "
            f"intervals are checked up to {MAX_TRUSTED:g} times"
        )
    return tuple(warnings)
