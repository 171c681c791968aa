"""What is a study worth, when the truth that it will meet is only guessed? Simulated: many truths, one study of each.

On models of the measured family a truth is one of the far laws' own draws. Of another family nothing was measured but
what laws look like: there a truth is a draw of the forms' prior (`embudget.laws.solve.PRIOR`), rescaled so that at the
target the best size and the loss are the guess's, give or take. The best learning rates of a truth are drawn from what
is known of them (`embudget.design.rates.belief`), wherever the pilot's own rates lie.
"""

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import numpy as np

from embudget.design.rates import belief
from embudget.design.simulate import World
from embudget.design.simulated_runs import simulate_runs
from embudget.errors import BudgetError, FitError, InfeasibleError, WorldError
from embudget.laws import Coefficients, FormName, fit
from embudget.laws.solve import PRIOR
from embudget.methods import parse_method
from embudget.recipe import Recipe, Wishes
from embudget.recipe.answer import answer
from embudget.recipe.options import Option, Question
from embudget.recipe.support import guessing, of_measured_family
from embudget.records import RunConfig
from embudget.runs.envelope import STEEP
from embudget.suite import find_shape

DRAWS = 20
FORMS: tuple[FormName, ...] = ("chinchilla",)
"""Draws and forms of each simulated fit. All forms take three times as long, and over 14 worlds expected 24 % (± 6) of
a pilot where this one expected 19 % (± 4)."""
BEGINNING: tuple[FormName, ...] = ("zero_shot", "zero_shot_level")
"""Forms where the members begin at zero-shot losses of their own, since no law in N alone follows these."""
SIZE_SD = 1.0
"""Standard deviation of the log of the best size about the guess, off the measured family: assumption, a factor e."""
METHOD_SD = 0.2
"""Standard deviation of a method's log coefficients about the others', off the measured family: assumption."""
REDUCIBLE = (0.1, 0.5)
"""Share of the target's loss that more size and data would still remove, off the measured family: assumption."""
_MOST_NOISE = 0.2


class Worth(NamedTuple):
    """What the recipe of one simulated study loses against the best choice, relative."""

    regret: float
    by_choice: float
    """Without what a wrong learning rate costs: at most STEEP of log loss (assumption), since one that is so far off
    shows itself early in a run."""


def worth(
    asked: Question,
    guess: Recipe,
    configs: Sequence[RunConfig],
    seed: int,
    measured: Sequence[RunConfig] = (),
    methods: Sequence[str] = (),
) -> Worth | None:
    """The regret of the recipe that these runs give in one simulated world; None where they give none.

    Args:
        asked: the question that the runs are to answer.
        guess: what it is answered with today.
        configs: the runs.
        seed: of the world and of its noise.
        measured: runs that exist already and are fitted together with these; they are simulated too.
        methods: that the best choice may have, where these are more than those of the runs: a study that leaves a good
            method out pays for it.
    """
    batch_size = configs[-1].batch_size
    runs = [*measured, *configs]
    names = tuple(dict.fromkeys([*methods, *(config.method for config in runs)]))
    world = _world(asked, guess, runs, names, batch_size, np.random.default_rng([seed, 3]))
    limits = asked.limits._replace(force=True)
    everything = asked._replace(limits=limits._replace(any_size=True))
    members = tuple({one.model: one.shape for one in asked.candidates if one.shape is not None}.values())
    options = [
        (one, everything.option(one, guess.budget)) for one in asked.candidates if str(one.method) in world.truth
    ]
    try:
        laws = fit(simulate_runs(world, runs, seed), draws=DRAWS, forms=BEGINNING if world.zero_shot else FORMS)
        again = Question.of(laws, Wishes(), members=members)._replace(limits=limits, pairs=asked.pairs)
        recipe, _ = answer(guessing(again), guess.budget, far=False)
        chosen = recipe.model, recipe.method, recipe.train_flops
        at_best_rate = world.loss(*chosen)
        true = min(world.loss(*chosen, recipe.learning_rate), at_best_rate * exp(STEEP))
        losses = [
            world.loss(one.model, str(one.method), option.train_flops)
            for one, option in options
            if isinstance(option, Option)
        ]
    except (WorldError, FitError, BudgetError, InfeasibleError):  # all that a world may do to a study; else it is a bug
        return None
    lowest = min([*losses, at_best_rate])
    return Worth(true / lowest - 1, at_best_rate / lowest - 1)


def _world(
    asked: Question,
    guess: Recipe,
    configs: Sequence[RunConfig],
    methods: Sequence[str],
    batch_size: int,
    rng: np.random.Generator,
) -> World:
    known = of_measured_family(asked)
    return World(
        truth=_of_the_laws(asked, methods, rng) if known else _of_the_prior(guess, methods, rng),
        models=tuple(dict.fromkeys(config.model for config in configs)),
        zero_shot=_zero_shot(asked, configs) if known else {},
        noise=min(asked.laws.noise, _MOST_NOISE),
        tokens_per_pair=asked.practice.tokens_per_pair,
        rate_laws={name: belief(asked, guess, parse_method(name), batch_size).draw(rng) for name in methods},
    )


def _zero_shot(question: Question, configs: Sequence[RunConfig]) -> dict[str, float]:
    """Where the laws begin at zero-shot losses, those of the runs' members and of all that may be chosen."""
    losses = question.laws.surface.zero_shot
    if losses is None:
        return {}
    names = dict.fromkeys([*(config.model for config in configs), *(one.model for one in question.candidates)])
    logs, _ = losses.at(np.log([find_shape(name).model_params for name in names]))
    return dict(zip(names, np.exp(logs).tolist(), strict=True))


def _of_the_laws(question: Question, methods: Sequence[str], rng: np.random.Generator) -> dict[str, Coefficients]:
    """One draw of the laws, the same for all methods."""
    surface = question.laws.surface
    counts = np.array([len(one.branches[0].draws) for one in surface.components])
    component = surface.components[int(rng.choice(len(counts), p=counts / counts.sum()))]
    row = 1 + int(rng.integers(len(component.branches[0].draws)))
    found = {}
    for method in methods:
        values = component.coefficients(method, surface.asymptote)
        named = {name: float(value[row]) for name, value in values.items()}
        found[method] = Coefficients.model_validate({"form": component.form, **named})
    return found


def _of_the_prior(guess: Recipe, methods: Sequence[str], rng: np.random.Generator) -> dict[str, Coefficients]:
    """A law of Hoffmann et al. whose best size at the target's N D is near the guess's, where both terms gain alike."""
    a, b = (float(np.clip(exp(rng.normal(*PRIOR[name])), 0.1, 1.0)) for name in ("a", "b"))
    size = guess.model_params * exp(rng.normal(0, SIZE_SD))
    tokens = guess.model_params * guess.tokens / size
    reducible = guess.predicted_loss * rng.uniform(*REDUCIBLE)
    scale_a, scale_b = (reducible * part / (a + b) for part in (b, a))
    return {
        method: Coefficients(
            E=guess.predicted_loss - reducible,
            A=scale_a * size**a * exp(rng.normal(0, METHOD_SD)),
            a=a,
            B=scale_b * tokens**b * exp(rng.normal(0, METHOD_SD)),
            b=b,
        )
        for method in methods
    }
