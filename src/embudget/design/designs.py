"""The study that teaches most about a target within a budget, for people who run their studies themselves.

It is laid out as a pilot is (`embudget.design.layout`), around what the laws guess for the target, in as many ways as
the budget pays for: budgets nearer to the target or farther below, fewer or more kinds of method, members and seeds.
Each is simulated in the same worlds (`embudget.design.guesses`), and the one whose recipes lose least is taken. To keep
the simulations few, the layouts that spend most are compared, `COMPARED` of them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from embudget.design.guesses import Worth, worth
from embudget.design.layout import MIN_STEPS, Layout, affordable
from embudget.design.pilot_study import Pilot, described
from embudget.errors import ConfigError, InfeasibleError
from embudget.flops import parse_budget
from embudget.laws import Laws
from embudget.recipe import Wishes
from embudget.recipe.answer import near_or_guess
from embudget.recipe.batch_size import far_batch
from embudget.recipe.options import Question
from embudget.recipe.starts import leading
from embudget.recipe.support import guessing
from embudget.suite import find_shape

WORLDS = 4
COMPARED = 6
"""Layouts that are simulated, of those that spend most."""


def design(
    laws: Laws,
    target: str | float,
    budget: str | float,
    *,
    suite: str | None = None,
    members: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    pairs: str | Path = "pairs",
    worlds: int = WORLDS,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
    **wishes: Unpack[Wishes],
) -> Pilot:
    """Design the study that teaches most about the best choice at a target, for so much and no more.

    Where you do not mind what the study costs, `embudget.pilot` lays out one of about 5 % of the target.

    Args:
        laws: what is guessed from, fitted to any study, or built-in ones.
        target: FLOP of the model that the study is for.
        budget: FLOP of all its runs together.
        suite: whose members are considered; by default those that the laws were measured on.
        members: models that are considered, instead of a suite.
        methods: that are considered, of those that the laws know; by default all of these.
        pairs: folder of the study's text pairs, relative to the study's file.
        worlds: simulated ones for each layout; 1 or more.
        seed: of the simulation.
        progress: called with the simulations done, and all of them.
        wishes: that the recipe will keep to, as for `recommend`.

    Raises:
        BudgetError: a budget cannot be read, or the study's is not below the target.
        ConfigError: the laws know none of the methods, or a wish breaks its rule.
        ModelError: the suite is unknown.
        InfeasibleError: the budget pays for no study; the least that does is named.

    Example:
        >>> found = design(eb.find_laws("smollm2"), 1e17, 2e16, suite="pythia")
        >>> found.save("study.yaml")
    """
    aim, most = parse_budget(target), parse_budget(budget)
    if most >= aim:
        raise ConfigError(f"budget must be below the target, got {most:.3g} for {aim:.3g}: train the model instead")
    if worlds < 1:
        raise ConfigError(f"worlds must be >= 1, got {worlds}")
    if laws.others:
        laws = leading(laws, aim, suite, wishes)
    shapes = None if members is None else [find_shape(name) for name in members]
    asked = _restricted(Question.of(laws, wishes, suite, shapes), methods)
    guess, _ = near_or_guess(asked, aim)
    asked = asked._replace(pairs=asked.limits.pairs_available)
    question = guessing(asked)
    seen = guess.tokens / question.practice.tokens_per_pair
    batch = far_batch(laws.cells, guess.train_flops, seen, asked.limits.min_steps or 1)
    every = affordable(question, guess, batch.size, Path(pairs), float("inf"))
    found = sorted((one for one in every if one.train_flops <= most), key=lambda one: -one.train_flops)[:COMPARED]
    if not found:
        raise InfeasibleError(_too_little(every, most, aim))
    every_method = tuple(dict.fromkeys(method for one in every for method in one.study.methods))
    outcomes: list[list[Worth | None]] = []
    for place, layout in enumerate(found):
        outcomes.append([])
        for world in range(worlds):
            outcomes[-1].append(worth(asked, guess, layout.configs, seed + world, layout.measured, every_method))
            progress(place * worlds + world + 1, len(found) * worlds)
    best = min(range(len(found)), key=lambda place: _expected(outcomes[place]))
    reason = (
        f"the study that teaches most about {aim:.3g} FLOP for at most {most:.3g}: of {len(found)} layouts the one "
        f"whose recipes lose least in {worlds} simulated world{'s' * (worlds > 1)}"
    )
    return described(question, guess, found[best], batch, outcomes[best], suite, reason)


def _expected(outcomes: Sequence[Worth | None]) -> float:
    """Mean regret; a world that gives no recipe counts as a loss of all."""
    return float(np.mean([1.0 if one is None else one.regret for one in outcomes]))


def _restricted(question: Question, methods: Sequence[str] | None) -> Question:
    if methods is None:
        return question
    kept = tuple(one for one in question.candidates if str(one.method) in methods)
    if not kept:
        known = ", ".join(question.laws.methods)
        raise ConfigError(f"methods must be some of those that the laws know ({known}), got {', '.join(methods)}")
    return question._replace(candidates=kept)


def _too_little(every: Sequence[Layout], most: float, aim: float) -> str:
    if not every:
        return (
            f"no study with runs of {MIN_STEPS} steps is laid out for {aim:.3g} FLOP: the models are too large for it"
        )
    least = min(one.train_flops for one in every)
    return f"budget must pay for a study with runs of {MIN_STEPS} steps, {least * 1.005:.3g} FLOP here, got {most:.3g}"
